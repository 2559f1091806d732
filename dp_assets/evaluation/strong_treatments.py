"""Treatments that stand out from the controls: which to train on (no labels are used)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.bootstrap import count_interval
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.score import Score, ScoreResult, not_applicable
from dp_assets.evaluation.well_selection import treated_wells

# Principal components up to this share of the variance, and of these the ones with more than the second.
_VARIANCE = 0.95
_LEAST_SHARE = 0.005
_LINE = "three wells far from the controls by principal components or on the UMAP"


@dataclass(frozen=True)
class StrongTreatments:
    """What stands out.

    Attributes
    ----------
    selected : treatments with enough wells that stand out, sorted.
    table : per treatment `treatment`, `compound`, `wells`, `strong_wells`, how many wells each criterion
        chose (`by_components`, `by_map`, `by_control`), and `selected`.
    """

    selected: tuple[str, ...]
    table: pd.DataFrame


def strong_treatments(
    profiles: ProfileSet,
    protocol: EvaluationProtocol,
    coordinates: np.ndarray,
    *,
    minimum_wells: int = 3,
    against_control: bool = False,
) -> StrongTreatments:
    """Select the treatments of which enough wells lie far from the controls.

    A well is strong by its principal components (for each component, as large a share of all wells as its
    share of the variance, those furthest from the median control), or by its place on a map of two dimensions
    (further from the mean control than 95 % of controls). Source: the choice of training sets in the
    DeepProfiler papers, which asks for three wells of four.

    Parameters
    ----------
    profiles : of wells.
    protocol : `exclude_from_wells` is used.
    coordinates : (wells, 2), the map, such as `umap` of `projection.project`; NaN for wells not on it.
    minimum_wells : strong wells that a treatment needs.
    against_control : a third criterion, off in the papers: correlation with the median control of the plate
        below the 5th percentile of the controls' own.

    Raises
    ------
    ValueError : fewer than two control wells (on the map), or `coordinates` of another shape.
    """
    if coordinates.shape != (len(profiles), 2):
        raise ValueError(f"Expected coordinates ({len(profiles)}, 2). Received {coordinates.shape}.")
    mapped = int((profiles.is_control & np.isfinite(coordinates).all(axis=1)).sum())
    if mapped < 2:
        raise ValueError(f"Expected at least two control wells on the map. Received {mapped}.")
    chosen = {
        "by_components": _far_along_components(profiles.features, profiles.is_control),
        "by_map": _far_on_map(coordinates, profiles.is_control),
        "by_control": _unlike_control(profiles) if against_control else np.zeros(len(profiles), bool),
    }
    treated = treated_wells(profiles, protocol).rows
    wells = pd.DataFrame({name: rows[treated] for name, rows in chosen.items()})
    wells.insert(0, "strong_wells", wells.any(axis=1))
    wells.insert(0, "wells", 1)
    wells.insert(0, "compound", profiles.compounds[treated].astype(str))
    wells.insert(0, "treatment", profiles.treatments[treated].astype(str))
    table = wells.groupby("treatment", as_index=False).agg(
        {name: "first" if name == "compound" else "sum" for name in wells.columns[1:]}
    )
    table["selected"] = table["strong_wells"] >= minimum_wells
    return StrongTreatments(tuple(table.loc[table["selected"], "treatment"]), table)


def strong_treatment_scores(
    profiles: ProfileSet, protocol: EvaluationProtocol, coordinates: np.ndarray
) -> ScoreResult:
    """How many treatments stand out; the table "strong_treatments" names them.

    Parameters
    ----------
    profiles, protocol, coordinates : as for `strong_treatments`.
    """
    name = "strong_treatments"
    mapped = np.isfinite(coordinates).all(axis=1)
    if (profiles.is_control & mapped).sum() < 2:
        return ScoreResult((not_applicable(name, "treatments", _LINE, "there are no two control wells"),))
    found = strong_treatments(profiles, protocol, coordinates)
    count = len(found.table)
    if not count:
        return ScoreResult((not_applicable(name, "treatments", _LINE, "there are no treated wells"),))
    selected = found.table["selected"].to_numpy(bool)
    score = Score(
        name,
        float(selected.sum()),
        count,
        "treatments",
        _LINE,
        *count_interval(selected, protocol),
        excluded=treated_wells(profiles, protocol).excluded,
        details={"fraction": float(selected.mean())},
    )
    return ScoreResult((score,), {name: found.table})


def _far_along_components(features: np.ndarray, is_control: np.ndarray) -> np.ndarray:
    """(wells,) bool: for each component, a share of the wells as large as its share of the variance."""
    from sklearn.decomposition import PCA

    pca = PCA(_VARIANCE, svd_solver="full")
    places = pca.fit_transform(features)
    far = np.zeros(len(features), bool)
    for column, share in zip(places.T, pca.explained_variance_ratio_, strict=True):
        if share > _LEAST_SHARE:
            distance = np.abs(column - np.median(column[is_control]))
            count = round(len(features) * share)
            far[np.argsort(-distance, kind="stable")[:count]] = True
    return far


def _far_on_map(coordinates: np.ndarray, is_control: np.ndarray) -> np.ndarray:
    distance = np.linalg.norm(coordinates - np.nanmean(coordinates[is_control], axis=0), axis=1)
    far: np.ndarray = distance > np.nanpercentile(distance[is_control], 95)
    return far


def _unlike_control(profiles: ProfileSet) -> np.ndarray:
    """(wells,) bool; never True on plates without controls."""
    similar = np.full(len(profiles), np.inf)
    for plate in set(profiles.plates):
        rows = profiles.plates == plate
        if not (rows & profiles.is_control).any():
            continue
        control = np.median(profiles.features[rows & profiles.is_control], axis=0)
        similar[rows] = [np.corrcoef(profile, control)[0, 1] for profile in profiles.features[rows]]
    unlike: np.ndarray = similar < np.percentile(similar[profiles.is_control], 5)
    return unlike
