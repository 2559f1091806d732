"""DeepProfiler's feature files as a stream of rows: a row is a cell."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from dp_assets.interchange.feature_files import FeatureFiles
from dp_assets.interchange.feature_rows import FeatureRows, RowKeys
from dp_assets.interchange.legacy_folder import ImportPlan, plan_import, read_site
from dp_assets.interchange.legacy_npz import MODEL, summarise_legacy_npz
from dp_assets.interchange.site_files import SiteName
from dp_assets.interchange.table_batches import TableFileError
from dp_assets.storage.index_file import INDEX_NAMES, as_identifier, read_index_strings
from dp_assets.storage.read_ahead import read_ahead
from dp_assets.storage.schemas import PLATE, SITE, SITE_KEY, WELL

UNLISTED_FILES = "files of sites that the index does not list"
_WORKERS = 2
_IMAGE_ENDING = r"\.(?:tiff?|png|jpe?g|bmp|flex|npy|zarr)(?:#.*)?$"


class NpzSource:
    """A folder of DeepProfiler's feature files (see `feature_rows.FeatureSource`).

    Parameters
    ----------
    plan : the files, found and looked into.
    index : plate, well, site and what else is known of the sites; strings.
    notes : remarks for people.
    """

    sites_known = True
    sites_named = True
    always_cells = True

    def __init__(self, plan: ImportPlan, index: pd.DataFrame, notes: tuple[str, ...] = ()) -> None:
        self._plan = plan
        self.features = tuple(f"{plan.model}_{number}" for number in range(plan.dimension))
        self.left_out = {UNLISTED_FILES: len(plan.found.unknown)} if plan.found.unknown else {}
        self.notes = notes
        self._metadata = _site_metadata(index)

    def row_keys(self) -> Iterator[RowKeys]:
        """Where all rows come from, site by site."""
        for site, path in self._files():
            yield _keys(site, path, self._plan.cells[site.key])

    def rows(self) -> Iterator[FeatureRows]:
        """All cells, site by site."""
        for (site, path), content in read_ahead(
            self._files(), lambda item: read_site(*item), workers=_WORKERS
        ):
            cells = len(content.features)
            known = self._metadata.get((site.plate, site.well, site.site), {})
            yield FeatureRows(
                keys=_keys(site, path, cells),
                images=None,
                objects=None,
                metadata={name: np.full(cells, value, dtype=object) for name, value in known.items()},
                features=content.features,
            )

    def _files(self) -> Iterator[tuple[SiteName, Path]]:
        for plate in self._plan.plates:
            yield from self._plan.files_of(plate)


def open_npz_source(files: FeatureFiles, metadata_folder: Path) -> NpzSource:
    """Look into DeepProfiler's feature files.

    The image index says which sites there are; without one, what the files say of themselves.

    Parameters
    ----------
    metadata_folder : `inputs/metadata`, where the index lies if there is one.

    Raises
    ------
    StoreError : files are damaged, of another site than their name says, or of different networks.
    TableFileError : there is no index, and a file does not say of which site it is.
    ImageIndexError : the index cannot be read.
    """
    if files.npz_folder is None:
        raise ValueError("Expected npz files. Received none.")
    index, notes = _index(files, metadata_folder)
    table = pa.table({name: pa.array(index[name].astype(object), pa.string()) for name in SITE_KEY})
    plan = plan_import(files.npz_folder, table, workers=_WORKERS)
    return NpzSource(plan, index, notes)


def _index(files: FeatureFiles, folder: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    path = next((folder / name for name in INDEX_NAMES if (folder / name).is_file()), None)
    if path is None:
        return _index_of_files(files), ("there is no image index: sites are those that the files name",)
    index = read_index_strings(path)
    missing = [name for name in SITE_KEY if name not in index.columns]
    if missing:
        raise TableFileError(
            f"the image index has no column {', '.join(missing)}", where=str(path), remedy="add it"
        )
    return index, ()


def _index_of_files(files: FeatureFiles) -> pd.DataFrame:
    """What newer files say of their own site."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for path, summary in read_ahead(files.npz, summarise_legacy_npz, workers=_WORKERS):
        told = {name: as_identifier(value) for name, value in summary.metadata.items() if name != MODEL}
        if not all(told.get(name) for name in SITE_KEY):
            raise TableFileError(
                "there is no image index, and the file does not say of which plate, well and site it is",
                where=str(path),
                remedy="put the index that the features were made with into inputs/metadata/index.csv",
            )
        rows[tuple(told[name] for name in SITE_KEY)] = told
    return pd.DataFrame(list(rows.values()), dtype=object).fillna("")


def _keys(site: SiteName, path: Path, cells: int) -> RowKeys:
    names = (np.full(cells, name, dtype=object) for name in (site.plate, site.well, site.site))
    return RowKeys(path, np.arange(1, cells + 1), *names)


def _site_metadata(index: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, str]]:
    """(plate, well, site) -> `Metadata_*` -> value, without the paths of images."""
    names = [
        name
        for name in index.columns
        if name not in SITE_KEY and not index[name].str.contains(_IMAGE_ENDING, case=False).any()
    ]
    targets = {name: name if name.startswith("Metadata_") else f"Metadata_{name}" for name in names}
    keys = zip(index[PLATE], index[WELL], index[SITE], strict=True)
    records = index[names].rename(columns=targets).to_dict("records")
    return {
        key: {str(k): str(v) for k, v in record.items()} for key, record in zip(keys, records, strict=True)
    }
