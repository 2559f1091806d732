"""The image index as the user writes it (inputs/metadata/index.csv or .parquet), checked row by row.

One row is one field of view; identifiers stay strings throughout, so a site "01" stays "01".
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from dp_assets.config.errors import ImageFileError, ImageIndexError, Problem
from dp_assets.storage.atomic import is_local
from dp_assets.storage.csv_strings import read_csv_strings
from dp_assets.storage.image_planes import WHOLE_FILE, PlaneSelection, split_plane
from dp_assets.storage.names import PLATE_NAME, WELL_OR_SITE_NAME, looks, why_unusable
from dp_assets.storage.places import place_at
from dp_assets.storage.schemas import IMAGE_INDEX, PLATE, SITE, SITE_KEY, WELL

INDEX_NAMES = ("index.csv", "index.parquet")
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f]")
ROW_INDEX_COLUMN = re.compile(r"__index_level_\d+__")
MOST_PROBLEMS = 50


@dataclass(frozen=True)
class IndexLocation:
    """Where the index lies, and what its paths are relative to.

    Attributes
    ----------
    path : the index file.
    images : folder that channel paths are relative to (`inputs/images`).
    image_roots : further folders that absolute paths may lie under.
    """

    path: Path | UPath
    images: Path | UPath
    image_roots: tuple[str, ...] = ()


def find_index(metadata: Path | UPath) -> Path | UPath:
    """The index file in the folder `metadata`. Raises ImageIndexError when there is none, or two."""
    found = [metadata / name for name in INDEX_NAMES if (metadata / name).exists()]
    if len(found) == 1:
        return found[0]
    if found:
        raise ImageIndexError(
            f"there are two indexes: {', '.join(path.name for path in found)}",
            where=str(metadata),
            remedy="keep one of them",
        )
    raise ImageIndexError(
        "there is no image index",
        where=str(metadata),
        remedy=f"write {INDEX_NAMES[0]} with columns {', '.join(SITE_KEY)} and one path column per channel",
    )


def read_index(location: IndexLocation, channels: Sequence[str]) -> pa.Table:
    """Read and check the index; every problem is reported at once.

    Returns
    -------
    Table with `Metadata_Plate`, `Metadata_Well`, `Metadata_Site` first and every other column as it is named
    in the file, all strings; empty cells are empty strings. Row order is the file's.

    Raises
    ------
    ImageIndexError : missing columns, empty index, names that cannot be keys or file names, (plate, well,
        site) given twice, empty paths, paths that leave the allowed folders.
    """
    frame = read_index_strings(location.path)
    problems = _column_problems(frame, channels, str(location.path))
    if not problems and frame.empty:
        problems = [_problem(location, "", PLATE, "the index has no rows", "list at least one field of view")]
    if not problems:
        problems = [
            *_name_problems(frame, location),
            *_duplicate_problems(frame, location),
            *_look_alike_problems(frame, location),
            *_path_problems(frame, channels, location),
        ]
    if problems:
        more = len(problems) - MOST_PROBLEMS
        shown = problems[:MOST_PROBLEMS]
        if more > 0:
            shown.append(
                Problem(f"... and {more} more problems", str(location.path), "put these right first")
            )
        raise ImageIndexError(shown)
    ordered = [*SITE_KEY, *(name for name in frame.columns if name not in SITE_KEY)]
    return IMAGE_INDEX.enforce(
        pa.table({name: pa.array(frame[name].astype(object), pa.string()) for name in ordered})
    )


def read_index_strings(path: Path | UPath) -> pd.DataFrame:
    """The index as it stands in the file, unchecked: strings only; the frame's index says which line or row.

    Raises
    ------
    ImageIndexError : the file is empty or cannot be read.
    """
    if path.suffix == ".parquet":
        return _read_parquet_strings(path)
    frame = read_csv_strings(path, ImageIndexError)
    if frame is None:
        raise ImageIndexError(
            "the index is empty", where=str(path), remedy=f"give it a header with {', '.join(SITE_KEY)}"
        )
    return frame


def _read_parquet_strings(path: Path | UPath) -> pd.DataFrame:
    with path.open("rb") as stream:
        try:
            # The metadata that pandas adds would turn columns into row labels.
            frame = pq.read_table(stream, page_checksum_verification=True).to_pandas(ignore_metadata=True)
        except (pa.ArrowException, OSError) as error:
            raise ImageIndexError(
                f"the index cannot be read: {error}",
                where=str(path),
                remedy="save it as Parquet again, or as CSV",
            ) from error
    frame = frame[[name for name in frame.columns if not ROW_INDEX_COLUMN.fullmatch(name)]]
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    return frame.astype(object).map(as_identifier)


def as_identifier(value: Any) -> str:
    """A value of a typed column as the string a user would write for it."""
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _column_problems(frame: pd.DataFrame, channels: Sequence[str], where: str) -> list[Problem]:
    present = ", ".join(map(str, frame.columns))
    found = [
        Problem(f"column {name} is missing; columns are: {present}", where, f"add a column {name}")
        for name in SITE_KEY
        if name not in frame.columns
    ]
    found += [
        Problem(
            f"there is no column for channel {name}; columns are: {present}",
            where,
            f"add a column {name} with the path of each image, or correct dataset.images.channels",
        )
        for name in channels
        if name not in frame.columns
    ]
    return found


def _problem(location: IndexLocation, row: str, column: str, what: str, remedy: str) -> Problem:
    return Problem(what, f"{location.path}, {row}column {column}", remedy)


def _row(frame: pd.DataFrame, number: int) -> str:
    """How a message names a row: "line 5, " of a CSV file as editors show it, "row 4, " of Parquet."""
    return f"{frame.index.name} {number}, "


def _name_problems(frame: pd.DataFrame, location: IndexLocation) -> list[Problem]:
    found = []
    for column, pattern in ((PLATE, PLATE_NAME), (WELL, WELL_OR_SITE_NAME), (SITE, WELL_OR_SITE_NAME)):
        first = frame[column].drop_duplicates()
        for row, name in zip(first.index, first, strict=True):
            why = why_unusable(name, pattern)
            if why:
                found.append(
                    _problem(
                        location,
                        _row(frame, row),
                        column,
                        f"{name!r} cannot be used as a name: {why}",
                        "rename it: letters, digits, '.', '_' and '-', beginning with a letter or digit",
                    )
                )
    return found


def _look_alike_problems(frame: pd.DataFrame, location: IndexLocation) -> list[Problem]:
    """Names that are one and the same for people, or for a file system that does not tell case apart."""
    found = []
    told: set[tuple[str, ...]] = set()
    seen = {name: looks(name) for column in SITE_KEY for name in frame[column].unique()}
    first: dict[tuple[str, ...], str] = {}
    for row, key in zip(frame.index, frame[list(SITE_KEY)].itertuples(index=False, name=None), strict=True):
        for depth, name in enumerate(key):
            # A well is compared with the other wells of its plate, a site with those of its well.
            earlier = first.setdefault((*key[:depth], seen[name]), name)
            if earlier != name and key[: depth + 1] not in told:
                told.add(key[: depth + 1])
                found.append(
                    _problem(
                        location,
                        _row(frame, row),
                        SITE_KEY[depth],
                        f"{name!a} and {earlier!a} look alike: they differ only in case, or in how "
                        "Unicode spells the same letters",
                        "write a name the same way in every row, or give the two different names",
                    )
                )
    return found


def _duplicate_problems(frame: pd.DataFrame, location: IndexLocation) -> list[Problem]:
    keys = frame[list(SITE_KEY)]
    repeated = keys[keys.duplicated(keep="first")]
    return [
        _problem(
            location,
            _row(frame, row),
            SITE,
            f"plate {plate}, well {well}, site {site} is listed more than once",
            "keep one row per field of view",
        )
        for row, (plate, well, site) in zip(
            repeated.index, repeated.itertuples(index=False, name=None), strict=True
        )
    ]


def _path_problems(frame: pd.DataFrame, channels: Sequence[str], location: IndexLocation) -> list[Problem]:
    found = []
    for channel in channels:
        for row, value in zip(frame.index, frame[channel], strict=True):
            why = why_outside(value, location.image_roots) or _why_no_plane(value, location)
            if why:
                found.append(
                    _problem(
                        location,
                        _row(frame, row),
                        channel,
                        f"{value!r} is not a usable path: {why}",
                        "give a path relative to inputs/images, or add its folder to image_roots "
                        "in project.yaml",
                    )
                )
    return found


def _why_no_plane(value: str, location: IndexLocation) -> str | None:
    """Why what stands behind a path is no plane of it; None when it is, or nothing does."""
    if "#" not in value:
        return None
    try:
        return why_outside(locate_image(value, location).path, location.image_roots)
    except ImageFileError as error:
        return error.problems[0].what


def why_outside(value: str, image_roots: Sequence[str]) -> str | None:
    """Why `value` is not a path inside the allowed folders; None when it is."""
    if not value.strip():
        return "it is empty"
    if CONTROL_CHARACTER.search(value):
        return "it holds a control character"
    path = PurePosixPath(value.replace("\\", "/"))
    if ".." in path.parts:
        return "it climbs out of its folder"
    if not path.name:
        return "it names no file"
    is_absolute = value.startswith("/") or "://" in value
    if is_absolute and not any(value.startswith(root.rstrip("/") + "/") for root in image_roots):
        return "absolute paths are allowed only under image_roots"
    return None


def resolve_image(value: str, location: IndexLocation) -> Path | UPath:
    """The file a channel path of the index means."""
    if "://" in value:
        return place_at(value)
    if value.startswith("/"):
        return Path(value)
    return location.images / value


@dataclass(frozen=True)
class ImageReference:
    """What a channel path of the index means.

    Attributes
    ----------
    path : as the index gives it, without the plane.
    file : the file, or the group of an image inside an OME-Zarr.
    selection : what stands behind the path about its plane.
    """

    path: str
    file: Path | UPath
    selection: PlaneSelection


def locate_image(value: str, location: IndexLocation) -> ImageReference:
    """The file and the plane that a channel path of the index means.

    A file of this very name comes first, so that a `#` may be part of a name; on an object store it is not
    looked for.

    Raises
    ------
    ImageFileError : what stands behind the `#` is no plane.
    """
    whole = resolve_image(value, location)
    if "#" not in value or (is_local(whole) and os.path.exists(whole)):
        return ImageReference(value, whole, WHOLE_FILE)
    path, selection = split_plane(value)
    return ImageReference(path, resolve_image(path, location), selection)
