"""The sections about profiles: from the features of cells to corrected profiles of wells and treatments.

Settings that are left out are those of the preset (see ``presets``); the classes here say None for them.
Names of columns may be written with or without ``Metadata_``.
"""

from typing import Annotated, Literal

from pydantic import Field

from dp_assets.config.fields import (
    AnyCase,
    Distinct,
    Labels,
    Name,
    Names,
    Number,
    OneOrMore,
    Section,
    WholeNumber,
)

Preset = Literal["custom", "bbbc021", "cell_painting", "bbbc022", "bbbc036", "taorf"]
Summary = Literal["mean", "median"]
NormalizationMethod = Literal["none", "standardize", "robustize", "mad_robustize"]
CorrectionMethod = Literal["none", "whitening", "sphering", "tvn"]
SelectionOperation = Literal[
    "variance_threshold",
    "correlation_threshold",
    "drop_na_columns",
    "drop_outliers",
    "blocklist",
    "noise_removal",
]


class ProfilesSettings(Section):
    """``profiles``: how the features of cells become profiles of sites, wells and treatments."""

    preset: Annotated[Preset, AnyCase] | None = Field(
        default=None,
        description='"custom", "bbbc021", "cell_painting", "bbbc022", "bbbc036" or "taorf"; '
        "that of evaluation unless given",
        examples=["cell_painting"],
    )
    aggregation: Annotated[Summary, AnyCase] | None = Field(
        default=None, description='"mean" or "median", from cells to a profile', examples=["mean"]
    )
    well_aggregation: Annotated[Literal["cells", "mean", "median"], AnyCase] | None = Field(
        default=None,
        description='"cells" (all cells of the well at once), or "mean" or "median" of its sites\' profiles',
        examples=["mean"],
    )
    treatment_aggregation: Annotated[Summary, AnyCase] | None = Field(
        default=None, description='"mean" or "median", from wells or sites to a treatment', examples=["mean"]
    )
    treatment_source: Annotated[Literal["site", "well"], AnyCase] | None = Field(
        default=None,
        description='"site" or "well", the profiles that treatments are made of',
        examples=["well"],
    )
    minimum_cells: WholeNumber = Field(
        default=1, ge=1, description="wells with fewer cells get no profile", examples=[1]
    )
    minimum_cells_per_site: WholeNumber = Field(
        default=1, ge=1, description="sites with fewer cells get no profile", examples=[1]
    )
    outlier_cells: Number | None = Field(
        default=None,
        gt=0,
        description="how many robust standard deviations from the well's median cell a cell may lie; "
        "cells further away are left out",
        examples=[5.0],
    )
    annotations: Names = Field(
        default=(),
        description="tables in inputs/metadata that tell more of wells or treatments, such as their "
        "mechanism of action",
        examples=[["moa.csv"]],
    )
    treatment_fields: Names | None = Field(
        default=None,
        min_length=1,
        description="the columns that together name a treatment",
        examples=[["Compound", "Concentration"]],
    )
    control_field: Name | None = Field(
        default=None, description="the column that tells control wells apart", examples=["Compound"]
    )
    control_values: Labels | None = Field(
        default=None,
        min_length=1,
        description="the values of control_field for control wells",
        examples=[["DMSO"]],
    )
    concentration_field: Name | None = Field(
        default=None, description="the column with the dose", examples=["Concentration"]
    )
    replicate_field: Name | None = Field(
        default=None, description="the column with the number of the replicate", examples=["Replicate"]
    )


class NormalizationSettings(Section):
    """``profiles.normalization``: every feature brought to one scale, by pycytominer's ``normalize``."""

    method: Annotated[NormalizationMethod, AnyCase] | None = Field(
        default=None,
        description='"none", "standardize" (z-score), "robustize" or "mad_robustize"',
        examples=["standardize"],
    )
    by: Annotated[Literal["plate", "batch", "all"], AnyCase] | None = Field(
        default=None,
        description='"plate", "batch" or "all", what is brought to one scale',
        examples=["plate"],
    )
    reference: Annotated[Literal["controls", "all"], AnyCase] | None = Field(
        default=None,
        description='"controls" or "all", the profiles that the scale is taken from',
        examples=["controls"],
    )


class CorrectionSettings(Section):
    """``profiles.correction``: batch correction against the controls."""

    method: Annotated[Literal[CorrectionMethod, "standardize", "mad_robustize"], AnyCase] | None = Field(
        default=None,
        description='"none", "whitening", "sphering", or "tvn" (whitening, then CORAL batch by batch); '
        '"standardize" and "mad_robustize" are understood as profiles.normalization.method',
        examples=["sphering"],
    )
    regularization: Number | None = Field(
        default=None,
        gt=0,
        description="lambda, what is added to the eigenvalues of the controls' covariance",
        examples=[0.01],
    )
    level: Annotated[Literal["site", "well"], AnyCase] | None = Field(
        default=None,
        description='"site" or "well", the profiles that are normalized, corrected and selected',
        examples=["well"],
    )
    batch_field: Name | None = Field(
        default=None, description="the column with the batch of a plate", examples=["Batch"]
    )
    compat: bool = Field(
        default=False,
        description="true to add 1 in place of lambda to a batch's covariance, as the original notebook does",
        examples=[False],
    )


class FeatureSelectionSettings(Section):
    """``profiles.feature_selection``: which features stay, by pycytominer's ``feature_select``."""

    operations: Annotated[tuple[Annotated[SelectionOperation, AnyCase], ...], OneOrMore, Distinct] = Field(
        default=(),
        description='a list of "variance_threshold", "correlation_threshold", "drop_na_columns", '
        '"drop_outliers", "blocklist" and "noise_removal"',
        examples=[["variance_threshold", "correlation_threshold"]],
    )
    correlation_threshold: Number = Field(
        default=0.9, gt=0, le=1, description="the correlation above which one of two goes", examples=[0.9]
    )
    frequency_cut: Number = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="least frequency of the second most common value",
        examples=[0.05],
    )
    unique_cut: Number = Field(
        default=0.01, ge=0, lt=1, description="least share of distinct values", examples=[0.01]
    )
    missing_cutoff: Number = Field(
        default=0.05,
        ge=0,
        le=1,
        description="the share of missing values a feature may have",
        examples=[0.05],
    )
    outlier_cutoff: Number = Field(
        default=500.0, gt=0, description="the largest value a feature may have", examples=[500]
    )
    noise_cutoff: Number = Field(
        default=0.8,
        gt=0,
        description="the standard deviation within a treatment above which a feature is noise",
        examples=[0.8],
    )


class RegularizationSweepSettings(Section):
    """``profiles.regularization_sweep``: which lambda the scores would choose, and how that one does."""

    values: Annotated[tuple[Annotated[Number, Field(gt=0)], ...], OneOrMore, Distinct] = Field(
        default=(1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6),
        min_length=1,
        description="the values of lambda to try",
        examples=[[0.1, 0.01, 0.001]],
    )
    score: Annotated[Literal["map", "enrichment", "nsc"], AnyCase] = Field(
        default="map", description='"map", "enrichment" or "nsc", the score that chooses', examples=["map"]
    )
    splits: WholeNumber = Field(
        default=10, ge=1, description="how many times the labels are halved", examples=[10]
    )
    seed: WholeNumber = Field(default=0, ge=0, description="the seed of the halving", examples=[0])


class FeaturesSettings(Section):
    """``features``: tables of features made by another program, in place of images and a network."""

    files: Names = Field(
        min_length=1,
        description="files or folders in inputs/features (or absolute paths); * and ** stand for any name",
        examples=[["cellprofiler/*.csv"]],
    )
    format: Annotated[Literal["auto", "cellprofiler", "pycytominer", "jump", "deepprofiler"], AnyCase] = (
        Field(
            default="auto",
            description='"auto", "cellprofiler", "pycytominer", "jump" or "deepprofiler" (npz files)',
            examples=["auto"],
        )
    )
    level: Annotated[Literal["auto", "cell", "site", "well"], AnyCase] = Field(
        default="auto", description='"auto", "cell", "site" or "well", what a row is', examples=["well"]
    )
    plate_field: Name | None = Field(
        default=None, description="the column with the plate", examples=["Metadata_Plate"]
    )
    well_field: Name | None = Field(
        default=None, description="the column with the well", examples=["Metadata_Well"]
    )
    site_field: Name | None = Field(
        default=None, description="the column with the site", examples=["Metadata_Site"]
    )
    feature_columns: Names | None = Field(
        default=None,
        min_length=1,
        description="names or patterns of the columns that are features; otherwise found by their names",
        examples=[["Cells_*", "Nuclei_*"]],
    )
    missing_values: Annotated[Literal["drop_features", "drop_rows", "fail"], AnyCase] = Field(
        default="drop_features",
        description='"drop_features", "drop_rows" or "fail", what to do where values are missing',
        examples=["drop_features"],
    )
