"""What somebody wants scored, and the experiments that this means: one for each variant."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dp_assets.config.errors import ProjectError
from dp_assets.config.overrides import with_assignments
from dp_assets.config.profile_sections import Preset


@dataclass(frozen=True)
class Variant:
    """A way to make profiles comparable: a scale per plate against the controls, then batch correction."""

    name: str
    normalization: str
    correction: str


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("zscore", "standardize", "none"),
        Variant("whitening", "standardize", "whitening"),
        Variant("tvn", "standardize", "tvn"),
        Variant("sphering", "standardize", "sphering"),
        Variant("mad_robustize", "mad_robustize", "none"),
        Variant("uncorrected", "none", "none"),
    )
}
USUAL = ("zscore", "whitening", "tvn")


@dataclass(frozen=True)
class ScoreRequest:
    """What somebody wants scored, and how.

    Attributes
    ----------
    tables : files or folders with features, absolute.
    annotations : tables that tell more of wells or treatments, absolute.
    preset : where columns and numbers come from that are not given here.
    control : the column that tells control wells apart, and its values there.
    treatment : the columns that together name a treatment.
    label, compound, batch : columns.
    normalization, correction : a variant of one's own; None for what goes with the other one.
    regularization : lambda of every variant with a correction.
    treatment_aggregation : "mean" or "median" over the wells of a treatment.
    variants : names in `VARIANTS`, beside the one of one's own.
    settings : "section.key=value" for every variant.
    """

    tables: tuple[Path, ...]
    annotations: tuple[Path, ...] = ()
    preset: Preset = "custom"
    control: tuple[str, tuple[str, ...]] | None = None
    treatment: tuple[str, ...] = ()
    label: str | None = None
    compound: str | None = None
    batch: str | None = None
    normalization: str | None = None
    correction: str | None = None
    regularization: float | None = None
    treatment_aggregation: str = "mean"
    variants: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


def chosen_variants(request: ScoreRequest) -> list[Variant]:
    """The variants asked for, none twice; the usual three when none is.

    Raises
    ------
    ProjectError : lambda is given, and no variant uses it.
    """
    found = [VARIANTS[name] for name in request.variants]
    if request.normalization is not None or request.correction is not None:
        scale, correction = request.normalization or "standardize", request.correction or "none"
        known = (v for v in VARIANTS.values() if (v.normalization, v.correction) == (scale, correction))
        found.append(next(known, Variant(f"{scale}_{correction}", scale, correction)))
    found = list(dict.fromkeys(found)) or [VARIANTS[name] for name in USUAL]
    if request.regularization is not None and all(variant.correction == "none" for variant in found):
        raise ProjectError(
            f"{', '.join(variant.name for variant in found)}: no correction, so lambda has no meaning",
            where="--lambda",
            remedy="leave it out, or add --variant whitening, tvn or sphering",
        )
    return found


def variant_settings(request: ScoreRequest, variant: Variant) -> dict[str, Any]:
    """The experiment file of a variant, as plain values."""
    normalization: dict[str, Any] = {"method": variant.normalization}
    if variant.normalization != "none":
        normalization |= {"by": "plate", "reference": "controls"}
    correction: dict[str, Any] = {"method": variant.correction, "level": "well"}
    if variant.correction != "none" and request.regularization is not None:
        correction["regularization"] = request.regularization
    if request.batch is not None:
        correction["batch_field"] = request.batch
    profiles: dict[str, Any] = {
        "preset": request.preset,
        "treatment_aggregation": request.treatment_aggregation,
        "treatment_source": "well",
        "normalization": normalization,
        "correction": correction,
    }
    if request.annotations:
        profiles["annotations"] = [str(path) for path in request.annotations]
    if request.treatment:
        profiles["treatment_fields"] = list(request.treatment)
    if request.control is not None:
        profiles["control_field"], values = request.control
        profiles["control_values"] = list(values)
    evaluation = {"label_field": request.label, "compound_field": request.compound}
    return with_assignments(
        {
            "features": {"files": [str(path) for path in request.tables]},
            "profiles": profiles,
            "evaluation": {key: value for key, value in evaluation.items() if value is not None},
        },
        request.settings,
    )
