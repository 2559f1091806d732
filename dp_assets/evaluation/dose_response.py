"""Does the profile move away from the controls as the dose rises?"""

from dataclasses import dataclass

import numpy as np
import scipy


@dataclass(frozen=True)
class DoseResponse:
    """The response of one compound.

    Attributes
    ----------
    compound : its name.
    doses : (d,) the different doses, ascending.
    distances : (d,) median distance of the wells of each dose from the controls.
    spearman : rank correlation of `distances` with `doses`; NaN with fewer than 3 doses.
    wells : number of wells.
    """

    compound: str
    doses: np.ndarray
    distances: np.ndarray
    spearman: float
    wells: int


def control_distances(profiles: np.ndarray, is_control: np.ndarray) -> np.ndarray:
    """Distance of every well from the controls, in units of the controls' own scatter.

    Euclidean distance from the mean control profile, divided by the median of that distance over the control
    wells: a well like the controls is at about 1.

    Parameters
    ----------
    profiles : (wells, features), finite.
    is_control : (wells,) bool, at least two of them true.

    Raises
    ------
    ValueError : fewer than two controls, or controls that are all alike.
    """
    if is_control.sum() < 2:
        raise ValueError(f"Expected at least two control wells. Received {int(is_control.sum())}.")
    wide = profiles.astype(np.float64)
    distances = np.linalg.norm(wide - wide[is_control].mean(axis=0), axis=1)
    scatter = float(np.median(distances[is_control]))
    if scatter == 0:
        raise ValueError("Expected control wells that differ. Received identical profiles.")
    return distances / scatter


def dose_responses(compounds: np.ndarray, doses: np.ndarray, distances: np.ndarray) -> list[DoseResponse]:
    """The response of every compound with at least two positive doses, sorted by name.

    Parameters
    ----------
    compounds : (wells,) str.
    doses : (wells,) float; wells without a positive dose are left out.
    distances : (wells,).
    """
    dosed = np.isfinite(doses) & (doses > 0)
    found = []
    for name in sorted(set(compounds[dosed])):
        chosen = dosed & (compounds == name)
        levels = np.unique(doses[chosen])
        if len(levels) < 2:
            continue
        medians = np.array([np.median(distances[chosen & (doses == level)]) for level in levels])
        rank = float(scipy.stats.spearmanr(levels, medians).statistic) if len(levels) > 2 else float("nan")
        found.append(DoseResponse(str(name), levels, medians, rank, int(chosen.sum())))
    return found
