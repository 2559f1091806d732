"""The quality of all images of a plate: one resumable pass, one row per site and channel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from dp_assets.imaging.quality import MEASURES, measure_quality
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.image_sites import ImageSite, SiteFailure, failures_of, refuse_failures, usable
from dp_assets.storage.schemas import IMAGE_QUALITY, PLATE, SITE, WELL
from dp_assets.storage.site_loop import Progress, exhaust, try_each
from dp_assets.storage.tables import with_provenance
from dp_assets.storage.work import WorkFolder

VERSION = "1"


@dataclass(frozen=True)
class PlateQuality:
    """The measures of a plate as arrays.

    Attributes
    ----------
    wells, sites : names, one of each a field of view.
    channels : names, in order.
    measures : measure -> (fields, channels) float64; NaN where an image has no such measure.
    """

    wells: tuple[str, ...]
    sites: tuple[str, ...]
    channels: tuple[str, ...]
    measures: dict[str, np.ndarray]

    @classmethod
    def of(cls, table: pa.Table) -> Self:
        """From a table of schema `image_quality`, whose rows are sites and in each its channels, in order."""
        channels = tuple(table["channel"].unique().to_pylist())
        every = max(1, len(channels))
        return cls(
            tuple(table[WELL].to_pylist()[::every]),
            tuple(table[SITE].to_pylist()[::every]),
            channels,
            {
                name: table[name].to_numpy(zero_copy_only=False).astype(float).reshape(-1, every)
                for name in MEASURES
            },
        )

    def __len__(self) -> int:
        return len(self.wells)


def quality_fingerprint(sites: Sequence[ImageSite], channels: Sequence[str]) -> str:
    """What a plate's measures are made from: usable images in order, and this code's version."""
    return fingerprint("quality", VERSION, [[s.key, _part(s, channels)] for s in usable(sites)])


def measure_plate(
    sites: Sequence[ImageSite],
    channels: Sequence[str],
    *,
    work: WorkFolder,
    workers: int,
    on_bad_site: str,
    maximum_pixels: int,
    progress: Progress,
) -> tuple[pa.Table, list[SiteFailure]]:
    """Measure every usable image of a plate; sites that an earlier, killed run finished are kept.

    Returns
    -------
    Table of schema `image_quality` with its fingerprint and the failures in its provenance, and the sites
    that could not be read.

    Raises
    ------
    ImageFileError : some site cannot be read and `on_bad_site` is "fail"; every such site is named.
    """
    good = usable(sites)
    if not good:
        refuse_failures(failures_of(sites), plate=sites[0].plate, finished=0, on_bad_site="fail")
    unread: list[SiteFailure] = []
    parts = {site.key: _part(site, channels) for site in good}
    kept = work.finished_among(parts.values(), workers)
    todo = [site for site in good if parts[site.key] not in kept]

    def measure(site: ImageSite) -> None:
        values = [measure_quality(plane).values for plane in site.planes_of_channels(maximum_pixels)]
        work.keep(parts[site.key], {}, [_finite_or_none(channel) for channel in values])

    done = len(good) - len(todo)
    exhaust(try_each(todo, measure, unread, workers=workers, progress=progress, done=done))
    failures = [*failures_of(sites), *unread]
    bad = {(failure.well, failure.site) for failure in unread}
    finished = [site for site in good if (site.well, site.site) not in bad]
    if not finished:
        on_bad_site = "fail"
    refuse_failures(failures, plate=sites[0].plate, finished=len(finished), on_bad_site=on_bad_site)
    content = quality_fingerprint(sites, channels)
    table = _table(finished, channels, [work.facts(parts[site.key]) for site in finished])
    return with_provenance(
        table,
        fingerprint=fingerprint(content, sorted(bad)) if bad else content,
        failures=[failure.as_dict() for failure in failures],
    ), failures


def _finite_or_none(values: Sequence[float]) -> list[float | None]:
    """Measures as JSON, which has no NaN."""
    return [value if math.isfinite(value) else None for value in values]


def _part(site: ImageSite, channels: Sequence[str]) -> str:
    return fingerprint("quality", VERSION, site.key, list(channels), list(site.fingerprints))


def _table(
    sites: Sequence[ImageSite], channels: Sequence[str], values: Sequence[list[list[float | None]]]
) -> pa.Table:
    measures = np.asarray(values, float).reshape(-1, len(MEASURES))
    columns: dict[str, pa.Array] = {
        PLATE: pa.array([site.plate for site in sites for _ in channels], pa.string()),
        WELL: pa.array([site.well for site in sites for _ in channels], pa.string()),
        SITE: pa.array([site.site for site in sites for _ in channels], pa.string()),
        "channel": pa.array([name for _ in sites for name in channels], pa.string()),
    }
    for number, name in enumerate(MEASURES):
        columns[name] = pa.array(measures[:, number], pa.float64(), from_pandas=True)
    return IMAGE_QUALITY.enforce(pa.table(columns))
