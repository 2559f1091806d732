"""Crops read from stores are what the network would get from the images themselves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tifffile
from skimage.transform import resize

from dp_assets.config.errors import TrainingDataError
from dp_assets.imaging.cropping import CropGeometry, crop_cells
from dp_assets.imaging.masks import MaskSampling, PlateMasks
from dp_assets.imaging.normalization import normalize_crops
from dp_assets.imaging.plate_crops import CropPlan, export_crops
from dp_assets.imaging.site_crops import SiteCrops
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.folders import publish_folder
from dp_assets.storage.image_sites import ImageSite
from dp_assets.storage.images import read_image
from dp_assets.storage.work import WorkFolder
from dp_assets.training.normalized_crops import normalized
from dp_assets.training.store_crops import StoreCrops
from dp_assets_tests.golden_stages import GEOMETRY, exported, recorded_crops
from dp_assets_tests.made_outlines import outlines_of, write_outlines
from dp_assets_tests.made_plates import MadePlate, options, tiny_plate

CHANNELS = ("DNA", "RNA", "Mito")
BOX = CropGeometry(16, margin=3)


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MadePlate]:
    first = tiny_plate(tmp_path_factory.mktemp("project"), plates=2, wells=3)
    return {plate: first.other(plate) for plate in ("TINY00001", "TINY00002")}


@pytest.fixture(scope="module")
def stores(plates: dict[str, MadePlate], tmp_path_factory: pytest.TempPathFactory) -> dict[str, CropStore]:
    folder = tmp_path_factory.mktemp("stores")
    found = {}
    for name, plate in plates.items():
        plan = CropPlan(plate.sites(), CHANNELS, plate.cells(), BOX, (64, 80), "uint16")
        publish_folder(folder / name, export_crops(plan, **options(WorkFolder(folder / "w" / name)))[0])
        found[name] = CropStore.open(folder / name)
    return found


def rows(stores: dict[str, CropStore]) -> list[tuple[str, int]]:
    """Cells of both plates, mixed."""
    every = [(plate, row) for plate, store in stores.items() for row in range(len(store))]
    return [every[n] for n in np.random.default_rng(0).permutation(len(every))[:11]]


def cells_table(chosen: list[tuple[str, int]]) -> pa.Table:
    return pa.table(
        {
            "Metadata_Plate": pa.array([plate for plate, _ in chosen], pa.string()),
            "store_row": pa.array([row for _, row in chosen], pa.int64()),
        }
    )


def source(stores: dict[str, CropStore], **changes: Any) -> StoreCrops:
    facts: dict[str, Any] = {"channels": CHANNELS, "geometry": BOX, "normalization": "minmax"}
    facts |= {"cells": cells_table(rows(stores))} | changes
    return StoreCrops(stores, facts.pop("cells"), facts.pop("channels"), **facts)


RANGES = {
    "TINY00001": (np.array([100.0, 50, 0]), np.array([900.0, 2000, 3000])),
    "TINY00002": (np.array([0.0, 0, 10]), np.array([500.0, 700, 800])),
}


@pytest.mark.parametrize("normalization", ["minmax", "none", "zscore", "plate"])
@pytest.mark.parametrize("channels", [CHANNELS, ("Mito", "DNA")])
def test_crops_of_several_plates_bit_for_bit(
    plates: dict[str, MadePlate], stores: dict[str, CropStore], normalization: Any, channels: tuple[str, ...]
) -> None:
    count = len(channels)
    ranges = {plate: (low[:count], high[:count]) for plate, (low, high) in RANGES.items()}
    crops = source(stores, channels=channels, normalization=normalization, plate_ranges=ranges)
    chosen = rows(stores)
    assert (len(crops), crops.shape) == (11, (16, 16, len(channels)))
    order = np.array([10, 3, 3, 0, 7])
    found = normalized(crops).read(order)
    assert (found.dtype, found.shape) == (np.float32, (5, 16, 16, len(channels)))
    for crop, number in zip(found, order, strict=True):
        plate, row = chosen[number]
        where = stores[plate].index.slice(row, 1).to_pylist()[0]
        site = next(s for s in plates[plate].sites() if s.well == where["Metadata_Well"])
        image = site.read()[..., [CHANNELS.index(name) for name in channels]]
        centre = plates[plate].cells()[(site.well, site.site)].centres[int(where["Metadata_Cell"])]
        expected = normalize_crops(
            crop_cells(image, centre[None], CropGeometry(16), (64, 80)), normalization, ranges[plate]
        )
        np.testing.assert_array_equal(crop, expected[0])
    assert crops.read(np.array([], int)).shape == (0, 16, 16, len(channels))


def test_a_source_without_cells(stores: dict[str, CropStore]) -> None:
    crops = source(stores, cells=cells_table([]))
    assert len(crops) == 0
    assert crops.read(np.array([], int)).shape == (0, 16, 16, 3)


def test_recorded_crops(golden: Path) -> None:
    store = exported(golden, "SYN00001")
    chosen = [row for row, well in enumerate(store.index["Metadata_Well"].to_pylist()) if well == "A02"]
    crops = StoreCrops(
        {"SYN00001": store},
        cells_table([("SYN00001", row) for row in chosen]),
        store.channels,
        geometry=GEOMETRY,
        normalization="minmax",
    )
    np.testing.assert_allclose(
        normalized(crops).read(np.arange(19)), recorded_crops(golden), atol=2e-5, rtol=0
    )


@pytest.mark.parametrize("masks", ["nearest", "original"])
@pytest.mark.parametrize(
    ("geometry", "array_shape"),
    [
        (BOX, (64, 80)),
        (BOX, (40, 50)),
        (CropGeometry(16, margin=2, view_size=24), (51, 63)),
        (CropGeometry(16, "exact", 3), (64, 80)),
    ],
)
def test_masked_crops_are_those_cut_from_images(
    masked_plate: MadePlate,
    tmp_path: Path,
    masks: MaskSampling,
    geometry: CropGeometry,
    array_shape: tuple[int, int],
) -> None:
    """Bit for bit, for images of the original size and for scaled ones."""
    sites = [_scaled(site, array_shape, tmp_path) for site in masked_plate.sites()]
    cells = masked_plate.cells()
    owners = PlateMasks(outlines_of(masked_plate), masks)
    plan = CropPlan(sites, CHANNELS, cells, geometry, array_shape, "uint16", owners)
    publish_folder(tmp_path / "out", export_crops(plan, **options(WorkFolder(tmp_path / "w")))[0])
    store = CropStore.open(tmp_path / "out")
    chosen = cells_table([("TINY00001", row) for row in range(len(store))])
    crops = source({"TINY00001": store}, cells=chosen, geometry=geometry, normalization="none")
    direct = SiteCrops(sites, cells, geometry, (0, 1, 2), owners)
    expected = np.concatenate([direct.crops(site, 10**6) for site in sites])
    found = crops.read(np.arange(len(store)))
    assert found.dtype == (np.uint16 if geometry.sampling == "exact" else np.float32)
    np.testing.assert_array_equal(found, expected)
    own = np.concatenate([direct.crops_and_masks(site, 10**6)[1] for site in sites])
    np.testing.assert_array_equal(crops.masks(np.arange(len(store))), own)
    assert own.any(axis=(1, 2)).all()
    assert not own.all(axis=(1, 2)).any()
    np.testing.assert_array_equal(found.any(axis=3) & ~own, False)
    # Masked first, normalised then.
    scaled = normalized(source({"TINY00001": store}, cells=chosen, geometry=geometry))
    np.testing.assert_array_equal(scaled.read(np.arange(len(store))), normalize_crops(expected))


@pytest.fixture(scope="module")
def exact_stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CropStore]:
    """Whole-pixel crops: a plate of 8 bit and one of 16."""
    folder = tmp_path_factory.mktemp("exact")
    found = {}
    for name, dtype in (("TINY00001", "uint8"), ("TINY00002", "uint16")):
        plate = tiny_plate(folder / dtype, plates=2, wells=2, dtype=dtype).other(name)
        plan = CropPlan(plate.sites(), CHANNELS, plate.cells(), CropGeometry(16, "exact", 3), (64, 80), dtype)
        publish_folder(folder / name, export_crops(plan, **options(WorkFolder(folder / "w" / name)))[0])
        found[name] = CropStore.open(folder / name)
    return found


@pytest.mark.parametrize("channels", [CHANNELS, ("Mito", "DNA")])
@pytest.mark.parametrize(
    ("plates", "dtype"),
    [(["TINY00001"], np.uint8), (["TINY00002"], np.uint16), (["TINY00001", "TINY00002"], np.uint16)],
)
def test_whole_pixels_keep_the_type_of_the_stores(
    exact_stores: dict[str, CropStore], plates: list[str], dtype: type, channels: tuple[str, ...]
) -> None:
    """Of several stores the larger one: also of a batch that has cells of the others only."""
    chosen = [(plate, row) for plate in plates for row in (3, 0, 4)]
    crops = source(
        exact_stores, cells=cells_table(chosen), channels=channels, geometry=CropGeometry(16, "exact", 3)
    )
    columns = [CHANNELS.index(name) for name in channels]
    for number, (plate, row) in enumerate(chosen):
        found = crops.read(np.array([number]))
        assert found.dtype == dtype
        window = exact_stores[plate].windows([row])[0, 3:19, 3:19][..., columns]
        np.testing.assert_array_equal(found[0], window)
    assert found.max() > 0


def test_grey_levels_go_along_with_their_cells(stores: dict[str, CropStore]) -> None:
    crops = source(stores, normalization="plate", plate_ranges=RANGES)
    order = np.array([10, 3, 3, 0, 7])
    expected = [RANGES[rows(stores)[number][0]] for number in order]
    found = crops.ranges(order)
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    assert {plate for plate, _ in np.array(rows(stores))[order]} == set(stores)
    assert source(stores, plate_ranges=RANGES).ranges(order) is None
    with pytest.raises(ValueError, match="Received none of TINY00002"):
        source(stores, normalization="plate", plate_ranges={"TINY00001": RANGES["TINY00001"]})


def _scaled(site: ImageSite, shape: tuple[int, int], folder: Path) -> ImageSite:
    """The site with its images resized, as compressed images are."""
    paths = []
    for number, path in enumerate(site.images):
        small = resize(read_image(path), shape, preserve_range=True, anti_aliasing=True)
        paths.append(folder / f"{site.well}_{number}.tif")
        tifffile.imwrite(paths[-1], np.round(small).astype(np.uint16))
    return replace(site, contents=(), images=tuple(paths), array_shape=shape)


@pytest.fixture(scope="module")
def masked_plate(tmp_path_factory: pytest.TempPathFactory) -> MadePlate:
    made = tiny_plate(tmp_path_factory.mktemp("masked"), wells=2, channels=CHANNELS)
    write_outlines(made)
    return made


def test_cells_that_are_not_masked_are_their_own_everywhere(stores: dict[str, CropStore]) -> None:
    assert source(stores).masks(np.array([3, 1])).shape == (2, 16, 16)
    assert source(stores).masks(np.array([3, 1])).all()


def test_plates_without_a_store(stores: dict[str, CropStore]) -> None:
    with pytest.raises(TrainingDataError, match=r"plates without exported crops: P7, P9"):
        source(stores, cells=cells_table([("P9", 0), ("TINY00001", 0), ("P7", 0)]))


def test_channels_that_a_store_lacks(stores: dict[str, CropStore]) -> None:
    with pytest.raises(TrainingDataError, match="channels DNA, RNA, Mito; ER, AGP is wanted") as caught:
        source(stores, channels=("DNA", "ER", "AGP"))
    assert "TINY00001" in caught.value.problems[0].where


@pytest.mark.parametrize(
    ("geometry", "what"),
    [
        (CropGeometry(16), "the crops have margin 3, the configuration 0"),
        (CropGeometry(18, margin=3), "the crops have box_size 16, the configuration 18"),
        (CropGeometry(16, "exact", 3), "the crops have sampling original, the configuration exact"),
        (CropGeometry(16, margin=3, view_size=32), "the crops have view_size None, the configuration 32"),
    ],
)
def test_stores_cut_with_another_geometry(
    stores: dict[str, CropStore], geometry: CropGeometry, what: str
) -> None:
    with pytest.raises(TrainingDataError, match=what) as caught:
        source(stores, geometry=geometry)
    assert "materialize the single_cells asset" in caught.value.problems[0].remedy
