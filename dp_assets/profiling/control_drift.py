"""Whether the controls of a plate look like those of the plates before it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dp_assets.profiling.profile_tables import feature_array, feature_names
from dp_assets.storage.profile_columns import CONTROL, IS_CONTROL
from dp_assets.storage.schemas import PLATE

LEAST_PLATES = 2
LEAST_CONTROLS = 2


@dataclass(frozen=True)
class PlateDrift:
    """How far a plate's controls lie from those of earlier plates.

    Attributes
    ----------
    plate : its name.
    distance : of its mean control from the mean of earlier plates, in standard deviations of control profiles
        within a plate, root mean square over the features.
    usual : the same between earlier plates: median distance of one from the mean of the others; at least what
        differences between the profiles of one plate make.
    controls : how many control profiles it has.
    """

    plate: str
    distance: float
    usual: float
    controls: int

    @property
    def ratio(self) -> float:
        """How many times as far as usual."""
        return self.distance / self.usual


def control_drift(table: pa.Table) -> list[PlateDrift]:
    """Of every plate with two earlier ones, how far its controls lie.

    Parameters
    ----------
    table : profiles before normalization, with the column `Metadata_Control`; plates in the order in which
        they came. Plates with fewer than two control profiles are left out.

    Returns
    -------
    In the order of plates. Features that are not finite somewhere, or constant within plates, do not count.
    """
    is_control = np.array([value == IS_CONTROL for value in table[CONTROL].to_pylist()], bool)
    controls = table.filter(pa.array(is_control))
    features = feature_array(controls, feature_names(controls)).astype(np.float64)
    features = features[:, np.isfinite(features).all(axis=0)]
    plates = np.array(controls[PLATE].to_pylist(), object)
    groups = {plate: features[plates == plate] for plate in dict.fromkeys(plates.tolist())}
    groups = {plate: rows for plate, rows in groups.items() if len(rows) >= LEAST_CONTROLS}
    names = list(groups)
    return [
        _drift(names[number], groups[names[number]], [groups[name] for name in names[:number]])
        for number in range(LEAST_PLATES, len(names))
        if features.shape[1]
    ]


def _drift(plate: str, rows: np.ndarray, earlier: list[np.ndarray]) -> PlateDrift:
    means = np.array([group.mean(axis=0) for group in earlier])
    squares = sum(((group - group.mean(axis=0)) ** 2).sum(axis=0) for group in earlier)
    spread = np.sqrt(squares / (sum(map(len, earlier)) - len(earlier)))
    varies = spread > 1e-12 * np.abs(means).max(axis=0)
    if not varies.any():
        return PlateDrift(plate, 0.0, 1.0, len(rows))
    means, spread = means[:, varies], spread[varies]
    between = [
        _distance(means[number], np.delete(means, number, axis=0).mean(axis=0), spread)
        for number in range(len(means))
    ]
    by_chance = np.sqrt(1 / len(rows) + np.mean([1 / len(group) for group in earlier]) / len(earlier))
    distance = _distance(rows.mean(axis=0)[varies], means.mean(axis=0), spread)
    return PlateDrift(plate, distance, float(max(np.median(between), by_chance)), len(rows))


def _distance(first: np.ndarray, second: np.ndarray, spread: np.ndarray) -> float:
    return float(np.sqrt(np.mean(((first - second) / spread) ** 2)))
