"""Cell locations as other programs write them: inputs/locations/<plate>/<well>-<site>-Nuclei.csv."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from upath import UPath

from dp_assets.config.errors import LocationsError, Problem
from dp_assets.storage.schemas import CENTER_X, CENTER_Y

ENDING = "-Nuclei.csv"
MOST_PROBLEMS = 20


@dataclass(frozen=True)
class SiteLocations:
    """The cells of one site.

    Attributes
    ----------
    frame : one row per cell in file order; `Nuclei_Location_Center_X` (column) and `_Y` (row) are float64 pixels of the
        original image, 0-based; further columns are as in the file (float64 when every value is a number, else str).
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
    LocationsError : a coordinate column is missing, or a value is not a finite number; every bad line is named.
    """
    if not path.exists():
        return SiteLocations(_no_cells(), file_found=False)
    frame = _read_strings(path)
    if frame is None:
        return SiteLocations(_no_cells(), file_found=True)
    missing = [name for name in (CENTER_X, CENTER_Y) if name not in frame.columns]
    if missing:
        raise LocationsError(
            f"column {' and '.join(missing)} is missing; columns are: {', '.join(map(str, frame.columns))}",
            where=str(path),
            remedy=f"name the columns {CENTER_X} (column) and {CENTER_Y} (row)",
        )
    problems = [problem for name in (CENTER_X, CENTER_Y) for problem in _coordinate_problems(frame, name, path)]
    if problems:
        raise LocationsError(problems[:MOST_PROBLEMS])
    return SiteLocations(frame.apply(_typed), file_found=True)


def _read_strings(path: Path | UPath) -> pd.DataFrame | None:
    try:
        with path.open("rb") as stream:
            return pd.read_csv(stream, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        return None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise LocationsError(
            f"the file cannot be read: {error}", where=str(path), remedy="save it as UTF-8 CSV with a header"
        ) from error


def _no_cells() -> pd.DataFrame:
    return pd.DataFrame({CENTER_X: np.empty(0), CENTER_Y: np.empty(0)})


def _coordinate_problems(frame: pd.DataFrame, column: str, path: Path | UPath) -> list[Problem]:
    numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float)
    return [
        Problem(
            f"{frame[column].iloc[row]!r} is not a number",
            f"{path}, line {row + 2}, column {column}",
            "write the cell's coordinate in pixels, or remove the line",
        )
        for row in np.flatnonzero(~np.isfinite(numbers))
    ]


def _typed(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    blank = column.str.strip() == ""
    return numbers.astype(float) if not (numbers.isna() & ~blank).any() and not blank.all() else column
