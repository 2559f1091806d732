"""How profiles are made and scored, with nothing left open: the sections of a file on top of a preset."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from dp_assets.config.evaluation_sections import EvaluationSettings, TsneSettings, UmapSettings
from dp_assets.config.profile_sections import (
    CorrectionMethod,
    FeatureSelectionSettings,
    FeaturesSettings,
    NormalizationMethod,
    Preset,
    RegularizationSweepSettings,
    Summary,
)

Level = Literal["site", "well"]


class _Settled(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CellAggregation(_Settled):
    """From cells to the profiles of sites and wells; all that the plates' own profiles depend on."""

    aggregation: Summary = "mean"
    well_aggregation: Literal["cells", "mean", "median"] = "cells"
    minimum_cells: int = 1
    minimum_cells_per_site: int = 1
    outlier_cells: float | None = None


class TreatmentAggregation(_Settled):
    """From sites or wells to treatments."""

    aggregation: Summary = "mean"
    source: Level = "well"


class Normalization(_Settled):
    """One scale for every feature; `by` says for what, `reference` from which profiles."""

    method: NormalizationMethod = "none"
    by: Literal["plate", "batch", "all"] = "plate"
    reference: Literal["controls", "all"] = "controls"


class Correction(_Settled):
    """Batch correction; `regularization` is lambda, `compat` the notebook's 1 in its place for batches."""

    method: CorrectionMethod = "none"
    regularization: float = 0.01
    compat: bool = False


class ProfileColumns(_Settled):
    """Which columns say what a well is.

    A tuple of names means: the first of these that is there; of `treatment`, all. Names in `required` were
    written by the user, so they must be there. Names carry no `Metadata_`; case does not count.
    Without a batch column every plate is a batch of its own; with `batch_from_plate` the batch is the part of
    the plate's name before the first "_".
    """

    treatment: tuple[str, ...] = ()
    compound: tuple[str, ...] = ()
    concentration: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    batch: tuple[str, ...] = ()
    replicate: tuple[str, ...] = ()
    control: tuple[str, ...] = ()
    control_values: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    batch_from_plate: bool = False

    @property
    def names_controls(self) -> bool:
        """Whether it is said which wells are controls."""
        return bool(self.control and self.control_values)


class ExpectedCounts(_Settled):
    """What a published set should come to; None where nothing is known."""

    treatments: int | None = None
    labels: int | None = None


class ProfileProtocol(_Settled):
    """Everything about profiles.

    `level` is that of normalization, correction and feature selection. `labelled_only` leaves out treatments
    (not controls) without a label, as the annotated part of BBBC021 is used.
    """

    preset: Preset = "custom"
    cells: CellAggregation = CellAggregation()
    treatments: TreatmentAggregation = TreatmentAggregation()
    level: Level = "well"
    normalization: Normalization = Normalization()
    correction: Correction = Correction()
    feature_selection: FeatureSelectionSettings = FeatureSelectionSettings()
    regularization_sweep: RegularizationSweepSettings = RegularizationSweepSettings()
    columns: ProfileColumns = ProfileColumns()
    annotations: tuple[str, ...] = ()
    expected: ExpectedCounts = ExpectedCounts()
    labelled_only: bool = False


class EvaluationProtocol(_Settled):
    """Everything about scores. `settings` holds metrics and numbers; its columns and preset are None there,
    as they are worked in here and in the profiles' columns.

    `label_separator` is "" where a treatment has one label.
    """

    preset: Preset = "custom"
    label_separator: str = "|"
    exclude_from_wells: tuple[str, ...] = ()
    excluded_labels: tuple[str, ...] = ()
    settings: EvaluationSettings = EvaluationSettings()
    tsne: TsneSettings = TsneSettings()
    umap: UmapSettings = UmapSettings()


class ScoringSettings(_Settled):
    """What profiles and scores need. `features` is None where the features are made from images here."""

    profiles: ProfileProtocol = ProfileProtocol()
    evaluation: EvaluationProtocol = EvaluationProtocol()
    features: FeaturesSettings | None = None
