"""Doing something with every site of a plate, in order, with readers ahead; a bad site fails alone."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from dp_assets.config.errors import ImageFileError, LocationsError
from dp_assets.storage.image_sites import ImageSite, SiteFailure
from dp_assets.storage.read_ahead import read_ahead

Result = TypeVar("Result")
Progress = Callable[[int, int], None]
SITE_ERRORS = (ImageFileError, LocationsError)


def try_each(
    sites: Sequence[ImageSite],
    function: Callable[[ImageSite], Result],
    failures: list[SiteFailure],
    *,
    workers: int,
    progress: Progress,
    done: int = 0,
) -> Iterator[tuple[ImageSite, Result]]:
    """Yield (site, result) in order for every site on which `function` succeeds.

    Parameters
    ----------
    function : runs in a thread. What is wrong with the site's own images or cells is added to `failures` and
        the next site goes on; anything else holds for every site, or is a defect of the program, and is
        raised.
    progress : called with (finished, total), `done` sites counted as finished before.
    """
    total = done + len(sites)
    progress(done, total)

    def attempt(site: ImageSite) -> Result | ImageFileError | LocationsError:
        try:
            return function(site)
        except SITE_ERRORS as error:
            return error

    for site, outcome in read_ahead(sites, attempt, workers=workers):
        done += 1
        if isinstance(outcome, SITE_ERRORS):
            reason = "; ".join(f"{problem.where}: {problem.what}" for problem in outcome.problems)
            failures.append(SiteFailure(site.well, site.site, reason))
        else:
            yield site, outcome
        progress(done, total)


def exhaust(results: Iterable[object]) -> None:
    """Run an iterator to its end for its effects."""
    deque(results, maxlen=0)
