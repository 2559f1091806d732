"""Tables of cells and annotations for the tests of profiles."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from dp_assets.storage.schemas import CELL_FEATURES, CELL_KEY
from dp_assets.storage.tables import StoredTable, TableStream, write_table

Site = tuple[str, str, str]


def feature_columns(width: int) -> list[str]:
    return [f"net_{number}" for number in range(width)]


def stored_cells(folder: Path, sites: Sequence[Site], values: np.ndarray, group: int = 4) -> StoredTable:
    """A table of cells in row groups of `group` cells; `sites` holds plate, well and site of each cell."""
    names = feature_columns(values.shape[1])
    schema = pa.schema([*((n, pa.string()) for n in CELL_KEY), *((n, pa.float32()) for n in names)])

    def groups() -> Iterator[pa.Table]:
        for start in range(0, len(sites), group):
            part = slice(start, start + group)
            keys = [list(column) for column in zip(*sites[part], strict=True)]
            cells = [str(start + number) for number in range(len(sites[part]))]
            arrays = [
                *(pa.array(column, pa.string()) for column in (*keys, cells)),
                *(pa.array(column, pa.float32()) for column in values[part].T),
            ]
            yield pa.Table.from_arrays(arrays, schema=schema)

    path = folder / "f.parquet"
    write_table(path, TableStream(schema, groups, {"fingerprint": "made of"}), CELL_FEATURES)
    return StoredTable(path)


def text_table(columns: Mapping[str, Sequence[str | None]]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def feature_values(table: pa.Table) -> np.ndarray:
    """(rows, features) float64."""
    names = [name for name in table.column_names if not name.startswith("Metadata_")]
    return np.array([table[name].to_pylist() for name in names], np.float64).T.reshape(
        table.num_rows, len(names)
    )
