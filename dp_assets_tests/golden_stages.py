"""The recorded plates run through our own stages, once per process."""

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dp_assets.imaging.cropping import CropGeometry
from dp_assets.imaging.illumination import IlluminationFunctions
from dp_assets.imaging.plate_compression import CompressionPlan, compress_plate, compressed_sites
from dp_assets.imaging.plate_crops import CropPlan, SiteCells, export_crops
from dp_assets.imaging.plate_illumination import illumination_fingerprint, measure_illumination
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.folders import Folder, publish_folder
from dp_assets.storage.image_sites import ImageSite
from dp_assets.storage.work import WorkFolder
from dp_assets_tests.made_plates import MadePlate, golden_plate, options

GEOMETRY = CropGeometry(96, margin=12)
PLATES = ("SYN00001", "SYN00002")
_FOLDER = tempfile.TemporaryDirectory(prefix="golden_stages")


@dataclass(frozen=True)
class PreparedPlate:
    """A recorded plate with what `prepare` makes of it."""

    made: MadePlate
    functions: IlluminationFunctions
    compressed: Folder
    sites: list[ImageSite]
    cells: Mapping[tuple[str, str], SiteCells]


@functools.cache
def prepared(golden: Path, plate: str) -> PreparedPlate:
    """Illumination functions and compressed images of a recorded plate, with the recorded settings."""
    made = golden_plate(golden, plate)
    sites = made.sites()
    folder = Path(_FOLDER.name) / plate
    content = illumination_fingerprint(sites, made.channels, "golden")
    functions, _ = measure_illumination(
        sites,
        made.channels,
        bits=16,
        down_scale_factor=4,
        median_filter_size=24,
        plate_fingerprint=content,
        **options(WorkFolder(folder / "illumination")),
    )
    plan = CompressionPlan(sites, made.channels, functions, content, 1.0, "image", "golden")
    writer, _ = compress_plate(plan, **options(WorkFolder(folder / "compression"), workers=2))
    compressed = publish_folder(folder / "compressed", writer)
    return PreparedPlate(made, functions, compressed, compressed_sites(compressed, sites), made.cells())


@functools.cache
def exported(golden: Path, plate: str) -> CropStore:
    """The crop store of a recorded plate."""
    ready = prepared(golden, plate)
    plan = CropPlan(ready.sites, ready.made.channels, ready.cells, GEOMETRY, (512, 512), "uint8")
    folder = Path(_FOLDER.name) / plate
    writer, _ = export_crops(plan, **options(WorkFolder(folder / "cutting"), workers=2))
    publish_folder(folder / "crops", writer)
    return CropStore.open(folder / "crops")


def recorded_crops(golden: Path) -> np.ndarray:
    """What the original fed to its network for site SYN00001/A02/1, (19, 96, 96, 5) float32."""
    with np.load(golden / "profile_SYN00001_A02_1.npz") as recorded:
        return recorded["crops"]
