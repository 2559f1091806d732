"""Feature tables of other programs as one stream of rows with the same features."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dp_assets.config.profile_sections import FeaturesSettings
from dp_assets.interchange.annotation_files import AnnotationTable
from dp_assets.interchange.column_names import (
    IMAGE_ROLE,
    OBJECT_ROLE,
    PLATE_ROLE,
    SITE_ROLE,
    TABLE_ROLE,
    WELL_ROLE,
    shown_names,
)
from dp_assets.interchange.feature_columns import FeatureColumns, recognise_columns
from dp_assets.interchange.feature_rows import FeatureRows, RowKeys
from dp_assets.interchange.image_wells import ImageWells, image_wells
from dp_assets.interchange.table_batches import TableBatch, TableFileError
from dp_assets.interchange.table_files import TableFile, open_table, table_stem
from dp_assets.storage.profile_columns import CELL_COUNT

UNLISTED = "rows of images that no annotation table lists"
EMPTY = "empty rows"
DIFFERENT = "features that are not in every file"
UNUSED = "columns of numbers that are no features by their names"
POSITIONS = "columns of positions, counts and object numbers, which are no features"
_LINE_BREAK = re.compile(r"[\r\n]")


@dataclass(frozen=True)
class _Opened:
    """A table with what its columns mean, and where its wells come from when no column tells them."""

    file: TableFile
    columns: FeatureColumns
    wells: ImageWells | None

    @property
    def plate(self) -> str | None:
        """The plate of a table that does not name it: its own name."""
        told = PLATE_ROLE in self.columns.roles or (
            self.wells is not None and any(place[0] for place in self.wells.wells.values())
        )
        return None if told else table_stem(self.file.path)

    @property
    def site_column(self) -> bool:
        """Whether a column of its own tells the site, here or in the image table."""
        return SITE_ROLE in self.columns.roles or (
            self.wells is not None and any(place[2] for place in self.wells.wells.values())
        )


@dataclass
class TableSource:
    """Tables with the same features (see `feature_rows.FeatureSource`)."""

    tables: tuple[_Opened, ...]
    features: tuple[str, ...]
    left_out: dict[str, int]
    notes: tuple[str, ...]
    always_cells: bool = False

    @property
    def sites_named(self) -> bool:
        """Whether every table has sites of its own."""
        return all(table.site_column for table in self.tables)

    @property
    def sites_known(self) -> bool:
        """Whether every table tells the site of a row, be it by the number of the image."""
        return all(table.site_column or IMAGE_ROLE in table.columns.roles for table in self.tables)

    def row_keys(self) -> Iterator[RowKeys]:
        """Where all rows come from, without their features."""
        for table in self.tables:
            for batch in table.file.batches((), _key_columns(table)):
                keys, listed = _located(table, batch)
                yield keys.of(listed & (keys.well != ""))

    def rows(self) -> Iterator[FeatureRows]:
        """All rows; memory holds one block of a file."""
        self.left_out.pop(UNLISTED, None)
        self.left_out.pop(EMPTY, None)
        used = 0
        for table in self.tables:
            for rows in self._rows_of(table):
                used += len(rows.keys)
                yield rows
        if not used:
            raise self._no_rows()

    def _rows_of(self, table: _Opened) -> Iterator[FeatureRows]:
        columns = table.columns
        texts = {**dict.fromkeys(_key_columns(table)), **dict.fromkeys(columns.metadata)}
        if columns.cell_count is not None:
            texts[columns.cell_count] = None
        if OBJECT_ROLE in columns.roles:
            texts[columns.roles[OBJECT_ROLE]] = None
        for batch in table.file.batches(self.features, list(texts)):
            keys, listed = _located(table, batch)
            empty = listed & (keys.well == "") & np.isnan(batch.numbers).all(axis=1)
            self._count(UNLISTED, int((~listed).sum()))
            self._count(EMPTY, int(empty.sum()))
            use = listed & ~empty
            _refuse_nameless(keys, use, table)
            yield _used(table, batch, keys.of(use), use)

    def _count(self, reason: str, rows: int) -> None:
        if rows:
            self.left_out[reason] = self.left_out.get(reason, 0) + rows

    def _no_rows(self) -> TableFileError:
        where = ", ".join(str(table.file.path) for table in self.tables[:3])
        if UNLISTED not in self.left_out:
            return TableFileError(
                "there are no rows with features", where=where, remedy="export the features again"
            )
        images = next(table.wells for table in self.tables if table.wells is not None)
        return TableFileError(
            f"no row is of an image that {images.source.path.name} lists "
            f"({self.left_out[UNLISTED]:,} rows, looked for by {' and '.join(images.key)} number)",
            where=where,
            remedy="name the image table of these features in profiles.annotations",
        )


def open_table_source(
    paths: Sequence[Path],
    settings: FeaturesSettings,
    annotations: Sequence[AnnotationTable] = (),
) -> TableSource:
    """Look into feature tables and find out what they have in common.

    Parameters
    ----------
    annotations : tables that may tell the wells of numbered images.

    Raises
    ------
    TableFileError : a table cannot be used, has no well, or no feature that all others have.
    """
    tables = tuple(_opened(path, settings, annotations) for path in paths)
    left_out: dict[str, int] = {}
    features = _common_features(tables, settings, left_out)
    columns = tables[0].columns
    for reason, names in ((UNUSED, columns.unused), (POSITIONS, columns.positions)):
        if names:
            left_out[reason] = len(names)
    notes = []
    named_by_file = [table for table in tables if table.plate is not None]
    if named_by_file:
        notes.append(
            f"no column tells the plate: the names of {len(named_by_file)} files are taken, such as "
            f"{named_by_file[0].plate}"
        )
    looked_up = next((table.wells for table in tables if table.wells is not None), None)
    if looked_up is not None:
        notes.append(f"wells come from {looked_up.source.path.name} by {' and '.join(looked_up.key)} number")
    return TableSource(tables, features, left_out, tuple(notes))


def _opened(path: Path, settings: FeaturesSettings, annotations: Sequence[AnnotationTable]) -> _Opened:
    file = open_table(path)
    columns = recognise_columns(file.columns, settings, str(path))
    wells = None
    if WELL_ROLE not in columns.roles:
        wells = image_wells(columns.roles, annotations)
        if wells is None:
            raise TableFileError(
                f"no column tells the well; columns are: {shown_names(c.name for c in file.columns)}",
                where=str(path),
                remedy="name it in features.well_field; or, of tables with ImageNumber only, name in "
                "profiles.annotations an image table with ImageNumber, plate and well",
            )
    return _Opened(file, columns, wells)


def _common_features(
    tables: Sequence[_Opened], settings: FeaturesSettings, left_out: dict[str, int]
) -> tuple[str, ...]:
    """The features of all tables, in the order of the first."""
    first = tables[0].columns.features
    common = set(first).intersection(*(table.columns.features for table in tables))
    if all(len(table.columns.features) == len(common) for table in tables):
        return first
    other = next(table for table in tables if set(table.columns.features) != set(first))
    apart = [*sorted(set(first) ^ set(other.columns.features))]
    if not common or settings.missing_values != "drop_features":
        raise TableFileError(
            f"its features differ from those of {tables[0].file.path.name} in {len(apart)} columns: "
            f"{shown_names(apart[:5])}",
            where=str(other.file.path),
            remedy="name files of one kind, or in features.feature_columns the features that all have",
        )
    everything = set(first).union(*(table.columns.features for table in tables))
    left_out[DIFFERENT] = len(everything) - len(common)
    return tuple(name for name in first if name in common)


def _key_columns(table: _Opened) -> list[str]:
    roles = (PLATE_ROLE, WELL_ROLE, SITE_ROLE, TABLE_ROLE, IMAGE_ROLE)
    return list(dict.fromkeys(table.columns.roles[role] for role in roles if role in table.columns.roles))


def _text(values: pa.Array) -> np.ndarray:
    return np.array(values.to_pylist(), dtype=object)


def _located(table: _Opened, batch: TableBatch) -> tuple[RowKeys, np.ndarray]:
    """Where the rows of a batch come from, and which of them the image table lists."""
    roles = table.columns.roles
    told: Mapping[str, np.ndarray] = {
        role: _text(batch.texts[name]) for role, name in roles.items() if name in batch.texts
    }
    rows = len(next(iter(told.values()))) if told else 0
    nothing = np.full(rows, "", dtype=object)
    plate, well = told.get(PLATE_ROLE, nothing), told.get(WELL_ROLE, nothing)
    site = told.get(SITE_ROLE, _image_names(told, nothing))
    listed = np.ones(rows, dtype=bool)
    if table.wells is not None:
        places = table.wells.find(told)
        listed = np.array([place is not None for place in places], dtype=bool)
        found = [place or ("", "", "") for place in places]
        well = np.array([place[1] for place in found], dtype=object)
        if PLATE_ROLE not in roles:
            plate = np.array([place[0] for place in found], dtype=object)
        if SITE_ROLE not in roles and table.site_column:
            site = np.array([place[2] for place in found], dtype=object)
    if table.plate is not None:
        plate = np.full(rows, table.plate, dtype=object)
    numbers = np.arange(batch.first_row, batch.first_row + rows)
    return RowKeys(table.file.path, numbers, plate, well, site), listed


def _image_names(told: Mapping[str, np.ndarray], nothing: np.ndarray) -> np.ndarray:
    """Sites by the numbers of their images; several tables of images number them anew."""
    if IMAGE_ROLE not in told:
        return nothing
    if TABLE_ROLE not in told:
        return told[IMAGE_ROLE]
    return told[TABLE_ROLE] + "_" + told[IMAGE_ROLE]


def _refuse_nameless(keys: RowKeys, use: np.ndarray, table: _Opened) -> None:
    """Rows with features, but without a plate or well; names that a quote without end has made."""
    for role, values in ((PLATE_ROLE, keys.plate), (WELL_ROLE, keys.well), (SITE_ROLE, keys.site)):
        unusable = {text for text in set(values.tolist()) if _LINE_BREAK.search(text)}
        if role != SITE_ROLE:
            unusable.add("")
        found = np.flatnonzero(use & np.array([text in unusable for text in values], dtype=bool))
        if len(found):
            value = values[found[0]]
            raise TableFileError(
                f"the {role} is {value[:40]!r}, with a line break" if value else f"the {role} is empty",
                where=f"{keys.where(int(found[0]))}, column {table.columns.roles.get(role, role)}",
                remedy="close the quote that is open" if value else "fill it in, or remove the row",
            )


def _used(table: _Opened, batch: TableBatch, keys: RowKeys, use: np.ndarray) -> FeatureRows:
    """The rows of a batch that are used; `keys` are theirs."""
    columns = table.columns
    metadata = {target: _text(batch.texts[name])[use] for name, target in columns.metadata.items()}
    if columns.cell_count is not None and CELL_COUNT not in metadata:
        metadata[CELL_COUNT] = _text(batch.texts[columns.cell_count])[use]
    objects, image = columns.roles.get(OBJECT_ROLE), columns.roles.get(IMAGE_ROLE)
    return FeatureRows(
        keys=keys,
        images=None if image is None else _text(batch.texts[image])[use],
        objects=None if objects is None else _text(batch.texts[objects])[use],
        metadata=metadata,
        features=batch.numbers if use.all() else batch.numbers[use],
    )
