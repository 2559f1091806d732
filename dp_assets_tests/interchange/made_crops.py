"""Crop stores of a small plate, and the labels of its sites."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from dp_assets.imaging.cropping import CropGeometry
from dp_assets.imaging.plate_crops import CropPlan, export_crops
from dp_assets.interchange.sc_metadata import CropLabels
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.folders import publish_folder
from dp_assets.storage.work import WorkFolder
from dp_assets_tests.made_plates import PLATE, MadePlate, options, tiny_plate

CHANNELS = ("DNA", "RNA", "Mito")
SHAPE = (64, 80)
BOX = CropGeometry(16, margin=3)


def made_plate(root: Path, **changes: object) -> MadePlate:
    return tiny_plate(root, wells=4, **changes)


def store_of(plate: MadePlate, folder: Path, geometry: CropGeometry = BOX) -> CropStore:
    """The crop store of a plate, published at `folder`."""
    plan = CropPlan(plate.sites(), CHANNELS, plate.cells(), geometry, SHAPE, "uint16")
    publish_folder(folder, export_crops(plan, **options(WorkFolder(folder.parent / ".work")))[0])
    return CropStore.open(folder)


def labels_of(index: pa.Table, label: str = "Treatment") -> CropLabels:
    return CropLabels.of_index(index, label, "Split")


def strip_of(crop: np.ndarray) -> np.ndarray:
    """As the specification words it: channels side by side, floor(255 * stretch over the whole strip)."""
    strip = np.concatenate([crop[:, :, channel] for channel in range(crop.shape[2])], axis=1)
    return np.floor(255 * ((strip - strip.min()) / (strip.max() - strip.min()))).astype(np.uint8)


__all__ = ["BOX", "CHANNELS", "PLATE", "SHAPE", "labels_of", "made_plate", "store_of", "strip_of"]
