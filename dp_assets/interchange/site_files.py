"""Which feature file belongs to which field of view, under all names that DeepProfiler has given them.

DeepProfiler lets pandas guess the types of the index, so site "01" becomes 1 in the names of its files and in
the metadata that they hold. Here names are text; both spellings are looked for.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa

from dp_assets.config.errors import Problem, StoreError
from dp_assets.storage.schemas import PLATE, SITE, SITE_KEY, WELL

Naming = Literal["plate/well/site", "plate/well_site"]
NAMINGS: dict[Naming, str] = {
    "plate/well/site": "{plate}/{well}/{site}.npz",
    "plate/well_site": "{plate}/{well}_{site}.npz",
}
# The last one is that of releases before 0.3.
READ_NAMINGS = (*NAMINGS.values(), "{plate}_{well}_{site}.npz")


@dataclass(frozen=True)
class SiteName:
    """A field of view as the index names it, and as pandas made of it."""

    plate: str
    well: str
    site: str
    guessed: tuple[str, str, str]

    @property
    def key(self) -> str:
        """plate/well/site, as messages name it."""
        return f"{self.plate}/{self.well}/{self.site}"

    @property
    def spellings(self) -> list[tuple[str, str, str]]:
        """The names as they stand, then as pandas reads them where that differs."""
        return list(dict.fromkeys([(self.plate, self.well, self.site), self.guessed]))


@dataclass(frozen=True)
class SiteFiles:
    """The feature files of a folder.

    Attributes
    ----------
    files : (site, file) in the order of the index.
    without_file : sites that have none (DeepProfiler writes none for sites without cells).
    unknown : files of sites that the index does not list.
    """

    files: tuple[tuple[SiteName, Path], ...]
    without_file: tuple[SiteName, ...]
    unknown: tuple[Path, ...]


def site_names(index: pa.Table) -> list[SiteName]:
    """The sites of an index (plate, well, site; strings) in its order, and the names pandas makes of them."""
    as_written = [index[name].to_pylist() for name in SITE_KEY]
    text = io.StringIO()
    pd.DataFrame(dict(zip(SITE_KEY, as_written, strict=True))).to_csv(text, index=False)
    text.seek(0)
    guessed = pd.read_csv(text, keep_default_na=False).astype(str)
    guesses = guessed[list(SITE_KEY)].itertuples(index=False, name=None)
    return [
        SiteName(plate, well, site, guess)
        for plate, well, site, guess in zip(*as_written, guesses, strict=True)
    ]


def find_site_files(folder: Path, index: pa.Table) -> SiteFiles:
    """Look for the file of every site of the index below `folder`.

    Raises
    ------
    StoreError : the folder is not there or holds no feature file of the index; a site has two files, or a
        file is that of two sites ("1" and "01").
    """
    present = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.npz"))}
    files: list[tuple[SiteName, Path]] = []
    without_file = []
    problems: list[Problem] = []
    owners: dict[str, SiteName] = {}
    for site in site_names(index):
        found = next(filter(None, ([n for n in names if n in present] for names in _spelled(site))), [])
        if not found:
            without_file.append(site)
            continue
        if len(found) > 1:
            problems.append(
                Problem(
                    f"site {site.key} has the files {' and '.join(found)}", str(folder), "keep one of them"
                )
            )
        if found[0] in owners:
            problems.append(
                Problem(
                    f"the file may be of site {owners[found[0]].key} and of site {site.key}",
                    str(present[found[0]]),
                    "name the files as the index names the sites",
                )
            )
        owners[found[0]] = site
        files.append((site, present[found[0]]))
    if not files:
        raise StoreError(
            f"no feature file of a site of the index: {len(present)} npz files are there, the index lists "
            f"{len(without_file)} sites",
            where=str(folder),
            remedy=f"name a folder with files {' or '.join(NAMINGS)}.npz of plates in index.csv",
        )
    if problems:
        raise StoreError(problems)
    unknown = tuple(path for name, path in present.items() if name not in owners)
    return SiteFiles(tuple(files), tuple(without_file), unknown)


def _spelled(site: SiteName) -> Iterator[list[str]]:
    """The names that the site's file may have, for each spelling of the site."""
    for plate, well, name in site.spellings:
        yield [pattern.format(plate=plate, well=well, site=name) for pattern in READ_NAMINGS]


def agrees(site: SiteName, metadata: dict) -> bool:
    """Whether what a file says about its plate, well and site is what the index says (where it says it)."""
    return all(
        str(metadata[column]) in (written, guess)
        for column, written, guess in zip(
            (PLATE, WELL, SITE), (site.plate, site.well, site.site), site.guessed, strict=True
        )
        if column in metadata
    )
