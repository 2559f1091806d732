"""Single cells drawn from the features of all plates, for scores that look at cells."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
import pyarrow as pa

from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.storage.profile_columns import BATCH, COMPOUND, CONTROL, IS_CONTROL, LABEL, TREATMENT
from dp_assets.storage.schemas import CELL_KEY, PLATE, WELL
from dp_assets.storage.tables import StoredTable


class CellDraws:
    """Cells of treated wells and of control wells, drawn at random in one pass over the plates.

    Memory holds one well and what was drawn: `per_well` x `repeats` cells of every treated well, and at most
    `control_cells` control cells in all, shared evenly among the control wells.

    Parameters
    ----------
    wells : table of schema `profiles`, which says what each well is. Wells that are not in it are not drawn.
    per_well : cells drawn from every treated well, for every repeat; wells with fewer cells are left out.
    repeats : how often cells are drawn; within a repeat no cell is drawn twice.
    control_cells : the most control cells.
    seed : of all draws.
    """

    def __init__(
        self, wells: pa.Table, *, per_well: int, repeats: int, control_cells: int, seed: int
    ) -> None:
        self._columns = {name: wells[name].to_pylist() for name in (TREATMENT, COMPOUND, LABEL, BATCH)}
        keys = zip(wells[PLATE].to_pylist(), wells[WELL].to_pylist(), strict=True)
        self._row_of = {key: row for row, key in enumerate(keys)}
        self._is_control = np.array([value == IS_CONTROL for value in wells[CONTROL].to_pylist()], bool)
        self._per_well, self._repeats = per_well, repeats
        self._per_control_well = max(1, control_cells // max(1, int(self._is_control.sum())))
        self._random = np.random.default_rng(seed)
        self._names: list[str] = []
        self._drawn: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(repeats)]
        self._controls: list[np.ndarray] = []
        self.too_few = 0

    def add(self, features: StoredTable) -> None:
        """Draw from the wells of one plate; its wells lie together.

        Parameters
        ----------
        features : table of schema `cell_features`. Cells with a feature that is not finite are not drawn.
        """
        names = [name for name in features.schema().names if name not in CELL_KEY]
        self._names = self._names or names
        for (plate, well), cells in _wells(features, names):
            row = self._row_of.get((plate, well))
            if row is None:
                continue
            usable = cells[np.isfinite(cells).all(axis=1)]
            if self._is_control[row]:
                self._controls.append(self._choose(usable, min(self._per_control_well, len(usable))))
            elif len(usable) < self._per_well:
                self.too_few += 1
            else:
                for drawn in self._drawn:
                    drawn.append((row, self._choose(usable, self._per_well)))

    def controls(self) -> np.ndarray:
        """The control cells drawn, (cells, features) float64."""
        return np.concatenate([*self._controls, np.empty((0, len(self._names)))]).astype(np.float64)

    def repeats(self) -> Iterator[ProfileSet]:
        """The treated cells of each repeat, of level "cell"."""
        for drawn in self._drawn:
            rows = np.repeat([row for row, _ in drawn], self._per_well).astype(np.int64)
            features = np.concatenate([*(cells for _, cells in drawn), np.empty((0, len(self._names)))])
            yield self._profile_set(rows, features.astype(np.float64))

    def _choose(self, cells: np.ndarray, count: int) -> np.ndarray:
        return cells[np.sort(self._random.choice(len(cells), count, replace=False))]

    def _profile_set(self, rows: np.ndarray, features: np.ndarray) -> ProfileSet:
        keys = list(self._row_of)
        column = {
            name: np.array([values[row] for row in rows], object) for name, values in self._columns.items()
        }
        return ProfileSet(
            level="cell",
            features=features,
            names=np.array(self._names, object),
            treatments=column[TREATMENT],
            compounds=column[COMPOUND],
            labels=column[LABEL],
            batches=column[BATCH],
            plates=np.array([keys[row][0] for row in rows], object),
            wells=np.array([keys[row][1] for row in rows], object),
            is_control=np.zeros(len(rows), bool),
        )


def draw_from_plates(draws: CellDraws, plates: Mapping[str, StoredTable]) -> CellDraws:
    """Draw from every plate, in the order of their names."""
    for plate in sorted(plates):
        draws.add(plates[plate])
    return draws


def _wells(features: StoredTable, names: list[str]) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """(plate, well) and its cells (n, d), well by well."""
    current: tuple[str, str] | None = None
    parts: list[np.ndarray] = []
    for group in features.row_groups():
        keys = list(zip(group[PLATE].to_pylist(), group[WELL].to_pylist(), strict=True))
        values = np.stack([group[name].to_numpy() for name in names], axis=1)
        starts = [0, *(i for i in range(1, len(keys)) if keys[i] != keys[i - 1]), len(keys)]
        for start, stop in pairwise(starts):
            if start == stop:
                continue
            if keys[start] != current:
                if current is not None:
                    yield current, np.concatenate(parts)
                current, parts = keys[start], []
            parts.append(values[start:stop])
    if current is not None:
        yield current, np.concatenate(parts)
