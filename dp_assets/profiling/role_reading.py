"""The values of each role, read from whatever columns a project has for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from dp_assets.config.errors import ConfigurationError, Problem
from dp_assets.config.protocol import ProfileColumns
from dp_assets.profiling.metadata_columns import (
    MetadataColumns,
    clean,
    shortened,
    split_dose,
)
from dp_assets.profiling.profile_tables import METADATA
from dp_assets.storage.number_text import plain_number
from dp_assets.storage.profile_columns import (
    BATCH,
    COMPOUND,
    CONCENTRATION,
    CONTROL,
    IS_CONTROL,
    IS_TREATED,
    LABEL,
    REPLICATE,
    TREATMENT,
)
from dp_assets.storage.schemas import PLATE

# Between the parts of a treatment's name.
JOINT = "@"

# Where the configuration names the columns of each role.
SETTINGS = {
    "treatment": "profiles.treatment_fields",
    "compound": "evaluation.compound_field",
    "concentration": "profiles.concentration_field",
    "label": "evaluation.label_field",
    "batch": "profiles.correction.batch_field",
    "replicate": "profiles.replicate_field",
    "control": "profiles.control_field",
}


@dataclass(frozen=True)
class Role:
    """The values of a role, and the column they were read from where it is a single one."""

    values: list[str]
    source: str | None = None


def absent_columns(found: MetadataColumns, columns: ProfileColumns) -> list[Problem]:
    """Every column that must be there and is not, with the key of the configuration that names it."""
    needed = dict.fromkeys(columns.treatment, "treatment")
    if columns.control_values and found.first(columns.control) is None:
        needed |= dict.fromkeys(columns.control[:1], "control")
    for name in columns.required:
        roles = [role for role in SETTINGS if name in getattr(columns, role)]
        needed.setdefault(name, roles[0] if roles else "treatment")
    return [found.absent(name, SETTINGS[role]) for name, role in needed.items() if found.find(name) is None]


def read_roles(found: MetadataColumns, columns: ProfileColumns) -> dict[str, Role]:
    """The roles of every row, by the name of their column (see `roles.with_roles` for the rules).

    Raises
    ------
    ConfigurationError : nothing tells the treatment.
    """
    label, replicate = found.first(columns.label), found.first(columns.replicate)
    concentration = _concentration(found, columns)
    compound = found.first(columns.compound)
    if compound is not None:
        compound_role, concentration = _split(Role(found.values(compound), compound), concentration)
        treatment = _treatment(found, columns, compound_role, concentration)
    else:
        compound_role = Role(found.values(None))
        treatment = _treatment(found, columns, compound_role, concentration)
        if treatment.source is not None and any(split_dose(text)[1] for text in treatment.values):
            compound_role, concentration = _split(Role(treatment.values), concentration)
    return {
        TREATMENT: treatment,
        COMPOUND: compound_role,
        CONCENTRATION: concentration,
        LABEL: Role(found.values(label), label),
        BATCH: _batch(found, columns),
        CONTROL: _control(found, columns),
        REPLICATE: Role(found.values(replicate), replicate),
    }


def _concentration(found: MetadataColumns, columns: ProfileColumns) -> Role:
    source = found.first(columns.concentration)
    return Role([shortened(text) for text in found.values(source)], source)


def _split(compound: Role, concentration: Role) -> tuple[Role, Role]:
    """Compounds without the dose in their name, which is the concentration where there is no other."""
    parts = [split_dose(text) for text in compound.values]
    if concentration.source is None:
        concentration = Role([dose for _, dose in parts])
    return Role([name for name, _ in parts], compound.source), concentration


def _treatment(found: MetadataColumns, columns: ProfileColumns, compound: Role, concentration: Role) -> Role:
    names = [column for name in columns.treatment if (column := found.find(name)) is not None]
    if len(names) == 1:
        return Role(found.values(names[0]), names[0])
    if names:
        parts = [
            concentration if name == concentration.source else Role(found.values(name)) for name in names
        ]
    elif compound.source is not None:
        parts = [compound, concentration]
    elif (written := found.find("Treatment")) is not None:
        return Role(found.values(written), written)
    else:
        shown = ", ".join(name.removeprefix(METADATA) for name in found.names) or "none"
        raise ConfigurationError(
            f"nothing tells which treatment a profile is of; the metadata columns are: {shown}",
            where=SETTINGS["treatment"],
            remedy='Name the columns that make a treatment, such as "treatment_fields": ["Compound", '
            '"Concentration"]; or add them with a table of profiles.annotations.',
        )
    rows = zip(*(part.values for part in parts), strict=True)
    is_dose = [part is concentration for part in parts]
    return Role([_joined(row, is_dose) for row in rows])


def _joined(parts: Sequence[str], is_dose: Sequence[bool]) -> str:
    if not any(part for part, dose in zip(parts, is_dose, strict=True) if not dose):
        return ""
    last = max(number for number, part in enumerate(parts) if part)
    return JOINT.join(parts[: last + 1])


def _batch(found: MetadataColumns, columns: ProfileColumns) -> Role:
    batch = found.first(columns.batch)
    if batch is not None:
        return Role(found.values(batch), batch)
    plates = found.values(PLATE)
    return Role([plate.split("_", 1)[0] for plate in plates] if columns.batch_from_plate else plates)


def _control(found: MetadataColumns, columns: ProfileColumns) -> Role:
    control = found.first(columns.control)
    if control is None or not columns.control_values:
        return Role([IS_TREATED] * len(found.values(None)))
    wanted = {clean(value) for value in columns.control_values}
    wanted |= {number for value in wanted if (number := plain_number(value)) is not None}
    return Role(
        [IS_CONTROL if _is_one_of(wanted, text) else IS_TREATED for text in found.values(control)], control
    )


def _is_one_of(wanted: set[str], text: str) -> bool:
    return text in wanted or plain_number(text) in wanted or split_dose(text)[0] in wanted
