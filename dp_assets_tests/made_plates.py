"""A tiny project on disk, as far as the tables and sites that the stages start from."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from dp_assets.example.tiny import write_tiny_project
from dp_assets.imaging.plate_crops import SiteCells, cells_by_site
from dp_assets.storage.image_sites import ImageSite, sites_of_plate
from dp_assets.storage.index_file import IndexLocation, find_index, read_index
from dp_assets.storage.plate_tables import (
    annotate_plate,
    collect_locations,
    describe_plate_images,
    image_paths,
)

PLATE = "TINY00001"
PIXELS = 10**8


class ProgressLog(list[tuple[int, int]]):
    """Every (done, total) that was reported; raises `KilledError` once `done` reaches `kill_at`."""

    def __init__(self, kill_at: int | None = None) -> None:
        super().__init__()
        self._kill_at = kill_at

    def __call__(self, done: int, total: int) -> None:
        self.append((done, total))
        if done == self._kill_at:
            raise KilledError


class KilledError(Exception):
    """The run was killed."""


def options(work: Any, progress: ProgressLog | None = None, **changes: Any) -> dict[str, Any]:
    """Keyword arguments that all stages take; one worker, so that a killed run stops where it is killed."""
    return {
        "work": work,
        "workers": 1,
        "on_bad_site": "fail",
        "maximum_pixels": PIXELS,
        "progress": ProgressLog() if progress is None else progress,
        **changes,
    }


@dataclass(frozen=True)
class MadePlate:
    """One plate of a project on disk."""

    root: Path
    plate: str
    channels: tuple[str, ...]
    bits: int

    @cached_property
    def location(self) -> IndexLocation:
        return IndexLocation(find_index(self.root / "inputs/metadata"), self.root / "inputs/images")

    @cached_property
    def index(self) -> pa.Table:
        return read_index(self.location, self.channels)

    def images(self) -> pa.Table:
        return describe_plate_images(
            self.index, self.plate, self.channels, self.location, bits=self.bits, workers=2
        )

    def sites(self) -> list[ImageSite]:
        """The sites as the files are now."""
        images = self.images()
        return sites_of_plate(self.plate, images, self.channels, image_paths(images, self.location))

    def annotations(self) -> pa.Table:
        return annotate_plate(self.index, self.plate, self.channels)

    def locations(self) -> pa.Table:
        keys = [(site.well, site.site) for site in self.sites()]
        return collect_locations(self.plate, keys, self.root / "inputs/locations", workers=2)

    def cells(self) -> dict[tuple[str, str], SiteCells]:
        return cells_by_site(self.locations())

    def other(self, plate: str) -> "MadePlate":
        """Another plate of the same project."""
        return replace(self, plate=plate)


def tiny_plate(root: Path, **changes: Any) -> MadePlate:
    """Write a tiny project of one plate (unless told otherwise) and return its first plate."""
    summary = write_tiny_project(root, **{"plates": 1, "shape": (64, 80), "cells_per_site": 3, **changes})
    return MadePlate(root, PLATE, tuple(summary.channels), 8 if changes.get("dtype") == "uint8" else 16)


def golden_plate(golden: Path, plate: str) -> MadePlate:
    """A recorded plate."""
    return MadePlate(golden, plate, ("DNA", "ER", "RNA", "AGP", "Mito"), 16)
