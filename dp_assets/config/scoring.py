"""From the sections about profiles and scores, and a preset, to one protocol with nothing left open."""

from typing import Any, TypeVar

from pydantic import BaseModel

from dp_assets.config.errors import Problem
from dp_assets.config.evaluation_sections import EvaluationSettings, TsneSettings, UmapSettings
from dp_assets.config.experiment_sections import ExperimentSections
from dp_assets.config.presets import PRESETS, PresetValues
from dp_assets.config.profile_sections import (
    CorrectionSettings,
    FeatureSelectionSettings,
    NormalizationSettings,
    ProfilesSettings,
    RegularizationSweepSettings,
)
from dp_assets.config.protocol import (
    CellAggregation,
    Correction,
    EvaluationProtocol,
    Level,
    Normalization,
    ProfileColumns,
    ProfileProtocol,
    ScoringSettings,
)
from dp_assets.config.sections import MetadataSettings
from dp_assets.config.validation import Reading

ModelT = TypeVar("ModelT", bound=BaseModel)

_SCALES = ("standardize", "mad_robustize")


def scoring_settings(sections: ExperimentSections) -> Reading[ScoringSettings]:
    """Settings of profiles and scores; every section may be left out."""
    readings = (
        sections.profiles,
        sections.normalization,
        sections.correction,
        sections.feature_selection,
        sections.regularization_sweep,
        sections.evaluation,
        sections.tsne,
        sections.umap,
        sections.features,
        sections.metadata,
    )
    problems = [problem for reading in readings if reading.present for problem in reading.problems]
    if problems:
        return Reading(True, None, tuple(problems))
    profiles = sections.profiles.settings or ProfilesSettings()
    evaluation = sections.evaluation.settings or EvaluationSettings()
    values = PRESETS[profiles.preset]
    correction = sections.correction.settings or CorrectionSettings()
    normalization = sections.normalization.settings or NormalizationSettings()
    metadata = sections.metadata.settings
    columns = _columns(values, profiles, evaluation, correction, metadata)
    known_controls = bool(columns.control and columns.control_values)
    treatments = _filled(
        values.treatments, aggregation=profiles.treatment_aggregation, source=profiles.treatment_source
    )
    level: Level = correction.level or values.level
    if level == "well" and profiles.treatment_source is None:
        treatments = treatments.model_copy(update={"source": "well"})
    settled = ScoringSettings(
        profiles=ProfileProtocol(
            preset=profiles.preset,
            cells=_cells(values, profiles, level),
            treatments=treatments,
            level=level,
            normalization=_normalization(values, normalization, correction, known_controls),
            correction=_correction(values, correction),
            feature_selection=sections.feature_selection.settings or FeatureSelectionSettings(),
            regularization_sweep=sections.regularization_sweep.settings or RegularizationSweepSettings(),
            columns=columns,
            annotations=profiles.annotations,
            expected=values.expected,
            labelled_only=values.labelled_only,
        ),
        evaluation=_evaluation(
            PRESETS[evaluation.preset or profiles.preset],
            evaluation.preset or profiles.preset,
            evaluation,
            sections.tsne.settings or TsneSettings(),
            sections.umap.settings or UmapSettings(),
        ),
        features=sections.features.settings,
    )
    problems = _contradictions(settled, profiles, normalization, correction, known_controls, sections.file)
    return Reading(True, None if problems else settled, tuple(problems))


def _filled(values: ModelT, **given: Any) -> ModelT:
    """The preset's values with those that were given."""
    return values.model_copy(update={key: value for key, value in given.items() if value is not None})


def _cells(values: PresetValues, profiles: ProfilesSettings, level: Level) -> CellAggregation:
    cells = _filled(
        values.cells,
        aggregation=profiles.aggregation,
        well_aggregation=profiles.well_aggregation,
        minimum_cells=profiles.minimum_cells,
        minimum_cells_per_site=profiles.minimum_cells_per_site,
        outlier_cells=profiles.outlier_cells,
    )
    if level == "site" and cells.well_aggregation == "cells" and profiles.well_aggregation is None:
        return cells.model_copy(update={"well_aggregation": "mean"})
    return cells


def _normalization(
    values: PresetValues, given: NormalizationSettings, correction: CorrectionSettings, known_controls: bool
) -> Normalization:
    named = correction.method if correction.method in _SCALES else None
    settled = _filled(
        values.normalization, method=given.method or named, by=given.by, reference=given.reference
    )
    if given.reference is None and not known_controls:
        # Without controls the scale can only be taken from everything.
        return settled.model_copy(update={"reference": "all"})
    return settled


def _correction(values: PresetValues, given: CorrectionSettings) -> Correction:
    method = "none" if given.method in _SCALES else given.method
    return _filled(values.correction, method=method, regularization=given.regularization)


def _columns(
    values: PresetValues,
    profiles: ProfilesSettings,
    evaluation: EvaluationSettings,
    correction: CorrectionSettings,
    metadata: MetadataSettings | None,
) -> ProfileColumns:
    given: dict[str, tuple[str, ...] | None] = {
        "treatment": profiles.treatment_fields,
        "compound": _one(evaluation.compound_field),
        "concentration": _one(profiles.concentration_field),
        "label": _one(evaluation.label_field),
        "batch": _one(correction.batch_field),
        "replicate": _one(profiles.replicate_field),
        "control": _one(profiles.control_field),
    }
    plain = {key: tuple(map(_without_prefix, names)) for key, names in given.items() if names}
    required = tuple(dict.fromkeys(name for names in plain.values() for name in names))
    settled = values.columns.model_copy(update={**plain, "required": required})
    if metadata is not None:
        label = (_without_prefix(metadata.label_field),)
        if not settled.treatment:
            settled = settled.model_copy(update={"treatment": label})
        if "control" not in plain and metadata.control_value is not None and not profiles.control_values:
            settled = settled.model_copy(
                update={"control": label, "control_values": (metadata.control_value,)}
            )
        elif not settled.control:
            settled = settled.model_copy(update={"control": label})
    if profiles.control_values:
        settled = settled.model_copy(update={"control_values": profiles.control_values})
    return settled


def _one(name: str | None) -> tuple[str, ...] | None:
    return None if name is None else (name,)


def _without_prefix(name: str) -> str:
    return name.removeprefix("Metadata_")


def _evaluation(
    values: PresetValues,
    preset: Any,
    given: EvaluationSettings,
    tsne: TsneSettings,
    umap: UmapSettings,
) -> EvaluationProtocol:
    separator, excluded = given.label_separator, given.exclude_from_wells
    return EvaluationProtocol(
        preset=preset,
        label_separator=values.label_separator if separator is None else separator,
        exclude_from_wells=values.exclude_from_wells if excluded is None else excluded,
        excluded_labels=values.excluded_labels,
        settings=given,
        tsne=tsne,
        umap=umap,
    )


def _contradictions(
    settled: ScoringSettings,
    profiles: ProfilesSettings,
    normalization: NormalizationSettings,
    correction: CorrectionSettings,
    known_controls: bool,
    file: str,
) -> list[Problem]:
    protocol = settled.profiles
    problems = []
    if protocol.level == "well" and protocol.treatments.source == "site":
        problems.append(
            Problem(
                'treatments are made of sites, but profiles are corrected as wells (level "well")',
                f"{file}: profiles.treatment_source",
                'Write "treatment_source": "well", or "level": "site" in profiles.correction.',
            )
        )
    if protocol.level == "site" and profiles.well_aggregation == "cells":
        problems.append(
            Problem(
                'wells are made of cells, but profiles are corrected as sites (level "site")',
                f"{file}: profiles.well_aggregation",
                'Write "mean" or "median", or "level": "well" in profiles.correction.',
            )
        )
    if correction.method in _SCALES and normalization.method not in (None, correction.method):
        problems.append(
            Problem(
                f'profiles.correction.method is "{correction.method}", '
                f'but profiles.normalization.method is "{normalization.method}"',
                f"{file}: profiles.correction.method",
                "Write the normalization in profiles.normalization only.",
            )
        )
    needs = protocol.correction.method != "none" or normalization.reference == "controls"
    if needs and not known_controls:
        problems.append(
            Problem(
                "the profiles are held against control wells, but nothing says which wells are controls",
                f"{file}: profiles.control_values",
                'Write dataset.metadata.control_value, or profiles.control_field and "control_values".',
            )
        )
    return problems
