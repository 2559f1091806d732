"""Features that another program has made, as the tables that profiles start from.

Tables of CellProfiler, pycytominer, JUMP and DeepProfiler, or DeepProfiler's npz files; of cells, sites or
wells.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from dp_assets.config.profile_sections import FeaturesSettings
from dp_assets.interchange.annotation_files import AnnotationTable
from dp_assets.interchange.cell_spill import CellSpill
from dp_assets.interchange.feature_files import FeatureFiles, find_feature_files
from dp_assets.interchange.feature_level import Level, check_unique, find_level
from dp_assets.interchange.feature_rows import FeatureRows, FeatureSource
from dp_assets.interchange.missing_values import (
    FEATURES_LEFT_OUT,
    ROWS_LEFT_OUT,
    ROWS_MOSTLY_MISSING,
    ROWS_WITHOUT_VALUES,
    MissingValues,
    missing_value,
    mostly_missing,
)
from dp_assets.interchange.npz_source import open_npz_source
from dp_assets.interchange.table_batches import TableFileError
from dp_assets.interchange.table_source import open_table_source
from dp_assets.storage.schemas import PLATE, SITE, SITE_PROFILES, WELL, WELL_PROFILES
from dp_assets.storage.tables import StoredTable

# The one site of wells whose cells name none.
ONLY_SITE = "1"


@dataclass(frozen=True)
class ExternalFeatures:
    """Another program's features.

    Attributes
    ----------
    level : what a row of the files is: "cell", "site" or "well".
    plates : in order of first appearance.
    table : of sites or wells: schema `site_profiles` or `well_profiles`, in the order of the files; None for
        cells.
    cell_features : of cells: plate -> its table of schema `cell_features`, below the work folder; else None.
    annotations : one row per site (cells and sites) or well: plate, well, site and the other `Metadata_*`
        columns of the files. Of cells, those that are the same for all cells of a site.
    dropped : reason -> how many rows, features or columns were left out.
    dropped_features : the features among them that miss values.
    notes : what was taken for granted, for people.
    sources : the files.
    fingerprint : a digest of the files' names and content.
    """

    level: Level
    plates: tuple[str, ...]
    table: pa.Table | None
    cell_features: Callable[[str], StoredTable] | None
    annotations: pa.Table
    dropped: dict[str, int]
    dropped_features: tuple[str, ...]
    notes: tuple[str, ...]
    sources: tuple[Path, ...]
    fingerprint: str


@dataclass(frozen=True)
class _Read:
    """What one of the two ways through the files gives."""

    plates: tuple[str, ...]
    table: pa.Table | None
    cells: dict[str, StoredTable]
    annotations: pa.Table
    missing: dict[str, int]
    dropped_features: tuple[str, ...]


def read_external(
    settings: FeaturesSettings,
    folder: Path,
    metadata_folder: Path,
    work: Path,
    *,
    annotations: Sequence[AnnotationTable] = (),
) -> ExternalFeatures:
    """Read the files that the section `features` names.

    Tables of cells are streamed: memory holds a block of a file and a few numbers per cell; the features lie
    in `work` as float32, the cells of a well together. Tables of sites and wells are held in memory.

    Parameters
    ----------
    settings : the section `features`.
    folder : `inputs/features`, which file names are relative to.
    metadata_folder : `inputs/metadata`; the image index there says which sites npz files are of.
    work : folder for temporary files; the tables of cells stay in it.
    annotations : tables that may tell the wells of images, for features with image numbers only.

    Raises
    ------
    TableFileError : files are missing, damaged or no tables, disagree, hold values that are no numbers, or
        rows that come twice; or values are missing where `missing_values` is "fail".
    StoreError : npz files are damaged or of different networks.
    """
    files = find_feature_files(settings.files, folder)
    source = _open(files, settings, metadata_folder, annotations)
    level = find_level(source, settings.level)
    read = _read_cells(source, settings, work) if level == "cell" else _read_rows(source, settings, level)
    return ExternalFeatures(
        level=level,
        plates=read.plates,
        table=read.table,
        cell_features=read.cells.__getitem__ if level == "cell" else None,
        annotations=read.annotations,
        dropped={**source.left_out, **{reason: count for reason, count in read.missing.items() if count}},
        dropped_features=read.dropped_features,
        notes=source.notes,
        sources=files.all,
        fingerprint=files.fingerprint(),
    )


def _open(
    files: FeatureFiles,
    settings: FeaturesSettings,
    metadata_folder: Path,
    annotations: Sequence[AnnotationTable],
) -> FeatureSource:
    if files.npz:
        return open_npz_source(files, metadata_folder)
    return open_table_source(files.tables, settings, annotations)


def _read_cells(source: FeatureSource, settings: FeaturesSettings, work: Path) -> _Read:
    """Bring the cells into the order of wells, a table per plate."""
    folder = work / "external_cells"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    spill = CellSpill(folder, source.features, settings.missing_values)
    for rows in source.rows():
        spill.add(rows if source.sites_known else _in_one_site(rows))
    kept = spill.missing.kept(settings.missing_values, cells=True)
    cells, left_out = {}, 0
    for plate in spill.plates:
        cells[plate], unusable = spill.write(plate, kept)
        left_out += unusable
    names = spill.missing.left_out(kept)
    return _Read(
        plates=spill.plates,
        table=None,
        cells=cells,
        annotations=spill.annotations(),
        missing={
            FEATURES_LEFT_OUT: len(names),
            ROWS_LEFT_OUT: left_out,
            ROWS_WITHOUT_VALUES: spill.without_values,
        },
        dropped_features=names,
    )


def _in_one_site(rows: FeatureRows) -> FeatureRows:
    """Cells of which only the well is known; their numbers count anew in every image."""
    rows.keys.site[:] = ONLY_SITE
    return replace(rows, objects=None)


def _read_rows(source: FeatureSource, settings: FeaturesSettings, level: Level) -> _Read:
    """Sites or wells as one table in memory."""
    parts = [part for part in source.rows() if len(part.keys)]
    check_unique([part.keys for part in parts], level)
    features = np.concatenate([part.features for part in parts])
    finite = np.isfinite(features)
    some = finite.any(axis=1)
    if settings.missing_values == "fail" and not finite.all():
        row, column = (int(place) for place in np.argwhere(~finite)[0])
        raise missing_value(source.features, features[row], _where(parts, row), column)
    hollow = mostly_missing(finite) & (settings.missing_values == "drop_features")
    told = some & ~hollow
    missing = MissingValues(source.features, (~finite[told]).sum(axis=0), int(told.sum()))
    kept = missing.kept(settings.missing_values, cells=False)
    used = told & finite[:, kept].all(axis=1)
    if not used.any():
        raise TableFileError(
            f"every one of the {len(used):,} rows misses a value",
            where="features.missing_values",
            remedy='write "missing_values": "drop_features"',
        )
    metadata = _metadata(parts, level, used)
    names = [name for name, stays in zip(source.features, kept, strict=True) if stays]
    by_feature = np.ascontiguousarray(features[np.ix_(used, kept)].T)
    table = pa.table({**metadata, **dict(zip(names, map(pa.array, by_feature), strict=True))})
    left_out = missing.left_out(kept)
    return _Read(
        plates=tuple(dict.fromkeys(metadata[PLATE].to_pylist())),
        table=(SITE_PROFILES if level == "site" else WELL_PROFILES).enforce(table),
        cells={},
        annotations=pa.table(metadata),
        missing={
            FEATURES_LEFT_OUT: len(left_out),
            ROWS_LEFT_OUT: int((told & ~used).sum()),
            ROWS_MOSTLY_MISSING: int(hollow.sum()),
            ROWS_WITHOUT_VALUES: int((~some).sum()),
        },
        dropped_features=left_out,
    )


def _metadata(parts: Sequence[FeatureRows], level: Level, used: np.ndarray) -> dict[str, pa.Array]:
    """Plate, well, site and the other metadata of the rows that are used; columns of all files."""
    found = {
        PLATE: np.concatenate([part.keys.plate for part in parts]),
        WELL: np.concatenate([part.keys.well for part in parts]),
    }
    if level == "site":
        found[SITE] = np.concatenate([part.keys.site for part in parts])
    for name in dict.fromkeys(name for part in parts for name in part.metadata if name not in found):
        nothing = [np.full(len(part.keys), "", dtype=object) for part in parts]
        found[name] = np.concatenate(
            [part.metadata.get(name, empty) for part, empty in zip(parts, nothing, strict=True)]
        )
    return {name: pa.array(values[used], pa.string()) for name, values in found.items()}


def _where(parts: Sequence[FeatureRows], row: int) -> str:
    for part in parts:
        if row < len(part.keys):
            return part.keys.where(row)
        row -= len(part.keys)
    raise ValueError(f"Expected a row of the files. Received {row} beyond their end.")
