"""One pass over a plate's images for several experiments that read the same crops.

The pass is that of one experiment, and goes through the sites that it still has to do. Companions come along:
each takes, of these sites, those that it has to do as well. A site is read and cut once. What fails in a
companion ends its part and nothing else.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from dp_assets.profiling.feature_plan import FeaturePlan
from dp_assets.storage.image_sites import ImageSite
from dp_assets.storage.site_loop import exhaust
from dp_assets.storage.work import WorkFolder

if TYPE_CHECKING:
    from dp_assets.profiling.plate_features import Extractor

SITES_WAITING = 4
"""Sites that may wait for a companion; then the pass waits for it."""

SharedCrops = tuple[np.ndarray | None, ...]
"""The crops of one site for each taker, (cells, box, box, channels) float32; None for one that needs none.

They are normalised for the experiment whose pass it is, and for those that normalise alike; others take them
in source grey levels.
"""

SECONDS_BETWEEN_LOOKS = 0.1


@dataclass(frozen=True)
class Taker:
    """An experiment whose features are computed in a pass.

    Attributes
    ----------
    plan : what its features are made from.
    extractor : its network.
    work : where its features are kept; the caller holds the lock.
    units : key of a site -> unit, of the sites that it has to do.
    """

    plan: FeaturePlan
    extractor: "Extractor"
    work: WorkFolder
    units: Mapping[str, str]


@dataclass(frozen=True)
class Companion(Taker):
    """An experiment that comes along in the pass of another one.

    Attributes
    ----------
    give_up : called after the pass with what went wrong in this experiment's part of it.
    """

    give_up: Callable[[Exception], None]


KeepFeatures = Callable[[Taker, Iterator[tuple[ImageSite, np.ndarray]]], None]


def same_crops(plan: FeaturePlan, other: FeaturePlan, sites: Iterable[ImageSite]) -> list[ImageSite]:
    """Those of the sites whose crops, before they are normalised, are the same for two experiments."""
    theirs = {site.key: site for site in other.sites}
    return [
        site
        for site in sites
        if site.key in theirs
        and plan.source.site_fingerprint(site) == other.source.site_fingerprint(theirs[site.key])
    ]


def shared_crops(takers: Sequence[Taker], site: ImageSite, maximum_pixels: int) -> SharedCrops:
    """The crops of a site for all takers, the one whose pass it is first; cut once and normalised once.

    Raises
    ------
    ImageFileError, LocationsError : as `SiteCrops.crops`.
    """
    own, *others = takers
    raw = own.plan.source.crops(site, maximum_pixels)
    crops = own.plan.normalized(raw)
    return (
        crops,
        *(
            (crops if other.plan.normalizes_like(own.plan) else raw) if site.key in other.units else None
            for other in others
        ),
    )


def one_pass(
    crops_by_site: Iterable[tuple[ImageSite, SharedCrops]],
    own: Taker,
    companions: Sequence[Companion],
    keep_features: KeepFeatures,
) -> None:
    """Hand every site's crops to all takers.

    Parameters
    ----------
    crops_by_site : crops for each of [own, *companions].
    own : the experiment whose pass it is; it takes every site.
    companions : each works in a thread of its own.
    keep_features : goes through crops to their end and keeps the features. What it raises for `own` is raised
        here, as is what `crops_by_site` raises; companions then finish what they have been handed.
    """
    queues: list[Queue] = [Queue(SITES_WAITING) for _ in companions]
    ended = Event()
    with ThreadPoolExecutor(max_workers=max(1, len(companions))) as pool:
        parts = [
            pool.submit(_come_along, companion, own, _drawn(queue, ended), keep_features)
            for companion, queue in zip(companions, queues, strict=True)
        ]
        try:
            keep_features(own, _handed_out(crops_by_site, queues))
        finally:
            # Nothing that waits: an interrupt here must not leave companions without an end.
            ended.set()
            for companion, part in zip(companions, parts, strict=True):
                error = part.result()
                if error is not None:
                    companion.give_up(error)


def _handed_out(
    crops_by_site: Iterable[tuple[ImageSite, SharedCrops]], queues: Sequence[Queue]
) -> Iterator[tuple[ImageSite, np.ndarray]]:
    """The crops of the pass's own experiment; those of its companions are put into their queues."""
    for site, (own, *others) in crops_by_site:
        for queue, crops in zip(queues, others, strict=True):
            if crops is not None:
                queue.put((site, crops))
        if own is not None:
            yield site, own


def _drawn(queue: Queue, ended: Event) -> Iterator[tuple[ImageSite, np.ndarray]]:
    """What is put into the queue, until the pass has ended and it is empty."""
    while True:
        try:
            yield queue.get(timeout=SECONDS_BETWEEN_LOOKS)
        except Empty:
            if ended.is_set():
                return


def _come_along(
    companion: Companion,
    own: Taker,
    crops: Iterator[tuple[ImageSite, np.ndarray]],
    keep_features: KeepFeatures,
) -> Exception | None:
    """A companion's part; what went wrong in it. All crops are drawn in any case, so that nobody waits."""
    alike = companion.plan.normalizes_like(own.plan)
    normalized = ((site, some if alike else companion.plan.normalized(some)) for site, some in crops)
    try:
        keep_features(companion, normalized)
    except Exception as error:
        exhaust(crops)
        return error
    return None
