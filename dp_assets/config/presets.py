"""What each preset of profiles and scores stands for: the published protocols, and the usual one.

Sources: the notebooks behind the BBBC021 and Cell Painting results of the DeepProfiler papers.
"""

from dataclasses import dataclass

from dp_assets.config.profile_sections import Preset
from dp_assets.config.protocol import (
    CellAggregation,
    Correction,
    ExpectedCounts,
    Level,
    Normalization,
    ProfileColumns,
    TreatmentAggregation,
)

LABELS = ("MOA", "Label", "Mechanism", "Pathway", "moa.x")
COMPOUNDS = ("Compound", "broad_sample", "pert_iname", "JCP2022", "pert_name", "Gene")
CONCENTRATIONS = ("Concentration", "Dose", "mmoles_per_liter", "mg_per_ml")
BATCHES = ("Batch",)
REPLICATES = ("Replicate",)
_UNKNOWN = ExpectedCounts()
_SAMPLES, _SOLVENT = ("broad_sample", "Treatment", "Compound"), ("DMSO",)


@dataclass(frozen=True)
class PresetValues:
    """The values of a preset, for whatever a file leaves out."""

    cells: CellAggregation
    treatments: TreatmentAggregation
    level: Level
    normalization: Normalization
    correction: Correction
    columns: ProfileColumns
    label_separator: str = "|"
    exclude_from_wells: tuple[str, ...] = ()
    excluded_labels: tuple[str, ...] = ()
    expected: ExpectedCounts = _UNKNOWN
    labelled_only: bool = False


_FOUND = ProfileColumns(
    compound=COMPOUNDS,
    concentration=CONCENTRATIONS,
    label=LABELS,
    batch=BATCHES,
    replicate=REPLICATES,
)


def _cell_painting(
    regularization: float,
    columns: ProfileColumns = _FOUND,
    separator: str = "|",
    treatments: int | None = None,
) -> PresetValues:
    return PresetValues(
        cells=CellAggregation(aggregation="median", well_aggregation="mean"),
        treatments=TreatmentAggregation(aggregation="mean", source="well"),
        level="well",
        normalization=Normalization(method="none"),
        correction=Correction(method="sphering", regularization=regularization),
        columns=columns,
        label_separator=separator,
        expected=ExpectedCounts(treatments=treatments),
        # The published sets are those with a known mechanism: only these are each other's neighbours.
        labelled_only=treatments is not None,
    )


def _with(**changes: object) -> ProfileColumns:
    return _FOUND.model_copy(update=changes)


PRESETS: dict[Preset, PresetValues] = {
    "custom": PresetValues(
        cells=CellAggregation(),
        treatments=TreatmentAggregation(),
        level="well",
        normalization=Normalization(method="standardize"),
        correction=Correction(),
        columns=_FOUND,
    ),
    "bbbc021": PresetValues(
        cells=CellAggregation(well_aggregation="mean"),
        treatments=TreatmentAggregation(aggregation="median", source="site"),
        level="site",
        normalization=Normalization(),
        correction=Correction(method="tvn", regularization=1.0),
        columns=_with(
            treatment=("Compound", "Concentration"),
            compound=("Compound",),
            control=("Compound",),
            control_values=("DMSO",),
            batch_from_plate=True,
        ),
        label_separator="",
        exclude_from_wells=("taxol",),
        excluded_labels=("Cholesterol-lowering", "Kinase inhibitors"),
        expected=ExpectedCounts(treatments=103, labels=12),
        labelled_only=True,
    ),
    "cell_painting": _cell_painting(1e-2),
    "bbbc022": _cell_painting(1e-3, _with(control=_SAMPLES, control_values=_SOLVENT), treatments=995),
    "bbbc036": _cell_painting(1e-3, _with(control=_SAMPLES, control_values=_SOLVENT), treatments=1550),
    "taorf": _cell_painting(
        1e-4,
        _with(
            treatment=("pert_name",),
            compound=("pert_name",),
            control=("pert_name",),
            control_values=("EMPTY_",),
        ),
        separator="",
        treatments=205,
    ),
}
