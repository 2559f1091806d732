"""From the sections about profiles and scores, and a preset, to one protocol with nothing left open."""

from typing import Any, TypeVar

from pydantic import BaseModel

from dp_assets.config.evaluation_sections import EvaluationSettings, TsneSettings, UmapSettings
from dp_assets.config.experiment_sections import ExperimentSections
from dp_assets.config.presets import PRESETS, PresetValues
from dp_assets.config.profile_sections import (
    CorrectionSettings,
    FeatureSelectionSettings,
    NormalizationSettings,
    Preset,
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
    TreatmentAggregation,
)
from dp_assets.config.role_columns import role_columns
from dp_assets.config.scoring_problems import SCALES, Given, contradictions, sections_about_images
from dp_assets.config.validation import Reading

ModelT = TypeVar("ModelT", bound=BaseModel)

# What of `evaluation` is worked into the protocol; there is no second place to look it up.
_WORKED_IN = ("preset", "label_field", "label_separator", "compound_field", "exclude_from_wells")


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
    problems += sections_about_images(sections)
    if problems:
        return Reading(True, None, tuple(problems))
    profiles = sections.profiles.settings or ProfilesSettings()
    evaluation = sections.evaluation.settings or EvaluationSettings()
    correction = sections.correction.settings or CorrectionSettings()
    normalization = sections.normalization.settings or NormalizationSettings()
    # Whoever names the preset in one section only means both.
    preset: Preset = profiles.preset or evaluation.preset or "custom"
    values = PRESETS[preset]
    columns = role_columns(values.columns, profiles, evaluation, correction, sections.metadata.settings)
    settled = ScoringSettings(
        profiles=_profiles(sections, preset, profiles, normalization, correction, columns),
        evaluation=_evaluation(
            evaluation.preset or preset,
            evaluation,
            sections.tsne.settings or TsneSettings(),
            sections.umap.settings or UmapSettings(),
        ),
        features=sections.features.settings,
    )
    given = Given(profiles, normalization, correction)
    problems = contradictions(settled.profiles, given, sections.file)
    return Reading(True, None if problems else settled, tuple(problems))


def _profiles(
    sections: ExperimentSections,
    preset: Preset,
    profiles: ProfilesSettings,
    normalization: NormalizationSettings,
    correction: CorrectionSettings,
    columns: ProfileColumns,
) -> ProfileProtocol:
    values = PRESETS[preset]
    level: Level = correction.level or values.level
    return ProfileProtocol(
        preset=preset,
        cells=_cells(values, profiles, level),
        treatments=_treatments(values, profiles, level),
        level=level,
        normalization=_normalization(values, normalization, correction, columns.names_controls),
        correction=_correction(values, correction),
        feature_selection=sections.feature_selection.settings or FeatureSelectionSettings(),
        regularization_sweep=sections.regularization_sweep.settings or RegularizationSweepSettings(),
        columns=columns,
        annotations=profiles.annotations,
        expected=values.expected,
        labelled_only=values.labelled_only,
    )


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


def _treatments(values: PresetValues, profiles: ProfilesSettings, level: Level) -> TreatmentAggregation:
    treatments = _filled(
        values.treatments, aggregation=profiles.treatment_aggregation, source=profiles.treatment_source
    )
    if level == "well" and profiles.treatment_source is None:
        # There are no corrected sites then.
        return treatments.model_copy(update={"source": "well"})
    return treatments


def _normalization(
    values: PresetValues, given: NormalizationSettings, correction: CorrectionSettings, known_controls: bool
) -> Normalization:
    named = correction.method if correction.method in SCALES else None
    settled = _filled(
        values.normalization, method=given.method or named, by=given.by, reference=given.reference
    )
    if given.reference is None and not known_controls:
        # Without controls the scale can only be taken from everything.
        return settled.model_copy(update={"reference": "all"})
    return settled


def _correction(values: PresetValues, given: CorrectionSettings) -> Correction:
    method = "none" if given.method in SCALES else given.method
    return _filled(
        values.correction, method=method, regularization=given.regularization, compat=given.compat or None
    )


def _evaluation(
    preset: Preset, given: EvaluationSettings, tsne: TsneSettings, umap: UmapSettings
) -> EvaluationProtocol:
    values = PRESETS[preset]
    separator, excluded = given.label_separator, given.exclude_from_wells
    return EvaluationProtocol(
        preset=preset,
        label_separator=values.label_separator if separator is None else separator,
        exclude_from_wells=values.exclude_from_wells if excluded is None else excluded,
        excluded_labels=values.excluded_labels,
        settings=given.model_copy(update=dict.fromkeys(_WORKED_IN)),
        tsne=tsne,
        umap=umap,
    )
