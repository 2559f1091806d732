"""Which outline image belongs to which field of view: inputs/metadata/outlines.csv, or a column of the index.

Handbook, section 2.4: the outlines lie in `inputs/outlines`, and a table names that of every field of view.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from upath import UPath

from dp_assets.config.errors import ImageIndexError, Problem
from dp_assets.storage.csv_strings import read_csv_strings
from dp_assets.storage.index_file import why_outside
from dp_assets.storage.schemas import SITE_KEY

OUTLINES_FILE = "outlines.csv"
OUTLINES_FOLDER = "outlines"
OUTLINES_COLUMN = "Outlines"
MOST_PROBLEMS = 20

SiteKey = tuple[str, str, str]


@dataclass(frozen=True)
class OutlinesListing:
    """The outline images of a project.

    Attributes
    ----------
    paths : (plate, well, site) -> path as it is written, relative to `inputs/outlines` or absolute. Fields of
        view without outlines are left out.
    source : where that is written, for messages.
    """

    paths: Mapping[SiteKey, str]
    source: str


def read_outlines(
    metadata: Path | UPath, image_index: pa.Table, image_roots: Sequence[str] = ()
) -> OutlinesListing:
    """Read `outlines.csv` in the folder `metadata`; without it, the column `Outlines` of the image index.

    Parameters
    ----------
    image_index : table of schema `image_index`.
    image_roots : folders that absolute paths may lie under.

    Raises
    ------
    ImageIndexError : there is neither; a column is missing, a field of view is listed twice, or a path leaves
        the allowed folders (the lines are named).
    """
    file = metadata / OUTLINES_FILE
    if file.exists():
        return _from_file(file, image_roots)
    if OUTLINES_COLUMN in image_index.column_names:
        columns = [image_index[name].to_pylist() for name in (*SITE_KEY, OUTLINES_COLUMN)]
        frame = pd.DataFrame(dict(zip((*SITE_KEY, OUTLINES_COLUMN), columns, strict=True)), dtype=object)
        rows = ["/".join(key) for key in zip(*columns[:3], strict=True)]
        return _listing(frame, rows, "the image index", image_roots)
    raise ImageIndexError(
        f"mask_objects is true, but there is no {OUTLINES_FILE} and the image index has no column "
        f"{OUTLINES_COLUMN}",
        where=str(file),
        remedy=f"write {OUTLINES_FILE} with columns {', '.join(SITE_KEY)} and {OUTLINES_COLUMN} (a path "
        "relative to inputs/outlines), or set dataset.locations.mask_objects to false",
    )


def _from_file(file: Path | UPath, image_roots: Sequence[str]) -> OutlinesListing:
    frame = read_csv_strings(file, ImageIndexError)
    wanted = (*SITE_KEY, OUTLINES_COLUMN)
    present = () if frame is None else tuple(map(str, frame.columns))
    missing = [name for name in wanted if name not in present]
    if frame is None or missing:
        raise ImageIndexError(
            f"column {' and '.join(missing)} is missing; columns are: {', '.join(present) or 'none'}",
            where=f"{file}, line 1",
            remedy=f"name the columns {', '.join(wanted)}",
        )
    return _listing(frame, [f"line {line}" for line in frame.index], str(file), image_roots)


def _listing(
    frame: pd.DataFrame, rows: Sequence[str], source: str, image_roots: Sequence[str]
) -> OutlinesListing:
    paths: dict[SiteKey, str] = {}
    problems = []
    keys = zip(*(frame[name] for name in SITE_KEY), strict=True)
    for row, key, value in zip(rows, keys, frame[OUTLINES_COLUMN], strict=True):
        if not value.strip():
            continue
        why = why_outside(value, image_roots)
        if why:
            problems.append(
                Problem(
                    f"{value!r} is not a usable path: {why}",
                    f"{source}, {row}, column {OUTLINES_COLUMN}",
                    "give a path relative to inputs/outlines, or add its folder to image_roots "
                    "in project.yaml",
                )
            )
        elif key in paths:
            plate, well, site = key
            problems.append(
                Problem(
                    f"plate {plate}, well {well}, site {site} is listed more than once",
                    f"{source}, {row}",
                    "keep one row per field of view",
                )
            )
        paths[key] = value
    if problems:
        more = len(problems) - MOST_PROBLEMS
        shown = problems[:MOST_PROBLEMS]
        if more > 0:
            shown.append(Problem(f"... and {more} more problems", source, "put these right first"))
        raise ImageIndexError(shown)
    return OutlinesListing(paths, source)
