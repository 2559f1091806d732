"""The list of an exported dataset, `sc-metadata.csv`: which strip is which cell of which field of view."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from dp_assets.config.errors import LocationsError, Problem
from dp_assets.interchange.sc_metadata import FILE_NAME, IMAGE, KEY, ROW
from dp_assets.interchange.site_files import SiteName, site_names
from dp_assets.storage.csv_strings import read_csv_strings
from dp_assets.storage.index_file import why_outside
from dp_assets.storage.schemas import CENTER_X, CENTER_Y

REQUIRED = (KEY, IMAGE, CENTER_X, CENTER_Y)
MOST_PROBLEMS = 50


@dataclass(frozen=True)
class ListedCrops:
    """The crops of one field of view.

    Attributes
    ----------
    site : as the index names it.
    lines : of the list, for messages.
    images : paths of the strips, relative to the folder of the list.
    cells : `Metadata_Cell` of each.
    centres : (cells, 2) float64, (row, col) in pixels of the original image.
    """

    site: SiteName
    lines: tuple[int, ...]
    images: tuple[str, ...]
    cells: tuple[str, ...]
    centres: np.ndarray

    def only(self, kept: np.ndarray) -> "ListedCrops":
        """The crops where `kept` (cells,) is true."""
        numbers = np.flatnonzero(kept)
        return ListedCrops(
            self.site,
            tuple(self.lines[n] for n in numbers),
            tuple(self.images[n] for n in numbers),
            tuple(self.cells[n] for n in numbers),
            self.centres[numbers],
        )


@dataclass(frozen=True)
class CropList:
    """A list that has been read.

    Attributes
    ----------
    path : the file.
    sites : crops of each site, sites in the order of the index.
    unknown : sites of the list that the index does not have -> their number of cells.
    """

    path: Path
    sites: tuple[ListedCrops, ...]
    unknown: Mapping[str, int]

    @cached_property
    def plates(self) -> list[str]:
        """The plates it has crops of, in the order of the index."""
        return list(dict.fromkeys(listed.site.plate for listed in self.sites))

    def sites_of(self, plate: str) -> list[ListedCrops]:
        """The crops of one plate, wells together in order of first appearance."""
        found = [listed for listed in self.sites if listed.site.plate == plate]
        wells = {well: n for n, well in enumerate(dict.fromkeys(listed.site.well for listed in found))}
        return sorted(found, key=lambda listed: wells[listed.site.well])


def read_crop_list(folder: Path, index: pa.Table) -> CropList:
    """Read `sc-metadata.csv` and find its sites in the index.

    Parameters
    ----------
    folder : the exported dataset.
    index : plate, well and site of the project's fields of view; strings. A list that names site 1 where the
        index has "01" is understood (DeepProfiler lets pandas guess types).

    Raises
    ------
    LocationsError : the list is missing or lacks columns, positions are no numbers, file names leave the
        folder, a site of the list may be several of the index, or it has two names; the lines are named.
    """
    path = folder / FILE_NAME
    frame = _read(path)
    problems = [*_position_problems(frame, path), *_path_problems(frame, path)]
    known = _sites_by_key(index)
    ambiguous = {key for key, sites in known.items() if len(sites) > 1}
    for key in sorted(ambiguous & set(frame[KEY])):
        names = " and ".join(site.key for site in known[key])
        problems.append(Problem(f"site {key} may be {names} of the index", str(path), "write the full names"))
    problems += _double_problems(frame, known, path)
    if problems:
        more = len(problems) - MOST_PROBLEMS
        rest = [Problem(f"... and {more} more problems", str(path), "put these right first")]
        raise LocationsError([*problems[:MOST_PROBLEMS], *(rest if more > 0 else [])])
    groups = {str(key): rows for key, rows in frame.groupby(KEY, sort=False)}
    listed = {known[key][0]: _listed(known[key][0], rows) for key, rows in groups.items() if key in known}
    order = site_names(index)
    return CropList(
        path,
        tuple(listed[site] for site in order if site in listed),
        {key: len(rows) for key, rows in groups.items() if key not in known},
    )


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise LocationsError(
            f"there is no {FILE_NAME}",
            where=str(path.parent),
            remedy="name the folder of an exported dataset (DeepProfiler's outputs/<single cells>)",
        )
    frame = read_csv_strings(path, LocationsError)
    columns = [] if frame is None else list(frame.columns)
    missing = [name for name in REQUIRED if name not in columns]
    if frame is None or missing:
        raise LocationsError(
            f"column {' and '.join(missing)} is missing; columns are: {', '.join(columns) or 'none'}",
            where=str(path),
            remedy=f"the list needs {', '.join(REQUIRED)}",
        )
    return frame


def _position_problems(frame: pd.DataFrame, path: Path) -> list[Problem]:
    return [
        Problem(
            f"{frame[column].iloc[row]!r} is not a number",
            f"{path}, line {frame.index[row]}, column {column}",
            "write the cell's coordinate in pixels, or remove the line",
        )
        for column in (CENTER_X, CENTER_Y)
        for row in np.flatnonzero(~np.isfinite(_numbers(frame[column]))).tolist()
    ]


def _path_problems(frame: pd.DataFrame, path: Path) -> list[Problem]:
    return [
        Problem(
            f"{name!r} is not a usable path: {why}",
            f"{path}, line {line}, column {IMAGE}",
            "give a path relative to the folder of the list",
        )
        for line, name in frame[IMAGE].items()
        if (why := why_outside(name, ())) is not None
    ]


def _double_problems(
    frame: pd.DataFrame, known: Mapping[str, list[SiteName]], path: Path
) -> Iterator[Problem]:
    """Sites that the list names in two ways: only the cells under one of the names would be found."""
    names: dict[str, list[str]] = {}
    for key in frame[KEY].unique():
        for site in known.get(key, []):
            names.setdefault(site.key, []).append(key)
    for site_key, keys in names.items():
        if len(keys) > 1:
            what = f"{' and '.join(keys)} are both site {site_key} of the index"
            yield Problem(what, f"{path}, column {KEY}", "write the name as in the index on all lines")


def _numbers(column: pd.Series) -> np.ndarray:
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)


def _sites_by_key(index: pa.Table) -> dict[str, list[SiteName]]:
    """Every way a list may name a site -> the sites it may mean; exact names win."""
    sites = site_names(index)
    exact = {site.key: [site] for site in sites}
    guessed: dict[str, list[SiteName]] = {}
    for site in sites:
        for plate, well, name in site.spellings:
            # DeepProfiler makes the key from plate/well-site and turns every dash into a slash.
            for key in dict.fromkeys([f"{plate}/{well}/{name}", f"{plate}/{well}-{name}".replace("-", "/")]):
                if site not in guessed.setdefault(key, []):
                    guessed[key].append(site)
    return {**guessed, **exact}


def _listed(site: SiteName, rows: pd.DataFrame) -> ListedCrops:
    numbered = ROW in rows.columns and rows[ROW].is_unique and bool((rows[ROW] != "").all())
    cells: Sequence[str] = rows[ROW].tolist() if numbered else [str(number) for number in range(len(rows))]
    centres = np.stack([_numbers(rows[CENTER_Y]), _numbers(rows[CENTER_X])], axis=1)
    return ListedCrops(site, tuple(rows.index), tuple(rows[IMAGE]), tuple(cells), centres)
