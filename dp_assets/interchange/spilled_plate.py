"""The cells of one plate on disk: appended in any order as plain float32, gathered well by well."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from dp_assets.interchange.feature_rows import RowKeys
from dp_assets.interchange.table_batches import TableFileError
from dp_assets.storage.schemas import CELL_FEATURES, CELL_KEY, SITE_KEY
from dp_assets.storage.tables import StoredTable, TableStream, write_table

SiteKey = tuple[str, str, str]

_VALUES_AT_ONCE = 2**24
_MOST_CELLS_AT_ONCE = 16_000


@dataclass
class SpilledPlate:
    """Cells of a plate; memory holds where each comes from, its site and object number.

    Attributes
    ----------
    path : the file of features; goes away when the table is written.
    width : features per cell.
    """

    path: Path
    width: int
    _sites: list[np.ndarray] = field(default_factory=list)
    _objects: list[np.ndarray] = field(default_factory=list)
    _rows: list[tuple[Path, np.ndarray]] = field(default_factory=list)

    def append(self, keys: RowKeys, sites: np.ndarray, objects: np.ndarray, features: np.ndarray) -> None:
        """Add cells.

        Parameters
        ----------
        keys : where they come from.
        sites : (cells,) number of each one's site.
        objects : (cells, 2) numbers of image and object; the object's is -1 where it has none.
        features : (cells, width) float32.
        """
        self._sites.append(sites)
        self._objects.append(objects)
        # Not the keys themselves: their text takes more memory than all else.
        self._rows.append((keys.path, keys.numbers.astype(np.int64)))
        with self.path.open("ab") as sink:
            sink.write(np.ascontiguousarray(features, np.float32).data)

    def write(
        self, names: Sequence[str], kept: np.ndarray, sites: Sequence[SiteKey]
    ) -> tuple[StoredTable, int]:
        """Write the table of the plate (schema `cell_features`), the cells of a well together.

        Wells and sites are in order of first appearance, cells in that of the files.

        Parameters
        ----------
        names : of the features.
        kept : (width,) bool, the features that stay. Cells that miss one of them are left out.
        sites : (plate, well, site) by the site's number.

        Returns
        -------
        The table, and how many cells were left out.

        Raises
        ------
        TableFileError : an object is listed twice.
        """
        numbers = np.concatenate(self._sites)
        self._refuse_doubled(numbers, sites)
        kinds = [(name, pa.float32()) for name, stays in zip(names, kept, strict=True) if stays]
        schema = pa.schema([*((name, pa.string()) for name in CELL_KEY), *kinds])
        path = self.path.with_suffix(".parquet")
        stream = TableStream(schema, lambda: self._row_groups(numbers, kept, sites, schema))
        written = write_table(path, stream, CELL_FEATURES)
        self.path.unlink()
        return StoredTable(path), len(numbers) - written

    def _row_groups(
        self, numbers: np.ndarray, kept: np.ndarray, sites: Sequence[SiteKey], schema: pa.Schema
    ) -> Iterator[pa.Table]:
        values = np.memmap(self.path, np.float32, "r", shape=(len(numbers), self.width))
        order, cells = _well_order(numbers, sites)
        size = max(1, min(_MOST_CELLS_AT_ONCE, _VALUES_AT_ONCE // self.width))
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            features = np.asarray(values[rows])[:, kept]
            finite = np.isfinite(features).all(axis=1)
            places = [sites[number] for number in numbers[rows[finite]]]
            texts = [[place[part] for place in places] for part in range(len(SITE_KEY))]
            texts.append([str(cell) for cell in cells[start : start + size][finite]])
            by_feature = np.ascontiguousarray(features[finite].T)
            arrays = [*(pa.array(values, pa.string()) for values in texts), *map(pa.array, by_feature)]
            yield pa.Table.from_arrays(arrays, schema=schema)

    def _refuse_doubled(self, numbers: np.ndarray, sites: Sequence[SiteKey]) -> None:
        """The same object of one image in two rows: a file given twice, or two kinds of objects."""
        objects = np.concatenate(self._objects)
        known = np.flatnonzero(objects[:, 1] >= 0)
        named = np.column_stack([numbers[known], objects[known]])
        _, first, counts = np.unique(named, axis=0, return_index=True, return_counts=True)
        doubled = first[counts > 1]
        if not len(doubled):
            return
        name = named[doubled.min()]
        one, other = known[(named == name).all(axis=1)][:2]
        raise TableFileError(
            f"object {name[2]} of {'/'.join(sites[name[0]])} is listed in {self._where(one)} and in "
            f"{self._where(other)}; {len(doubled):,} objects are listed more than once",
            where="features.files",
            remedy="name each file once, and tables of one kind of object; join those of cells and nuclei "
            "with CytoTable first",
        )

    def _where(self, row: int) -> str:
        for path, numbers in self._rows:
            if row < len(numbers):
                return f"{path}, row {numbers[row]}"
            row -= len(numbers)
        raise ValueError(f"Expected a row of the plate. Received {row} beyond its end.")


def _well_order(numbers: np.ndarray, sites: Sequence[SiteKey]) -> tuple[np.ndarray, np.ndarray]:
    """The rows in the order of wells, sites and files; and, in that order, each one's number in its site."""
    wells: dict[tuple[str, str], int] = {}
    of_site = np.array([wells.setdefault(site[:2], len(wells)) for site in sites], dtype=np.int64)
    order = np.lexsort((numbers, of_site[numbers]))
    ordered = numbers[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else ordered
    lengths = np.diff(np.r_[starts, len(ordered)])
    return order, np.arange(len(ordered)) - np.repeat(starts, lengths)
