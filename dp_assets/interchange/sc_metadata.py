"""`sc-metadata.csv`: which exported crop is which cell, of which class, in which split."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from upath import UPath

from dp_assets.config.errors import ImageIndexError, StoreError
from dp_assets.storage.atomic import atomic_file
from dp_assets.storage.schemas import CENTER_X, CENTER_Y, PLATE, SITE, WELL

FILE_NAME = "sc-metadata.csv"
ROW, KEY, TARGET, IMAGE = "index", "Key", "Target", "Image_Name"
# Columns after those of the locations: key, target, label, split, image.
LAST = 5


@dataclass(frozen=True)
class CropLabels:
    """The classes and splits of a project's sites.

    Attributes
    ----------
    label, split : columns of the image index.
    classes : the different values of the label, in the order of their numbers.
    by_site : (plate, well, site) -> (label, split).
    """

    label: str
    split: str
    classes: tuple[str, ...]
    by_site: Mapping[tuple[str, str, str], tuple[str, str]]

    @classmethod
    def of_index(cls, index: pa.Table, label: str, split: str) -> "CropLabels":
        """The labels of all sites of an image index.

        Classes are numbered as DeepProfiler does: by their values among all sites, sorted, numbers by size.
        Sites without a label get no number.

        Raises
        ------
        ImageIndexError : the index has no such columns.
        """
        missing = [name for name in (label, split) if name not in index.column_names]
        if missing:
            raise ImageIndexError(
                f"the image index has no column {' and '.join(missing)}; "
                f"it has {', '.join(index.column_names)}",
                where="image_index",
                remedy="name its columns with the classes and the splits (--label, --split)",
            )
        columns = (index[name].to_pylist() for name in (PLATE, WELL, SITE, label, split))
        by_site = {tuple(site): (name, part) for *site, name, part in zip(*columns, strict=True)}
        return cls(label, split, _in_order({name for name, _ in by_site.values()} - {""}), by_site)


def _in_order(values: Iterable[str]) -> tuple[str, ...]:
    """Sorted; as numbers where all are."""
    try:
        return tuple(sorted(values, key=float))
    except ValueError:
        return tuple(sorted(values))


def site_rows(
    site: tuple[str, str, str],
    cells: Sequence[str],
    locations: Mapping[str, Sequence[Any]],
    labels: CropLabels,
) -> list[dict[str, Any]]:
    """The rows of one site's cells, with the names of their files.

    Parameters
    ----------
    site : plate, well, site; it has a label.
    cells : `Metadata_Cell` of each: its row in the locations file.
    locations : column -> value of each cell.
    """
    label, split = labels.by_site[site]
    target, key = labels.classes.index(label), "/".join(site)
    columns = {name: _as_written(values) for name, values in locations.items()}
    rows = []
    for number, cell in enumerate(cells):
        row: dict[str, Any] = {ROW: cell, **{name: values[number] for name, values in columns.items()}}
        row |= {KEY: key, TARGET: target, labels.label: label, labels.split: split}
        rows.append({**row, IMAGE: f"{key}/{target}@{row[CENTER_X]}x{row[CENTER_Y]}.png"})
    return rows


def _as_written(values: Sequence[Any]) -> list[str]:
    """Numbers as pandas writes them: without a point where the site's whole column is of whole numbers."""
    numbers = [value for value in values if isinstance(value, float)]
    whole = all(value.is_integer() for value in numbers) and None not in values
    return ["" if v is None else str(int(v)) if whole and isinstance(v, float) else str(v) for v in values]


def write_rows(path: Path | UPath, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as CSV, complete or not at all; returns how many. Columns that a row lacks are empty."""
    count = 0
    with atomic_file(path) as sink:
        text = io.TextIOWrapper(sink, encoding="utf-8", newline="")
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(row)
            count += 1
        # The file is closed by `atomic_file`.
        text.detach()
    return count


def join_rows(path: Path | UPath, parts: Sequence[Any]) -> int:
    """Write one file of all rows of several, with the columns of any of them; returns how many.

    Parameters
    ----------
    parts : paths of the files.

    Raises
    ------
    StoreError : the parts have other labels or splits, or number the classes in another way.
    """
    headers = [_header(part) for part in parts]
    for part, header in zip(parts, headers, strict=True):
        if header[-LAST:] != headers[0][-LAST:]:
            raise StoreError(
                f"plate {part.stem} was exported with the columns {', '.join(header[-LAST:])}, "
                f"plate {parts[0].stem} with {', '.join(headers[0][-LAST:])}",
                where=str(path.parent),
                remedy="export all plates with the same --label and --split, or to another --output",
            )
    middle = dict.fromkeys(name for header in headers for name in header[1:-LAST])
    return write_rows(path, [ROW, *middle, *headers[0][-LAST:]], _rows_alike(parts, headers[0][-LAST + 2]))


def _rows_alike(parts: Sequence[Any], label: str) -> Iterator[dict[str, str]]:
    """The rows of all parts; each class has one number in all of them, or StoreError is raised.

    Parts are written one by one, and a class that is added to the index renumbers those behind it.
    """
    numbers: dict[str, str] = {}
    names: dict[str, str] = {}
    for part in parts:
        for row in _rows(part):
            name, number = row[label], row[TARGET]
            if numbers.setdefault(name, number) != number or names.setdefault(number, name) != name:
                raise StoreError(
                    f"class {name} has number {number} in plate {part.stem}, where the plates before it "
                    f"have {name} = {numbers[name]} and {number} = {names.get(number, 'no class')}",
                    where=str(part.parent.parent),
                    remedy="the classes of the image index have changed: export all plates again, or to "
                    "another --output",
                )
            yield row


def _header(path: Path | UPath) -> list[str]:
    with path.open(encoding="utf-8", newline="") as stream:
        return next(csv.reader(stream))


def _rows(path: Path | UPath) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def columns_of(labels: CropLabels, locations: Sequence[str]) -> list[str]:
    """The columns in DeepProfiler's order."""
    own = [KEY, TARGET, labels.label, labels.split, IMAGE]
    return [ROW, *(name for name in locations if name not in own), *own]
