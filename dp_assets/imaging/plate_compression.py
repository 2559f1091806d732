"""Compressed images of a whole plate: illumination-corrected, stretched, one file per site and channel."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dp_assets.config.errors import StoreError
from dp_assets.imaging.compression import Stretch, compress_channel, reciprocal_of, scaled_shape
from dp_assets.imaging.grey_level_counts import grey_level_counts
from dp_assets.imaging.illumination import IlluminationFunctions
from dp_assets.storage.atomic import is_local
from dp_assets.storage.earlier_units import EarlierUnits, UnitContent, take_over
from dp_assets.storage.fingerprints import fingerprint, fingerprint_bytes
from dp_assets.storage.folders import Folder, FolderWriter
from dp_assets.storage.image_codecs import Codec, encode, ending
from dp_assets.storage.image_sites import ImageSite, SiteFailure, failures_of, refuse_failures, usable
from dp_assets.storage.published import read_arrays
from dp_assets.storage.site_loop import Progress, exhaust, try_each
from dp_assets.storage.work import WorkFolder, link_or_copy

VERSION = "1"
HISTOGRAMS = "histograms.npz"
SEAL = "seal"


@dataclass(frozen=True)
class CompressionPlan:
    """What a plate's compression is made from.

    Attributes
    ----------
    sites : all sites of the plate.
    channels : in the order of the illumination functions.
    functions : the plate's illumination functions.
    functions_fingerprint : what those were made from.
    scaling_factor, stretch, codec : `prepare.compression`.
    settings_digest : digest of the settings this stage reads.
    """

    sites: Sequence[ImageSite]
    channels: tuple[str, ...]
    functions: IlluminationFunctions
    functions_fingerprint: str
    scaling_factor: float
    stretch: Stretch
    settings_digest: str
    codec: Codec = "png"

    def site_fingerprint(self, site: ImageSite) -> str:
        """What one site's compressed images are made from."""
        return fingerprint(
            "compression",
            VERSION,
            list(self.channels),
            self.settings_digest,
            self.functions_fingerprint,
            # The codec is in the endings.
            self.names[site.key],
            site.fingerprints,
        )

    @property
    def fingerprint(self) -> str:
        """What the plate's compressed images are made from."""
        return fingerprint([[site.key, self.site_fingerprint(site)] for site in usable(self.sites)])

    @cached_property
    def names(self) -> dict[str, list[str]]:
        """The file names of every site's channels, relative to the plate's folder."""
        return compressed_names(self.sites, self.channels, ending(self.codec))


def compressed_names(
    sites: Sequence[ImageSite], channels: Sequence[str], suffix: str = ".png"
) -> dict[str, list[str]]:
    """plate/well/site -> one relative file name per channel.

    The image's relative path is kept with its ending replaced; a leading folder named like the plate is
    dropped, because the plate's folder holds them. When two channels share an image file, the channel's name
    is added.
    """
    taken: set[str] = set()
    names: dict[str, list[str]] = {}
    for site in sites:
        names[site.key] = []
        for path, channel in zip(site.derived_names, channels, strict=True):
            relative = PurePosixPath(path.split("://", 1)[-1].lstrip("/"))
            if len(relative.parts) > 1 and relative.parts[0] == site.plate:
                relative = PurePosixPath(*relative.parts[1:])
            name = relative.with_suffix(suffix).as_posix()
            if name in taken:
                longer = f"{relative.stem}_{site.well}_{site.site}_{channel}{suffix}"
                name = relative.with_name(longer).as_posix()
            taken.add(name)
            names[site.key].append(name)
    return names


def compress_plate(
    plan: CompressionPlan,
    *,
    work: WorkFolder,
    workers: int,
    on_bad_site: str,
    maximum_pixels: int,
    progress: Progress,
    earlier: EarlierUnits | None = None,
) -> tuple[FolderWriter, list[SiteFailure]]:
    """Compress every usable site; sites finished by an earlier, killed run are taken as they are.

    Parameters
    ----------
    earlier : the images published before; its sites of which nothing has changed are taken over.

    Returns
    -------
    A folder to publish, and the sites that could not be read.

    Raises
    ------
    ImageFileError : some site cannot be read and `on_bad_site` is "fail"; every such site is named.
    """
    good = usable(plan.sites)
    unread: list[SiteFailure] = []
    functions = [plan.functions.function(channel) for channel in plan.channels]
    corrections = [(function, reciprocal_of(function)) for function in functions]
    fingerprints = {site.key: plan.site_fingerprint(site) for site in good}
    kept = take_over(work, fingerprints.values(), earlier, workers)
    todo = [site for site in good if fingerprints[site.key] not in kept]

    def compress(site: ImageSite) -> None:
        _compress_site(plan, site, corrections, work, fingerprints[site.key], maximum_pixels)

    done = len(good) - len(todo)
    exhaust(try_each(todo, compress, unread, workers=workers, progress=progress, done=done))
    failures = [*failures_of(plan.sites), *unread]
    bad = {(failure.well, failure.site) for failure in unread}
    finished = [site for site in good if (site.well, site.site) not in bad]
    if not finished:
        on_bad_site = "fail"
    refuse_failures(failures, plate=plan.sites[0].plate, finished=len(finished), on_bad_site=on_bad_site)
    units = [fingerprints[site.key] for site in finished]
    parts = [work.facts(unit) for unit in units]
    records = [{**part["record"], SEAL: work.seal(unit)} for part, unit in zip(parts, units, strict=True)]
    writer = FolderWriter(
        fingerprint=plan.fingerprint if not bad else fingerprint(plan.fingerprint, sorted(bad)),
        facts=_plate_facts(plan, records, failures),
        fill=lambda folder: _fill(folder, work, parts, ending(plan.codec)),
        finished=work.clear,
    )
    return writer, failures


def _compress_site(
    plan: CompressionPlan,
    site: ImageSite,
    corrections: Sequence[tuple[np.ndarray, np.ndarray]],
    work: WorkFolder,
    part: str,
    maximum_pixels: int,
) -> None:
    planes = site.planes_of_channels(maximum_pixels)
    records = []
    histograms = []
    files = {}
    for number, channel in enumerate(plan.channels):
        function, reciprocal = corrections[number]
        result = compress_channel(
            planes[number],
            function,
            float(plan.functions.upper_quantiles[number]),
            scaling_factor=plan.scaling_factor,
            stretch=plan.stretch,
            reciprocal=reciprocal,
            name=site.names[number],
            lower_limit=float(plan.functions.lower_quantiles[number]),
        )
        data = encode(result.pixels, plan.codec)
        files[_file_ending(number, ending(plan.codec))] = data
        records.append(
            {
                "file": plan.names[site.key][number],
                "channel": channel,
                "vmin": result.vmin,
                "vmax": result.vmax,
                "flat": result.flat,
                "bytes": len(data),
                "content": fingerprint_bytes(data),
            }
        )
        if result.pixels.dtype == np.uint8:
            histograms.append(grey_level_counts(result.pixels).tolist())
    record = {
        "well": site.well,
        "site": site.site,
        "original_shape": list(site.original_shape),
        "fingerprint": part,
        "images": records,
    }
    work.keep(part, files, {"record": record, "histograms": histograms})


def _file_ending(channel: int, suffix: str) -> str:
    return f"-{channel}{suffix}"


def _plate_facts(
    plan: CompressionPlan, records: Sequence[dict[str, Any]], failures: Sequence[SiteFailure]
) -> dict[str, Any]:
    return {
        "plate": plan.sites[0].plate,
        "channels": list(plan.channels),
        "scaling_factor": plan.scaling_factor,
        "stretch": plan.stretch,
        "codec": plan.codec,
        "array_shape": list(scaled_shape(plan.functions.original_shape, plan.scaling_factor)),
        "dtype": "uint16" if plan.stretch == "none" else "uint8",
        "sites": list(records),
        "failures": [failure.as_dict() for failure in failures],
    }


def _fill(folder: Path, work: WorkFolder, parts: Sequence[dict[str, Any]], suffix: str) -> None:
    for part in parts:
        for number, image in enumerate(part["record"]["images"]):
            target = folder / image["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(work.file(part["record"]["fingerprint"], _file_ending(number, suffix)), target)
    if parts and parts[0]["histograms"]:
        sink = io.BytesIO()
        np.savez_compressed(sink, histograms=np.asarray([part["histograms"] for part in parts], np.int64))
        (folder / HISTOGRAMS).write_bytes(sink.getvalue())


class EarlierImages:
    """The sites of published compressed images, to be taken over where nothing of them has changed."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def seals(self) -> dict[str, str]:
        """Unit -> its seal."""
        sites = self._folder.manifest["sites"]
        return {record["fingerprint"]: record[SEAL] for record in sites if SEAL in record}

    def read(self, units: Sequence[str]) -> Iterator[UnitContent]:
        """The images of some sites and what is recorded of them."""
        path = self._folder.path
        histograms = _stored_histograms(self._folder) if (path / HISTOGRAMS).exists() else None
        sites = self._folder.manifest["sites"]
        places = {record["fingerprint"]: number for number, record in enumerate(sites)}
        suffix = ending(self._folder.manifest["codec"])
        for unit in units:
            record = {name: value for name, value in sites[places[unit]].items() if name != SEAL}
            found = [path / image["file"] for image in record["images"]]
            contents = [Path(file) if is_local(file) else file.read_bytes() for file in found]
            levels = [] if histograms is None else histograms[places[unit]].tolist()
            files = {_file_ending(number, suffix): data for number, data in enumerate(contents)}
            yield UnitContent(unit, files, {"record": record, "histograms": levels})


def compressed_sites(folder: Folder, sites: Sequence[ImageSite]) -> list[ImageSite]:
    """The sites of a plate with their compressed images in place of the original ones.

    A site whose compression failed carries the reason as its problem.
    """
    records = {(record["well"], record["site"]): record for record in folder.manifest["sites"]}
    reasons = {(f["well"], f["site"]): f["problem"] for f in folder.manifest["failures"]}
    return [_compressed_site(folder, site, records.get((site.well, site.site)), reasons) for site in sites]


def _compressed_site(
    folder: Folder, site: ImageSite, record: dict | None, reasons: Mapping[tuple[str, str], str]
) -> ImageSite:
    if record is None:
        reason = reasons.get((site.well, site.site), "the site is not among the compressed images")
        return replace(site, problem=reason)
    names = tuple(image["file"] for image in record["images"])
    rows, cols = folder.manifest["array_shape"]
    return ImageSite(
        plate=site.plate,
        well=site.well,
        site=site.site,
        original_shape=(record["original_shape"][0], record["original_shape"][1]),
        images=tuple(folder.path / name for name in names),
        fingerprints=(record["fingerprint"],),
        names=names,
        array_shape=(rows, cols),
        contents=tuple(image.get("content", "") for image in record["images"]),
        made_by="compressed_images",
    )


def controls_distribution(folder: Folder, control_sites: set[tuple[str, str]]) -> np.ndarray:
    """Sum of the grey-level histograms of control sites, (channels, 256) int64.

    Parameters
    ----------
    control_sites : (well, site) of the control wells.

    Raises
    ------
    StoreError : the images are 16-bit ones, of which no histograms are kept.
    """
    if not (folder.path / HISTOGRAMS).exists():
        raise StoreError(
            "there are no histograms of these images",
            where=str(folder.path),
            remedy="set prepare.compression.stretch to image or plate, then materialize compressed_images",
        )
    histograms = _stored_histograms(folder)
    chosen = [
        number
        for number, record in enumerate(folder.manifest["sites"])
        if (record["well"], record["site"]) in control_sites
    ]
    return histograms[chosen].sum(axis=0)


def _stored_histograms(folder: Folder) -> np.ndarray:
    """(sites, channels, 256) int64, in the order of the manifest. Raises StoreError when damaged."""
    return read_arrays(folder.path / HISTOGRAMS)["histograms"]
