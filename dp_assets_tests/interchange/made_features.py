"""Features of a small plate as tables, with the locations and the index that go with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from dp_assets.storage.schemas import CELL_FEATURES, CELL_KEY
from dp_assets.storage.tables import StoredTable, TableStream, write_table

PLATE = "P1"
DIMENSION = 5
# Cells of every site: a well of two sites, one without cells, one of a single cell.
SITES = {("A01", "1"): 4, ("A01", "02"): 3, ("B02", "1"): 0, ("C03", "1"): 1}


def identity(sites: Mapping[tuple[str, str], int] = SITES, plate: str = PLATE) -> dict[str, list[str]]:
    rows = [(plate, *site, str(cell)) for site, count in sites.items() for cell in range(count)]
    return {name: [row[number] for row in rows] for number, name in enumerate(CELL_KEY)}


def values(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, DIMENSION)).astype(np.float32)


def write_features(
    path: Path,
    sites: Mapping[tuple[str, str], int] = SITES,
    *,
    plate: str = PLATE,
    groups: Sequence[int] = (100,),
    fingerprint: str = "one",
) -> tuple[StoredTable, np.ndarray]:
    """A features table in row groups of these sizes (the last one repeats), and its features."""
    names = identity(sites, plate)
    features = values(len(names[CELL_KEY[0]]))
    columns = {name: pa.array(column, pa.string()) for name, column in names.items()}
    table = pa.table(columns | {f"cnn_{i}": pa.array(features[:, i]) for i in range(DIMENSION)})

    def row_groups():
        start, sizes = 0, [*groups]
        while start < len(table):
            size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
            yield table.slice(start, size).combine_chunks()
            start += size

    facts = {"fingerprint": fingerprint, "network": "cnn"}
    write_table(path, TableStream(table.schema, row_groups, facts), CELL_FEATURES)
    return StoredTable(path), features


def locations(
    sites: Mapping[tuple[str, str], int] = SITES, *, plate: str = PLATE, text: bool = False
) -> pa.Table:
    """Locations of the same cells: X, Y, an area, and with `text` a word."""
    names = identity(sites, plate)
    count = len(names[CELL_KEY[0]])
    columns = {name: pa.array(column, pa.string()) for name, column in names.items()}
    columns["Nuclei_Location_Center_X"] = pa.array(np.arange(count) * 1.5)
    columns["Nuclei_Location_Center_Y"] = pa.array(100.0 - np.arange(count))
    columns["Area"] = pa.array(np.arange(count) * 10.0)
    if text:
        columns["Phase"] = pa.array([f"G{row % 3}" for row in range(count)])
    return pa.table(columns)


def index(
    sites: Mapping[tuple[str, str], int] = SITES, *, plate: str = PLATE, treatment: str = "drug"
) -> pa.Table:
    """The rows of the image index."""
    keys = list(sites)
    return pa.table(
        {
            "Metadata_Plate": [plate] * len(keys),
            "Metadata_Well": [well for well, _ in keys],
            "Metadata_Site": [site for _, site in keys],
            "DNA": [f"{plate}/{well}_{site}.tif" for well, site in keys],
            "Treatment": [treatment if well[0] == "A" else "DMSO" for well, _ in keys],
            "Dose": ["0.50"] * len(keys),
        }
    )
