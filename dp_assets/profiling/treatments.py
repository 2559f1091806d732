"""Treatments over all plates: their profiles, and how they and their labels are spread over batches."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dp_assets.config.errors import ConfigurationError, Problem
from dp_assets.config.protocol import TreatmentAggregation
from dp_assets.profiling.aggregation import summary
from dp_assets.profiling.profile_tables import (
    Texts,
    feature_array,
    feature_names,
    metadata_names,
    profile_table,
)
from dp_assets.profiling.roles import conflicting_treatments
from dp_assets.profiling.row_groups import RowGroups, group_rows, shared_values, summed_counts
from dp_assets.storage.profile_columns import (
    BATCH,
    CELL_COUNT,
    COMPOUND,
    CONCENTRATION,
    CONTROL,
    IS_TREATED,
    LABEL,
    PLATES,
    ROLES,
    SEPARATOR,
    SITE_COUNT,
    TREATMENT,
    WELL_COUNT,
)
from dp_assets.storage.schemas import PLATE, SITE, TREATMENT_PROFILES, WELL

# Columns that have a meaning of their own for a treatment, or none.
_REPLACED = {*ROLES, PLATE, WELL, SITE, PLATES, CELL_COUNT, SITE_COUNT, WELL_COUNT}


@dataclass(frozen=True)
class Confounding:
    """How labels and treatments are spread over batches; controls do not count.

    Attributes
    ----------
    batches, labels, treatments : how many there are.
    labels_in_one_batch, treatments_in_one_batch : those that lie in a single batch, sorted; empty when there
        is one batch only, because then nothing can be told from anything by its batch.
    """

    batches: int
    labels: int
    treatments: int
    labels_in_one_batch: tuple[str, ...]
    treatments_in_one_batch: tuple[str, ...]

    @property
    def label_fraction(self) -> float:
        """The share of labels that lie in one batch; 0 without labels."""
        return len(self.labels_in_one_batch) / self.labels if self.labels else 0.0

    @property
    def treatment_fraction(self) -> float:
        """The share of treatments that lie in one batch; 0 without treatments."""
        return len(self.treatments_in_one_batch) / self.treatments if self.treatments else 0.0


def treatment_table(table: pa.Table, settings: TreatmentAggregation) -> pa.Table:
    """Mean or median over the rows of each treatment; controls are left out.

    The published Cell Painting protocol takes the mean over wells, that of BBBC021 the median over sites.

    Parameters
    ----------
    table : schema `profiles` (`settings.source` "well") or `corrected_sites` ("site"); finite features.
    settings : the summary, and what the rows of `table` are.

    Returns
    -------
    Table of schema `treatment_profiles`, sorted by compound, concentration (as a number; what is no number
    comes last) and treatment. `Metadata_Batch` and `Metadata_Plates` are the different values in order of
    appearance, joined with ",". `Metadata_Concentration` is "" for a treatment of several. Counts of wells,
    of cells and, where they are known, of sites are sums ("" where a row does not tell). Every other metadata
    column is carried that has one value in every treatment.

    Raises
    ------
    ConfigurationError : a treatment has several compounds or labels.
    ValueError : `table` is not of the level that `settings.source` says.
    """
    level = "site" if SITE in table.column_names else "well"
    if settings.source != level:
        raise ValueError(f"Expected profiles of {settings.source}s. Received profiles of {level}s.")
    treated = table.filter(pc.equal(table[CONTROL], IS_TREATED))
    _require_one_description(treated)
    groups = group_rows(treated, (TREATMENT,))
    names = feature_names(treated)
    values = feature_array(treated, names)
    profiles = np.array(
        [summary(values[rows], settings.aggregation) for rows in groups.rows()], np.float32
    ).reshape(len(groups.keys), len(names))
    metadata = _metadata(treated, groups)
    order = _order(metadata)
    return TREATMENT_PROFILES.enforce(
        profile_table(
            {name: [column[row] for row in order] for name, column in metadata.items()},
            profiles[order],
            names,
        )
    )


def _require_one_description(treated: pa.Table) -> None:
    conflicts = conflicting_treatments(treated)
    if conflicts:
        raise ConfigurationError(
            [
                Problem(
                    conflict,
                    "profiles.treatment_fields",
                    "Correct the image index or the annotations, or name all columns that make a treatment.",
                )
                for conflict in conflicts
            ]
        )


def _metadata(treated: pa.Table, groups: RowGroups) -> dict[str, Texts]:
    different = {
        name: _different(treated, groups, name) for name in (COMPOUND, CONCENTRATION, LABEL, BATCH, PLATE)
    }
    wells = list(zip(treated[PLATE].to_pylist(), treated[WELL].to_pylist(), strict=True))
    others = [name for name in metadata_names(treated) if name not in _REPLACED]
    return {
        TREATMENT: [key[0] for key in groups.keys],
        **{
            name: [values[0] if len(values) == 1 else "" for values in different[name]]
            for name in (COMPOUND, CONCENTRATION, LABEL)
        },
        BATCH: [SEPARATOR.join(values) for values in different[BATCH]],
        CONTROL: [IS_TREATED] * len(groups.keys),
        PLATES: [SEPARATOR.join(values) for values in different[PLATE]],
        WELL_COUNT: [str(len({wells[row] for row in rows})) for rows in groups.rows()],
        **_site_counts(treated, groups),
        CELL_COUNT: _as_text(summed_counts(treated, groups, CELL_COUNT)),
        **shared_values(treated, groups, others),
    }


def _site_counts(treated: pa.Table, groups: RowGroups) -> dict[str, Texts]:
    if SITE in treated.column_names:
        return {SITE_COUNT: [str(len(rows)) for rows in groups.rows()]}
    if SITE_COUNT in treated.column_names:
        return {SITE_COUNT: _as_text(summed_counts(treated, groups, SITE_COUNT))}
    return {}


def _as_text(counts: Iterable[int | None]) -> Texts:
    return ["" if count is None else str(count) for count in counts]


def _different(table: pa.Table, groups: RowGroups, name: str) -> list[list[str]]:
    """The different values of each group in order of appearance, without ""."""
    values = table[name].to_pylist()
    return [list(dict.fromkeys(values[row] for row in rows if values[row])) for rows in groups.rows()]


def _order(metadata: dict[str, Texts]) -> list[int]:
    def place(row: int) -> tuple[str | None, float, str | None, str | None]:
        dose = metadata[CONCENTRATION][row]
        return metadata[COMPOUND][row], _number(dose), dose, metadata[TREATMENT][row]

    return sorted(range(len(metadata[TREATMENT])), key=place)


def _number(text: str | None) -> float:
    try:
        number = float(text or "inf")
    except ValueError:
        return math.inf
    return math.inf if math.isnan(number) else number


def batch_label_confounding(table: pa.Table, label_separator: str = "") -> Confounding:
    """Labels and treatments whose every row is in one batch while there are several batches.

    Parameters
    ----------
    table : schema `profiles` or `corrected_sites`; rows without a batch or without a label do not count.
    label_separator : what stands between several labels of one row; "" when a row has one label.
    """
    treated = table.filter(pc.equal(table[CONTROL], IS_TREATED))
    batches = treated[BATCH].to_pylist()
    of_labels: dict[str, set[str]] = {}
    of_treatments: dict[str, set[str]] = {}
    rows = zip(treated[LABEL].to_pylist(), treated[TREATMENT].to_pylist(), batches, strict=True)
    for text, treatment, batch in rows:
        if not batch:
            continue
        labels = text.split(label_separator) if label_separator else [text]
        for label in filter(None, map(str.strip, labels)):
            of_labels.setdefault(label, set()).add(batch)
        of_treatments.setdefault(treatment, set()).add(batch)
    count = len(set(filter(None, batches)))
    return Confounding(
        batches=count,
        labels=len(of_labels),
        treatments=len(of_treatments),
        labels_in_one_batch=_single(of_labels) if count > 1 else (),
        treatments_in_one_batch=_single(of_treatments) if count > 1 else (),
    )


def _single(batches: dict[str, set[str]]) -> tuple[str, ...]:
    return tuple(sorted(name for name, found in batches.items() if len(found) == 1))
