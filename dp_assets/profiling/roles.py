"""What each profile is: treatment, compound, dose, label, batch, replicate, and whether it is a control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.protocol import ProfileColumns
from dp_assets.profiling.metadata_columns import MetadataColumns
from dp_assets.profiling.profile_tables import METADATA, feature_names
from dp_assets.profiling.role_reading import SETTINGS, Role, absent_columns, read_roles
from dp_assets.profiling.row_groups import group_rows
from dp_assets.storage.profile_columns import (
    COMPOUND,
    CONCENTRATION,
    CONTROL,
    IS_TREATED,
    LABEL,
    ROLES,
    TREATMENT,
)
from dp_assets.storage.schemas import PLATE, SITE_KEY, WELL

NO_TREATMENT, NO_LABEL = "no treatment", "no label"
KEPT = "Metadata_Index_"

_WORDS = {TREATMENT: "treatments", COMPOUND: "compounds", CONCENTRATION: "concentrations", LABEL: "labels"}
_MOST_VALUES = 5


@dataclass(frozen=True)
class RoleTable:
    """Profiles with their roles.

    Attributes
    ----------
    table : plate, well and site (as far as there), the columns `profile_columns.ROLES`, other metadata,
        features.
    left_out : reason -> rows that are not in the table.
    """

    table: pa.Table
    left_out: dict[str, int]


def with_roles(table: pa.Table, columns: ProfileColumns, *, labelled_only: bool = False) -> RoleTable:
    """Add the role columns, so that nothing downstream asks what a project calls its columns.

    - Names are compared without `Metadata_` and without regard to case. None, "", "nan" and "NA" are no value
      and become "". Concentrations are written in their shortest form (3.000000 as 3).
    - Treatment: the columns of `columns.treatment` joined with "@"; of one column, its value as it is.
      Without such columns the compound joined with the concentration, or else a column "Treatment". Parts
      missing at the end are left out; a concentration alone names no treatment.
    - Compound: where a value reads `name@dose` (as `BRD-K12345678@3.3` in the Cell Painting sets), the name;
      without a column of concentrations the dose becomes the concentration. Without a column of compounds
      both come from a treatment that is one column and written so.
    - Control: the value of the control column, or its part before `@dose`, is one of `control_values`;
      numbers are compared as numbers too ("0" is "0.0").
    - Batch: the batch column; else the part of the plate's name before the first "_" where
      `batch_from_plate`; else the plate.
    - A column that has a role's name but another meaning is kept as `Metadata_Index_...`.

    Rows without a treatment are left out, and with `labelled_only` treated rows without a label; controls are
    always kept.

    Parameters
    ----------
    table : `Metadata_*` strings with at least the plate, and any number of features; profiles of sites or
        wells, or the annotations of a plate.
    columns : which columns to look at.

    Raises
    ------
    ConfigurationError : a column that is asked for is not there (every one is named); nothing tells the
        treatment; or labels are needed and there is no column with labels.
    """
    found = MetadataColumns(table)
    problems = absent_columns(found, columns)
    if labelled_only and found.first(columns.label) is None and not problems:
        problems = [found.absent(name, SETTINGS["label"]) for name in columns.label[:1]]
    if problems:
        raise ConfigurationError(problems)
    roles = read_roles(found, columns)
    treated = np.array([value == IS_TREATED for value in roles[CONTROL].values], dtype=bool)
    nameless = treated & np.array([not value for value in roles[TREATMENT].values], dtype=bool)
    unlabelled = treated & ~nameless & np.array([not value for value in roles[LABEL].values], dtype=bool)
    reasons = {NO_TREATMENT: nameless, NO_LABEL: unlabelled & labelled_only}
    full = _with_columns(table, found, roles)
    return RoleTable(
        table=full.filter(pa.array(~np.logical_or.reduce(list(reasons.values())))),
        left_out={reason: int(rows.sum()) for reason, rows in reasons.items() if rows.any()},
    )


def _with_columns(table: pa.Table, found: MetadataColumns, roles: Mapping[str, Role]) -> pa.Table:
    key = [name for name in SITE_KEY if name in found.names]
    named = {name.casefold(): name for name in ROLES}
    others = {}
    for column in found.names:
        role = named.get(column.casefold())
        if column in key or (role is not None and _is_told(found, column, roles[role], role)):
            continue
        name = column if role is None else KEPT + column.removeprefix(METADATA)
        while name in others or (role is not None and name in found.names):
            name = KEPT + name.removeprefix(METADATA)
        others[name] = table[column]
    return pa.table(
        {
            **{name: table[name] for name in key},
            **{name: pa.array(roles[name].values, pa.string()) for name in ROLES},
            **others,
            **{name: table[name] for name in feature_names(table)},
        },
        metadata=table.schema.metadata,
    )


def _is_told(found: MetadataColumns, column: str, role: Role, name: str) -> bool:
    """Whether the role says everything that the column of its name said."""
    values = found.values(column)
    return not any(values) or values == role.values or (role.source == column and name != CONTROL)


def treatment_conflicts(table: pa.Table) -> list[str]:
    """Wells and treatments with contradictory descriptions; empty when there are none.

    - A well whose rows (its sites) have more than one treatment, compound, concentration or label. No value
      beside a value is a contradiction too.
    - A treatment (controls apart) with more than one compound or label. Rows without one do not count here.

    Parameters
    ----------
    table : the result of `with_roles`: profiles of sites or wells, or annotations.

    Returns
    -------
    One line each, which names plate, well and the values: first wells, then treatments, in table order.
    """
    return _in_wells(table) + conflicting_treatments(table)


def _in_wells(table: pa.Table) -> list[str]:
    groups = group_rows(table, (PLATE, WELL))
    columns = {name: table[name].to_pylist() for name in _WORDS}
    found = []
    for (plate, well), rows in zip(groups.keys, groups.rows(), strict=True):
        for name, values in columns.items():
            different = list(dict.fromkeys(values[row] for row in rows))
            if len(different) > 1:
                shown = _shown([f'"{value}"' for value in different])
                found.append(f"plate {plate}, well {well} has several {_WORDS[name]}: {shown}")
    return found


def conflicting_treatments(table: pa.Table) -> list[str]:
    """The part of `treatment_conflicts` about treatments."""
    treated = table.filter(pc.equal(table[CONTROL], IS_TREATED))
    groups = group_rows(treated, (TREATMENT,))
    plates, wells = treated[PLATE].to_pylist(), treated[WELL].to_pylist()
    columns = {name: treated[name].to_pylist() for name in (COMPOUND, LABEL)}
    found = []
    for (treatment,), rows in zip(groups.keys, groups.rows(), strict=True):
        for name, values in columns.items():
            # the first row of each value, so that the message can say where to look
            first = {values[row]: row for row in reversed(rows) if values[row]}
            if len(first) > 1:
                shown = _shown(
                    [
                        f'"{value}" (plate {plates[row]}, well {wells[row]})'
                        for value, row in sorted(first.items(), key=lambda pair: pair[1])
                    ]
                )
                found.append(f'treatment "{treatment}" has several {_WORDS[name]}: {shown}')
    return found


def _shown(values: Sequence[str]) -> str:
    more = f" and {len(values) - _MOST_VALUES} more" if len(values) > _MOST_VALUES else ""
    return ", ".join(values[:_MOST_VALUES]) + more
