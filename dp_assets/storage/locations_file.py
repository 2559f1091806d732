"""Cell locations as other programs write them: inputs/locations/<plate>/<well>-<site>-Nuclei.csv."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from upath import UPath

from dp_assets.config.errors import LocationsError, Problem
from dp_assets.storage.allowed_paths import is_special, why_elsewhere
from dp_assets.storage.csv_strings import read_csv_strings
from dp_assets.storage.schemas import CENTER_X, CENTER_Y

ENDING = "-Nuclei.csv"
MOST_PROBLEMS = 20


@dataclass(frozen=True)
class SiteLocations:
    """The cells of one site.

    Attributes
    ----------
    frame : one row per cell in file order; `Nuclei_Location_Center_X` (column) and `_Y` (row) are float64
        pixels of the original image, 0-based; further columns are as in the file (float64 when every value is
        a number, else str).
    file_found : False when there is no file (which means no cells).
    """

    frame: pd.DataFrame
    file_found: bool


def locations_path(folder: Path | UPath, plate: str, well: str, site: str) -> Path | UPath:
    """Where the locations of one site lie under `folder` (inputs/locations)."""
    return folder / plate / f"{well}-{site}{ENDING}"


def read_locations(path: Path | UPath) -> SiteLocations:
    """Read one site's locations.

    Raises
    ------
    LocationsError : a coordinate column is missing, or a value is not a finite number; the bad lines are
        named.
    """
    if not path.exists():
        return SiteLocations(_no_cells(), file_found=False)
    frame = read_csv_strings(path, LocationsError)
    if frame is None:
        return SiteLocations(_no_cells(), file_found=True)
    missing = [name for name in (CENTER_X, CENTER_Y) if name not in frame.columns]
    if missing:
        raise LocationsError(
            f"column {' and '.join(missing)} is missing; columns are: {', '.join(map(str, frame.columns))}",
            where=str(path),
            remedy=f"name the columns {CENTER_X} (column) and {CENTER_Y} (row)",
        )
    check_centres(frame, path)
    if frame.empty:
        return SiteLocations(_no_cells(), file_found=True)
    return SiteLocations(frame.reset_index(drop=True).apply(typed_column), file_found=True)


def refuse_locations_elsewhere(path: Path | UPath, folder: Path | UPath, roots: Sequence[str]) -> None:
    """Raise LocationsError where a link leads out of `inputs/locations` and `image_roots`, or to no file."""
    why = why_elsewhere(path, folder, roots)
    if why is None and is_special(path):
        why = "it is a pipe, a device or a socket, not a file"
    if why:
        raise LocationsError(
            why, where=str(path), remedy="put the file itself there, or add its folder to image_roots"
        )


def _no_cells() -> pd.DataFrame:
    return pd.DataFrame({CENTER_X: np.empty(0), CENTER_Y: np.empty(0)})


def check_centres(frame: pd.DataFrame, path: Path | UPath) -> None:
    """Refuse cells whose centre is not a finite number.

    Parameters
    ----------
    frame : columns `Nuclei_Location_Center_X` and `_Y`; the index says which line or row of the file, and
        its name which of the two.

    Raises
    ------
    LocationsError : the bad lines are named, the first of them when they are very many.
    """
    problems = [problem for name in (CENTER_X, CENTER_Y) for problem in _problems(frame, name, path)]
    more = len(problems) - MOST_PROBLEMS
    if more > 0:
        problems[MOST_PROBLEMS:] = [
            Problem(f"... and {more} more problems", str(path), "put these right first")
        ]
    if problems:
        raise LocationsError(problems)


def _problems(frame: pd.DataFrame, column: str, path: Path | UPath) -> list[Problem]:
    numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float)
    return [
        Problem(
            f"{_shown(frame[column].iloc[row])} is not a number",
            f"{path}, {frame.index.name or 'line'} {frame.index[row]}, column {column}",
            "write the cell's coordinate in pixels, or remove the line",
        )
        for row in np.flatnonzero(~np.isfinite(numbers)).tolist()
    ]


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def typed_column(column: pd.Series) -> pd.Series:
    """A column of strings as it comes along: numbers where every value given is one.

    Identifiers (`Metadata_*`) stay as they are written.
    """
    if str(column.name).startswith("Metadata_"):
        return column
    text = column.str.strip()
    numbers = pd.to_numeric(text, errors="coerce")
    # "nan" is how CellProfiler writes a measurement that could not be made.
    words = numbers.isna() & ~text.str.lower().isin(["", "nan"])
    return column if words.any() or (text == "").all() else numbers.astype(float)
