"""Illumination statistics of a whole plate: one resumable pass, in memory that does not grow."""

import io
from collections.abc import Sequence

import numpy as np

from dp_assets.imaging.illumination import IlluminationAccumulator, IlluminationFunctions
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.image_sites import ImageSite, SiteFailure, failures_of, refuse_failures, usable
from dp_assets.storage.site_loop import Progress, try_each
from dp_assets.storage.work import WorkFolder

VERSION = "1"
SITES_PER_SNAPSHOT = 32


def illumination_fingerprint(
    sites: Sequence[ImageSite], channels: Sequence[str], settings_digest: str
) -> str:
    """What a plate's functions are made from: usable images in order, settings, this code's version."""
    images = [[site.key, *site.fingerprints] for site in usable(sites)]
    return fingerprint("illumination", VERSION, list(channels), settings_digest, images)


def measure_illumination(
    sites: Sequence[ImageSite],
    channels: Sequence[str],
    *,
    bits: int,
    down_scale_factor: float,
    median_filter_size: int,
    work: WorkFolder,
    plate_fingerprint: str,
    workers: int,
    on_bad_site: str,
    maximum_pixels: int,
    progress: Progress,
) -> tuple[IlluminationFunctions, list[SiteFailure]]:
    """The illumination functions of a plate, and the sites that could not be read.

    Sites are added in the order given, so a resumed run ends with the very same sums as an undisturbed one.
    Progress is kept every few sites under the plate's fingerprint.

    Raises
    ------
    ImageFileError : some site cannot be read and `on_bad_site` is "fail"; every such site is named.
    """
    failures = failures_of(sites)
    good = usable(sites)
    if not good:
        refuse_failures(failures, plate=sites[0].plate, finished=0, on_bad_site="fail")
    snapshots = _Snapshots(work, plate_fingerprint)
    accumulator, done = snapshots.load()
    if accumulator is None:
        accumulator = IlluminationAccumulator(
            tuple(channels), good[0].original_shape, bits, down_scale_factor
        )
    unread: list[SiteFailure] = []
    for _, statistics in try_each(
        good[done:],
        lambda site: accumulator.measure(site.planes_of_channels(maximum_pixels), name=site.key),
        unread,
        workers=workers,
        progress=progress,
        done=done,
    ):
        accumulator.add_measured(statistics)
        done += 1
        if done % SITES_PER_SNAPSHOT == 0 and not unread:
            snapshots.save(accumulator, done)
    failures += unread
    refuse_failures(failures, plate=good[0].plate, finished=done, on_bad_site=on_bad_site if done else "fail")
    return accumulator.finish(median_filter_size), failures


class _Snapshots:
    """The accumulator's state after so many sites, kept in the work folder.

    Taken only while every site so far was read: a file that fails today may be put right tomorrow. Each is a
    unit of its own and the one before goes only when the next is whole, so no kill costs both.
    """

    def __init__(self, work: WorkFolder, plate_fingerprint: str) -> None:
        self._work = work
        self._fingerprint = plate_fingerprint

    def save(self, accumulator: IlluminationAccumulator, done: int) -> None:
        sink = io.BytesIO()
        np.savez(sink, allow_pickle=False, sites_done=np.asarray(done), **accumulator.state())
        former = self._work.units(self._fingerprint)
        unit = f"{self._fingerprint}-{done:08d}"
        self._work.keep(unit, {".npz": sink.getvalue()})
        for name in former:
            if name != unit:
                self._work.drop(name)

    def load(self) -> tuple[IlluminationAccumulator | None, int]:
        whole = [unit for unit in self._work.units(self._fingerprint) if self._work.finished(unit)]
        if not whole:
            return None, 0
        with np.load(self._work.file(whole[-1], ".npz"), allow_pickle=False) as stored:
            state = {name: stored[name] for name in stored.files}
        done = int(state.pop("sites_done"))
        return IlluminationAccumulator.from_state(state), done
