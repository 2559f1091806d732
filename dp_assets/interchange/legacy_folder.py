"""A folder of DeepProfiler's feature files: read one by one, or looked through before an import."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dp_assets.config.errors import Problem, StoreError
from dp_assets.interchange.legacy_npz import LegacySummary, read_legacy_npz, summarise_legacy_npz
from dp_assets.interchange.site_files import SiteFiles, SiteName, agrees, find_site_files
from dp_assets.storage.read_ahead import read_ahead
from dp_assets.storage.schemas import PLATE, SITE, WELL

MOST_PROBLEMS = 50
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LegacySite:
    """The features of one field of view.

    Attributes
    ----------
    plate, well, site : as the index names them.
    path : the file.
    features : (cells, features) float32.
    metadata : what the file says about the site, types as pandas guessed them; empty in old files.
    locations : (cells, columns) in the file's column order; None in old files.
    """

    plate: str
    well: str
    site: str
    path: Path
    features: np.ndarray
    metadata: dict[str, Any]
    locations: np.ndarray | None


def read_legacy_features(folder: Path, index: pa.Table) -> Iterator[LegacySite]:
    """The feature files of a folder, one after the other, in the order of the index.

    Parameters
    ----------
    folder : DeepProfiler's `outputs/<experiment>/features`: `<plate>/<well>/<site>.npz` or
        `<plate>/<well>_<site>.npz`.
    index : table with `Metadata_Plate`, `Metadata_Well`, `Metadata_Site`, all strings. Sites without a file
        are passed over.

    Raises
    ------
    StoreError : a file is damaged, is of another site than its name says, or holds other things than numbers
        and plain metadata; no file belongs to the index.
    """
    for site, path in find_site_files(folder, index).files:
        yield read_site(site, path)


def read_site(site: SiteName, path: Path) -> LegacySite:
    """Read the file of one site. Raises StoreError as `read_legacy_features`."""
    content = read_legacy_npz(path)
    if not agrees(site, content.metadata):
        raise StoreError([_other_site(site, path, content.metadata)])
    return LegacySite(
        site.plate, site.well, site.site, path, content.features, content.metadata, content.locations
    )


def _other_site(site: SiteName, path: Path, metadata: dict[str, Any]) -> Problem:
    says = "/".join(str(metadata.get(name, "?")) for name in (PLATE, WELL, SITE))
    return Problem(
        f"the file says it is of site {says}, its name that it is of {site.key}",
        str(path),
        "put the file where its metadata say",
    )


@dataclass(frozen=True)
class ImportPlan:
    """A folder of feature files that fit each other.

    Attributes
    ----------
    folder : where they lie.
    found : which file belongs to which site.
    model : name of the network, the prefix of feature names.
    dimension : features per cell.
    cells : site -> its number of cells.
    """

    folder: Path
    found: SiteFiles
    model: str
    dimension: int
    cells: dict[str, int]

    @property
    def plates(self) -> list[str]:
        """The plates that have files, in the order of the index."""
        return list(dict.fromkeys(site.plate for site, _ in self.found.files))

    def files_of(self, plate: str) -> list[tuple[SiteName, Path]]:
        """The files of one plate, wells together in order of first appearance."""
        files = [(site, path) for site, path in self.found.files if site.plate == plate]
        wells = {well: number for number, well in enumerate(dict.fromkeys(site.well for site, _ in files))}
        return sorted(files, key=lambda item: wells[item[0].well])


def plan_import(
    folder: Path, index: pa.Table, *, workers: int, progress: Progress = lambda *_: None
) -> ImportPlan:
    """Look into every file of a folder, so that nothing is written when some file does not fit.

    Raises
    ------
    StoreError : files are damaged, of another site than their name says, or of different networks or lengths;
        every such file is named.
    """
    found = find_site_files(folder, index)

    def look(item: tuple[SiteName, Path]) -> LegacySummary | StoreError:
        try:
            return summarise_legacy_npz(item[1])
        except StoreError as error:
            return error

    problems: list[Problem] = []
    summaries: list[tuple[SiteName, Path, LegacySummary]] = []
    for number, ((site, path), summary) in enumerate(read_ahead(found.files, look, workers=workers)):
        if isinstance(summary, StoreError):
            problems += summary.problems
        elif not agrees(site, summary.metadata):
            problems.append(_other_site(site, path, summary.metadata))
        else:
            summaries.append((site, path, summary))
        progress(number + 1, len(found.files))
    problems += _disagreements(summaries)
    if problems:
        raise StoreError(_first(problems))
    first = summaries[0][2]
    return ImportPlan(
        folder, found, first.model, first.dimension, {site.key: s.cells for site, _, s in summaries}
    )


def _disagreements(summaries: Sequence[tuple[SiteName, Path, LegacySummary]]) -> Iterator[Problem]:
    """Files of another network or length than the first one."""
    for _, path, summary in summaries:
        first_path, first = summaries[0][1:]
        if (summary.model, summary.dimension) != (first.model, first.dimension):
            yield Problem(
                f"the file holds {summary.dimension} features of {summary.model}; "
                f"{first_path.name} of {summaries[0][0].key} holds {first.dimension} of {first.model}",
                str(path),
                "import the features of one network and layer at a time",
            )


def _first(problems: list[Problem]) -> list[Problem]:
    more = len(problems) - MOST_PROBLEMS
    rest = [Problem(f"... and {more} more files", problems[-1].where, "put these right first")]
    return [*problems[:MOST_PROBLEMS], *(rest if more > 0 else [])]
