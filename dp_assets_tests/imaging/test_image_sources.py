"""Compressed images and crops are the same, however the channels of a field are stored."""

from pathlib import Path

import numpy as np
import pytest

from dp_assets.imaging.cropping import CropGeometry
from dp_assets.imaging.illumination import IlluminationAccumulator
from dp_assets.imaging.plate_compression import CompressionPlan, compress_plate, compressed_sites
from dp_assets.imaging.plate_crops import CropPlan, export_crops
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.folders import publish_folder
from dp_assets.storage.work import WorkFolder
from dp_assets_tests.made_plates import MadePlate, options
from dp_assets_tests.made_stacks import separate_plate, tiff_plate, zarr_plate
from dp_assets_tests.stacks import CHANNELS

SHAPE = (64, 80)


def prepared(plate: MadePlate, folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Compressed images by site, and the windows cut from them."""
    sites = plate.sites()
    accumulator = IlluminationAccumulator(CHANNELS, SHAPE, 16, 4)
    for site in sites:
        accumulator.add(site.planes_of_channels())
    plan = CompressionPlan(sites, CHANNELS, accumulator.finish(8), "f", 1.0, "image", "s")
    writer, failures = compress_plate(plan, **options(WorkFolder(folder / "w"), workers=2))
    assert failures == []
    published = publish_folder(folder / "compressed", writer)
    files = [image["file"] for site in published.manifest["sites"] for image in site["images"]]
    assert len(set(files)) == len(files) == 3 * len(sites)
    assert all((published.path / name).exists() for name in files)
    compressed = compressed_sites(published, sites)
    crops = CropPlan(compressed, CHANNELS, plate.cells(), CropGeometry(16, margin=2), SHAPE, "uint8")
    writer, failures = export_crops(crops, **options(WorkFolder(folder / "c"), workers=2))
    assert failures == []
    publish_folder(folder / "crops", writer)
    store = CropStore.open(folder / "crops")
    return {site.key: site.read() for site in compressed}, store.windows(range(len(store)))


@pytest.fixture(scope="module")
def separate(tmp_path_factory: pytest.TempPathFactory) -> MadePlate:
    return separate_plate(tmp_path_factory.mktemp("separate"))


@pytest.fixture(scope="module")
def expected(
    separate: MadePlate, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    return prepared(separate, tmp_path_factory.mktemp("out"))


@pytest.mark.parametrize("source", ["OME-TIFF", "OME-Zarr 0.4", "OME-Zarr 0.5"])
def test_compressed_images_and_crops_are_those_of_separate_files(
    tmp_path: Path, separate: MadePlate, expected: tuple[dict[str, np.ndarray], np.ndarray], source: str
) -> None:
    root = tmp_path / "project"
    if source == "OME-TIFF":
        plate = tiff_plate(root, separate)
    else:
        plate = zarr_plate(root, separate, "0.4" if source.endswith("4") else "0.5")
    images, windows = prepared(plate, tmp_path)
    assert images.keys() == expected[0].keys()
    for key, image in images.items():
        np.testing.assert_array_equal(image, expected[0][key])
    np.testing.assert_array_equal(windows, expected[1])
    assert len(windows) > 5
