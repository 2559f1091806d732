"""When a check of results fails, and what its failing does: section ``checks`` of ``project.yaml``.

Nothing that is computed depends on these settings, so changing one makes no result stale.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from dp_assets.config.fields import AnyCase, Number, Section
from dp_assets.config.validation import nearest_name

Severity = Literal["off", "warn", "error", "block"]
# What would mislead stops what depends on it; what is odd warns.
USUAL_SEVERITY: dict[str, Severity] = {
    "fields_in_focus": "warn",
    "fields_not_saturated": "warn",
    "fields_not_empty": "warn",
    "channels_in_order": "error",
    "cell_counts_usual": "warn",
    "cells_inside": "block",
    "centres_on_nuclei": "block",
    "illumination_range": "block",
    "crops_not_flat": "block",
    "features_finite": "block",
    "features_vary": "warn",
    "wells_in_one_split": "block",
    "images_in_one_split": "block",
    "classes_balanced": "warn",
    "predictions_sane": "block",
    "controls_steady": "warn",
}


class ChecksSettings(Section):
    """``checks`` of ``project.yaml``: thresholds, and the severity of single checks."""

    severity: dict[str, Annotated[Severity, AnyCase]] = Field(
        default_factory=dict,
        description='for single checks "off", "warn", "error" or "block"',
        examples=[{"wells_in_one_split": "warn"}],
    )
    blur_deviations: Number = Field(
        default=6.0,
        gt=0,
        description="how many robust standard deviations below the plate's median a field's sharpness may be",
        examples=[6],
    )
    blur_slope: Number = Field(
        default=-4.5,
        lt=0,
        description="the slope of the power spectrum below which any field counts as blurred",
        examples=[-4.5],
    )
    saturated_fraction: Number = Field(
        default=0.01, gt=0, le=1, description="the share of an image's pixels that may be cut off at the top"
    )
    empty_contrast: Number = Field(
        default=8.0,
        gt=0,
        description="the contrast, in standard deviations of the noise, below which a field is empty",
        examples=[8],
    )
    empty_share: Number = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="the share of the plate's median grey-level range below which a field is empty",
        examples=[0.2],
    )
    swap_margin: Number = Field(
        default=1.0,
        gt=0,
        description="how much better, in robust standard deviations, channels fit when two are exchanged",
        examples=[1],
    )
    few_cells: Number = Field(
        default=0.25, gt=0, lt=1, description="the share of the plate's median count that a well must have"
    )
    many_cells: Number = Field(
        default=4.0, gt=1, description="how many times the plate's median count a well may have", examples=[4]
    )
    control_cells: Number = Field(
        default=2.0,
        gt=1,
        description="the factor between the count of a control well and that of all controls",
        examples=[2],
    )
    outside_fraction: Number = Field(
        default=0.05, ge=0, le=1, description="the share of cells outside their image that blocks"
    )
    centre_rank: Number = Field(
        default=0.6,
        gt=0,
        lt=1,
        description="the share of an image that must be darker than the centres of nuclei",
        examples=[0.6],
    )
    illumination_range: Number = Field(
        default=5.0, gt=1, description="the largest illumination correction", examples=[5]
    )
    flat_fraction: Number = Field(
        default=0.2, ge=0, le=1, description="the share of crops without contrast that blocks"
    )
    constant_fraction: Number = Field(
        default=0.5, ge=0, le=1, description="the share of features that may be constant over a plate"
    )
    class_ratio: Number = Field(
        default=20.0, ge=1, description="how many times the smallest class the largest may be", examples=[20]
    )
    collapsed_share: Number = Field(
        default=0.95, gt=0, le=1, description="the share of validation cells that one class may be given"
    )
    control_drift: Number = Field(
        default=3.0,
        gt=0,
        description="how many times as far as earlier plates a plate's controls may lie",
        examples=[3],
    )

    @field_validator("severity")
    @classmethod
    def _known_checks(cls, value: dict[str, Severity]) -> dict[str, Severity]:
        for name in value:
            if name not in USUAL_SEVERITY:
                near = nearest_name(name, list(USUAL_SEVERITY))
                hint = f'did you mean "{near}"?' if near else f"known here: {', '.join(USUAL_SEVERITY)}"
                raise ValueError(f'there is no check "{name}" whose severity can be set; {hint}')
        return value

    def severity_of(self, name: str) -> Severity:
        """What failing does, for a check of `USUAL_SEVERITY`."""
        return self.severity.get(name, USUAL_SEVERITY[name])
