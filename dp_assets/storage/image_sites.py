"""The fields of view of a plate: where each channel's image lies, its size, and how to read them together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from upath import UPath

from dp_assets.config.errors import ContentChangedError, ImageFileError, Problem, StoreError
from dp_assets.storage.derived_names import derived_names
from dp_assets.storage.image_bytes import content_changed
from dp_assets.storage.image_planes import WHOLE_FILE, PlaneSelection, split_plane
from dp_assets.storage.images import DEFAULT_MAXIMUM_PIXELS, read_image
from dp_assets.storage.plane_files import read_planes
from dp_assets.storage.remote import with_fresh_copies
from dp_assets.storage.schemas import SITE, WELL


@dataclass(frozen=True)
class ImageSite:
    """One field of view.

    Attributes
    ----------
    plate, well, site : its names.
    original_shape : (rows, cols) of the images as they came from the microscope.
    images : one file per channel, in the order of the configuration; channels may share one.
    fingerprints : one content fingerprint per channel.
    names : the channel paths as the index gives them (for messages and for the names of derived files).
    problem : why the site cannot be used; None when it can.
    array_shape : (rows, cols) that the images must have; None when any size will do.
    planes : which plane of its file each channel is; empty when every file is a single image.
    channels : names of the channels; empty where nothing needs them.
    contents : what the content of each channel's file or plane must be, as a fingerprint; empty for any.
    made_by : the asset that wrote the images; empty for those of the microscope.
    """

    plate: str
    well: str
    site: str
    original_shape: tuple[int, int]
    images: tuple[Path | UPath, ...]
    fingerprints: tuple[str, ...]
    names: tuple[str, ...]
    problem: str | None = None
    array_shape: tuple[int, int] | None = None
    planes: tuple[PlaneSelection, ...] = ()
    channels: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()
    made_by: str = ""

    @property
    def derived_names(self) -> tuple[str, ...]:
        """One relative name per channel for files made from it, the ending to be replaced.

        A file of one image gives its name (`names`); planes of one file get the channel's name behind it.
        """
        return derived_names(self.names, self.planes, self.channels) if any(self.planes) else self.names

    @property
    def key(self) -> str:
        """plate/well/site, as messages name it."""
        return f"{self.plate}/{self.well}/{self.site}"

    def read(self, maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS) -> np.ndarray:
        """The images of all channels, (rows, cols, channels), uint8 or uint16; each file is opened once.

        Raises as `planes_of_channels` does.
        """
        return np.stack(self.planes_of_channels(maximum_pixels), axis=-1)

    def planes_of_channels(self, maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS) -> list[np.ndarray]:
        """The image of each channel, (rows, cols), uint8 or uint16; they share size and type.

        Raises
        ------
        ImageFileError : a file is missing or damaged, or the channels differ in size or type.
        ContentChangedError : a file is of other content or size than when it was inspected; of images that
            an asset made, also when it is missing.
        """
        try:
            return with_fresh_copies(self.images, lambda: self._read(maximum_pixels))
        except (ContentChangedError, ImageFileError) as error:
            is_missing = isinstance(error.__cause__, FileNotFoundError)
            if not self.made_by or not (isinstance(error, ContentChangedError) or is_missing):
                raise
            found = "is missing" if is_missing else "is not the one that was written"
            raise ContentChangedError(
                f"an image of site {self.key} {found}",
                where=error.problems[0].where,
                remedy=f"materialize {self.made_by} of plate {self.plate} again with `force: true` (--force)",
            ) from error

    def _read(self, maximum_pixels: int) -> list[np.ndarray]:
        planes = self._planes(maximum_pixels)
        first = planes[0]
        for plane, path in zip(planes, self.images, strict=True):
            if plane.shape != first.shape or plane.dtype != first.dtype:
                raise ImageFileError(
                    f"the image is {_described(plane)}; "
                    f"the first channel of site {self.key} is {_described(first)}",
                    where=str(path),
                    remedy="export all channels of a site with the same size and bit depth",
                )
        if self.array_shape is not None and first.shape != self.array_shape:
            raise content_changed(str(self.images[0]))
        return planes

    def _planes(self, maximum_pixels: int) -> list[np.ndarray]:
        """The image of each channel, (rows, cols)."""
        selections = self.planes or (WHOLE_FILE,) * len(self.images)
        contents = self.contents or ("",) * len(self.images)
        found: dict[int, np.ndarray] = {}
        for file in dict.fromkeys(self.images):
            numbers = [number for number, image in enumerate(self.images) if image == file]
            wanted = [selections[number] for number in numbers]
            if any(wanted):
                pixels = read_planes(file, wanted, maximum_pixels, [contents[number] for number in numbers])
            else:
                pixels = [read_image(file, maximum_pixels, contents[numbers[0]])] * len(numbers)
            found.update(zip(numbers, pixels, strict=True))
        return [found[number] for number in range(len(self.images))]


@dataclass(frozen=True)
class SiteFailure:
    """A site that could not be used, and why."""

    well: str
    site: str
    problem: str

    def as_dict(self) -> dict[str, str]:
        """The failure as it stands in manifests."""
        return {"well": self.well, "site": self.site, "problem": self.problem}


def sites_of_plate(
    plate: str, plate_images: pa.Table, channels: Sequence[str], paths: dict[str, Path | UPath]
) -> list[ImageSite]:
    """The sites listed in a plate_images table, wells together, in order of first appearance.

    Parameters
    ----------
    plate_images : one row per site and channel (see the schema registry).
    channels : channel names in the order wanted.
    paths : the file meant by each value of the table's `path` column.

    Raises
    ------
    StoreError : the table was made for other channels.
    """
    listed = plate_images["channel"].unique().to_pylist()
    absent = [name for name in channels if name not in listed]
    if absent:
        raise StoreError(
            f"plate {plate} has no images of channel {', '.join(absent)}; it has {', '.join(listed)}",
            where="plate_images",
            remedy=f"materialize plate_images for plate {plate} again",
        )
    by_site: dict[tuple[str, str], dict[str, dict]] = {}
    for row in plate_images.to_pylist():
        by_site.setdefault((row[WELL], row[SITE]), {})[row["channel"]] = row
    well_order = {well: number for number, well in enumerate(dict.fromkeys(well for well, _ in by_site))}
    keys = sorted(by_site, key=lambda key: well_order[key[0]])
    return [_site(plate, key, [by_site[key][name] for name in channels], paths) for key in keys]


def _plane_of(row: dict, file: Path | UPath) -> PlaneSelection:
    """Which plane of its file the path of a plate_images row means."""
    is_name = file.name == PurePosixPath(row["path"]).name
    return WHOLE_FILE if is_name or row["problem"] else split_plane(row["path"])[1]


def _site(plate: str, key: tuple[str, str], rows: list[dict], paths: dict[str, Path | UPath]) -> ImageSite:
    problems = [row["problem"] for row in rows if row["problem"]]
    shape = (rows[0]["height"] or 0, rows[0]["width"] or 0)
    return ImageSite(
        plate=plate,
        well=key[0],
        site=key[1],
        original_shape=shape,
        images=tuple(paths[row["path"]] for row in rows),
        fingerprints=tuple(row["fingerprint"] or "" for row in rows),
        names=tuple(row["path"] for row in rows),
        problem="; ".join(problems) or None,
        array_shape=shape,
        planes=tuple(_plane_of(row, paths[row["path"]]) for row in rows),
        channels=tuple(row["channel"] for row in rows),
        contents=tuple(row["fingerprint"] or "" for row in rows),
    )


def usable(sites: Sequence[ImageSite]) -> list[ImageSite]:
    """The sites without a problem."""
    return [site for site in sites if site.problem is None]


def failures_of(sites: Sequence[ImageSite]) -> list[SiteFailure]:
    """The sites with a problem, as failures."""
    return [SiteFailure(site.well, site.site, site.problem) for site in sites if site.problem is not None]


def refuse_failures(failures: Sequence[SiteFailure], *, plate: str, finished: int, on_bad_site: str) -> None:
    """Raise ImageFileError naming every failed site, unless the project says to go on without them.

    Parameters
    ----------
    finished : how many finished sites the next run will find; 0 for stages that keep none.
    """
    if not failures or on_bad_site == "skip":
        return
    kept = f" ({finished} finished sites are kept)" if finished else ""
    raise ImageFileError(
        [
            Problem(
                failure.problem,
                f"plate {plate}, well {failure.well}, site {failure.site}",
                f"replace the image and run again{kept}, or set `on_bad_site: skip` in project.yaml to go on "
                "without it",
            )
            for failure in failures
        ]
    )


def _described(plane: np.ndarray) -> str:
    return f"{plane.shape[0]} x {plane.shape[1]} {plane.dtype}"
