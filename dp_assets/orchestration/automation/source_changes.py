"""What is read from files of a plate, compared with the files as they are now: by content, never by time."""

from collections.abc import Callable

import dagster as dg
import pyarrow as pa
from upath import UPath

from dp_assets.config.errors import ProjectError
from dp_assets.config.sections import ImagesSettings
from dp_assets.orchestration.crop_inputs import outline_location
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.fingerprints import fingerprint_table
from dp_assets.storage.outlines_file import read_outlines
from dp_assets.storage.plate_outlines import describe_plate_outlines
from dp_assets.storage.plate_tables import annotate_plate, collect_locations, describe_plate_images
from dp_assets.storage.published import published_fingerprint
from dp_assets.storage.schemas import SITE, WELL

SOURCES = ("plate_images", "plate_annotations", "cell_locations", "plate_outlines")
CHANGED = "its files have changed"


def changed_sources(
    plate: str, index: pa.Table, images: ImagesSettings, project: ProjectResource
) -> dict[dg.AssetKey, str]:
    """Of what is published of a plate's files that which is different now; asset -> why.

    Every file of the plate is read. Nothing is written.

    Parameters
    ----------
    index : the image index as it is now.
    """
    reading = _Reading(plate, index, images, project)
    readers: dict[str, Callable[[], pa.Table]] = {
        "plate_images": lambda: reading.images,
        "plate_annotations": lambda: annotate_plate(index, plate, images.channels),
        "cell_locations": reading.locations,
        "plate_outlines": reading.outlines,
    }
    found: dict[dg.AssetKey, str] = {}
    for name in SOURCES:
        published = published_fingerprint(_place(project, name, plate))
        if published is None:
            continue
        try:
            is_current = fingerprint_table(readers[name]()) == published
        except ProjectError as error:
            found[dg.AssetKey(name)] = f"its files cannot be read: {error.problems[0].what}"
            continue
        if not is_current:
            found[dg.AssetKey(name)] = CHANGED
    return found


def _place(project: ProjectResource, name: str, plate: str) -> UPath:
    return project.path((name,), plate, ".parquet")


class _Reading:
    """A plate's files, each read once."""

    def __init__(self, plate: str, index: pa.Table, images: ImagesSettings, project: ProjectResource) -> None:
        self._plate, self._index, self._settings, self._project = plate, index, images, project
        self._images: pa.Table | None = None

    @property
    def images(self) -> pa.Table:
        if self._images is None:
            self._images = describe_plate_images(
                self._index,
                self._plate,
                self._settings.channels,
                self._project.image_location(),
                bits=self._settings.bits,
                workers=self._project.workers,
                z=self._settings.z,
                maximum_pixels=self._project.maximum_image_pixels,
            )
        return self._images

    def locations(self) -> pa.Table:
        columns = (self.images[name].to_pylist() for name in (WELL, SITE))
        sites = list(dict.fromkeys(zip(*columns, strict=True)))
        layout = self._project.layout
        return collect_locations(self._plate, sites, layout.locations, workers=self._project.workers)

    def outlines(self) -> pa.Table:
        project = self._project
        listing = read_outlines(project.layout.metadata, self._index, project.image_roots)
        return describe_plate_outlines(
            self.images,
            listing,
            outline_location(project),
            workers=project.workers,
            maximum_pixels=project.maximum_image_pixels,
        )
