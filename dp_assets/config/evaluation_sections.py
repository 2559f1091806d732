"""The sections about scores: which are computed, on which labels, and how."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from dp_assets.config.fields import (
    AnyCase,
    Ascending,
    Distinct,
    Labels,
    Name,
    Number,
    OneOrMore,
    Section,
    WholeNumber,
)
from dp_assets.config.profile_sections import Preset

Metric = Literal[
    "nsc",
    "nscb",
    "nscb_strict",
    "map",
    "enrichment",
    "precision_recall",
    "ranking",
    "first_hit",
    "activity",
    "consistency",
    "replicate_strength",
    "plate_effect",
    "label_probes",
    "classifier",
    "strong_treatments",
]
HitLevel = Literal["treatment", "well", "site", "cell"]
# Not computed unless asked for: they look at cells, or choose a training set instead of judging profiles.
FURTHER_METRICS: tuple[Metric, ...] = ("classifier", "strong_treatments")
METRICS: tuple[Metric, ...] = tuple(name for name in get_args(Metric) if name not in FURTHER_METRICS)


class EvaluationSettings(Section):
    """``evaluation``: what profiles are held against, and which scores are computed."""

    preset: Annotated[Preset, AnyCase] | None = Field(
        default=None,
        description='"custom", "bbbc021", "cell_painting", "bbbc022", "bbbc036" or "taorf"; '
        "that of profiles unless given",
        examples=["bbbc021"],
    )
    label_field: Name | None = Field(
        default=None, description="the column with the label, such as the mechanism", examples=["MOA"]
    )
    label_separator: str | None = Field(
        default=None,
        description='what stands between several labels of one treatment; "" for one label only',
        examples=["|"],
    )
    compound_field: Name | None = Field(
        default=None, description="the column with the compound", examples=["Compound"]
    )
    exclude_from_wells: Labels | None = Field(
        default=None,
        description="compounds that are left out of everything that is shown or scored well by well",
        examples=[["taxol"]],
    )
    metrics: Annotated[tuple[Annotated[Metric, AnyCase], ...], OneOrMore, Distinct] = Field(
        default=METRICS,
        min_length=1,
        description="a list of " + ", ".join(f'"{name}"' for name in (*METRICS, *FURTHER_METRICS)),
        examples=[["nsc", "nscb", "map"]],
    )
    top_percentile: Number = Field(
        default=99.0,
        gt=0,
        lt=100,
        description="the percentile above which a neighbour is near",
        examples=[99.0],
    )
    ks: Annotated[tuple[Annotated[WholeNumber, Field(ge=1)], ...], OneOrMore, Distinct, Ascending] = Field(
        default=(5, 10, 15, 20, 25, 30, 35, 40, 45, 50),
        min_length=1,
        description="numbers of neighbours for precision@k and recall@k",
        examples=[[5, 10, 50]],
    )
    null_draws: WholeNumber = Field(
        default=1000, ge=10, description="how many draws make a null distribution", examples=[1000]
    )
    null_size: WholeNumber = Field(default=10, ge=2, description="how many wells a draw holds", examples=[10])
    permutations: WholeNumber = Field(
        default=10_000, ge=10, description="how many permutations give a p-value", examples=[10000]
    )
    significance: Number = Field(
        default=0.05, gt=0, lt=1, description="the q-value below which a result counts", examples=[0.05]
    )
    bootstraps: WholeNumber = Field(
        default=1000, ge=10, description="resamples for confidence intervals", examples=[1000]
    )
    confidence: Number = Field(
        default=0.95, gt=0, lt=1, description="the level of confidence intervals", examples=[0.95]
    )
    first_hit_levels: Annotated[tuple[Annotated[HitLevel, AnyCase], ...], OneOrMore, Distinct] = Field(
        default=("treatment", "well", "site"),
        min_length=1,
        description='a list of "treatment", "well", "site" and "cell"',
        examples=[["treatment", "well"]],
    )
    cells_per_well: WholeNumber = Field(
        default=10, ge=1, description="cells drawn from each well for first hits of cells", examples=[10]
    )
    control_cells: WholeNumber = Field(
        default=50_000, ge=2, description="control cells that cells are sphered with", examples=[50000]
    )
    first_hit_repeats: WholeNumber = Field(
        default=10, ge=1, description="how often cells are drawn for first hits of cells", examples=[10]
    )
    probe_folds: WholeNumber = Field(default=5, ge=2, description="folds of the label probes", examples=[5])
    seed: WholeNumber = Field(default=0, ge=0, description="the seed of all draws", examples=[0])
    compat: bool = Field(
        default=False,
        description="true to compute the scores with the quirks of the original notebooks",
        examples=[False],
    )


class TsneSettings(Section):
    """``evaluation.projections.tsne``."""

    perplexity: Number = Field(
        default=30.0, gt=0, description="about how many neighbours count", examples=[30]
    )


class UmapSettings(Section):
    """``evaluation.projections.umap``."""

    n_neighbors: WholeNumber = Field(default=15, ge=2, description="how many neighbours count", examples=[15])
    min_dist: Number = Field(default=0.1, ge=0, le=1, description="how close points may lie", examples=[0.1])
