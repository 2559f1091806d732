"""Which columns say what a well is: what a file names, what its preset expects, what is usual."""

from dp_assets.config.evaluation_sections import EvaluationSettings
from dp_assets.config.profile_sections import CorrectionSettings, ProfilesSettings
from dp_assets.config.protocol import ProfileColumns
from dp_assets.config.sections import MetadataSettings

_PREFIX = "Metadata_"


def role_columns(
    expected: ProfileColumns,
    profiles: ProfilesSettings,
    evaluation: EvaluationSettings,
    correction: CorrectionSettings,
    metadata: MetadataSettings | None,
) -> ProfileColumns:
    """The columns of an experiment's profiles.

    What the file names goes first, then ``dataset.metadata`` for treatments and controls, then the preset.

    Parameters
    ----------
    expected : the columns of the preset.
    metadata : ``dataset.metadata``, None where the file has none.
    """
    given: dict[str, tuple[str, ...] | None] = {
        "treatment": profiles.treatment_fields,
        "compound": _one(evaluation.compound_field),
        "concentration": _one(profiles.concentration_field),
        "label": _one(evaluation.label_field),
        "batch": _one(correction.batch_field),
        "replicate": _one(profiles.replicate_field),
        "control": _one(profiles.control_field),
    }
    plain = {role: tuple(map(_without_prefix, names)) for role, names in given.items() if names}
    written = tuple(dict.fromkeys(name for names in plain.values() for name in names))
    settled = expected.model_copy(update={**plain, "required": written})
    if "batch" in plain:
        settled = settled.model_copy(update={"batch_from_plate": False})
    if metadata is not None:
        settled = _with_metadata(settled, profiles, metadata)
    if profiles.control_values:
        settled = settled.model_copy(update={"control_values": profiles.control_values})
    return settled


def _with_metadata(
    columns: ProfileColumns, profiles: ProfilesSettings, metadata: MetadataSettings
) -> ProfileColumns:
    label = (_without_prefix(metadata.label_field),)
    if not columns.treatment:
        columns = columns.model_copy(update={"treatment": label})
    if profiles.control_field is not None:
        return columns
    if metadata.control_value is not None and not profiles.control_values:
        values = (metadata.control_value,)
        return columns.model_copy(update={"control": label, "control_values": values})
    # The preset's column, where there is one, goes with values that the file gives.
    return columns if columns.control else columns.model_copy(update={"control": label})


def _one(name: str | None) -> tuple[str, ...] | None:
    return None if name is None else (name,)


def _without_prefix(name: str) -> str:
    return name.removeprefix(_PREFIX)
