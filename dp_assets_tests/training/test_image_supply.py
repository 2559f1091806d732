"""Crops cut out of images while training are those of the crop store, and flat ones are never shown."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.config.errors import ImageFileError, TrainingDataError
from dp_assets.imaging.cropping import CropGeometry
from dp_assets.imaging.plate_crops import CropPlan, SiteCells, export_crops
from dp_assets.imaging.site_crops import SiteCrops
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.folders import publish_folder
from dp_assets.storage.image_sites import ImageSite
from dp_assets.storage.schemas import CELL_KEY
from dp_assets.storage.work import WorkFolder
from dp_assets.training.crop_supply import StoreSupply
from dp_assets.training.feed import CropFeed
from dp_assets.training.image_supply import ImageSupply
from dp_assets.training.normalized_crops import normalized
from dp_assets.training.plate_images import PlateImages
from dp_assets.training.sampler import BalancedImageEpochs
from dp_assets.training.targets import ClassTargets
from dp_assets.training.training_set import Partition, TrainingSet, build_training_set, images_of
from dp_assets_tests.made_plates import PIXELS, MadePlate, options, tiny_plate

CHANNELS = ("DNA", "RNA", "Mito")
BOX = CropGeometry(16, margin=3)
PARTITION = Partition("Treatment", "Split", ("training",), ("validation",))
RANGES = {
    "TINY00001": (np.array([100.0, 50, 0]), np.array([900.0, 2000, 3000])),
    "TINY00002": (np.array([0.0, 0, 10]), np.array([500.0, 700, 800])),
}


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MadePlate]:
    first = tiny_plate(tmp_path_factory.mktemp("project"), plates=2, wells=4, cells_per_site=5)
    return {plate: first.other(plate) for plate in ("TINY00001", "TINY00002")}


@pytest.fixture(scope="module")
def stores(plates: dict[str, MadePlate], tmp_path_factory: pytest.TempPathFactory) -> dict[str, CropStore]:
    folder = tmp_path_factory.mktemp("stores")
    for name, plate in plates.items():
        plan = CropPlan(plate.sites(), CHANNELS, plate.cells(), BOX, (64, 80), "uint16")
        publish_folder(folder / name, export_crops(plan, **options(WorkFolder(folder / "w" / name)))[0])
    return {name: CropStore.open(folder / name) for name in plates}


def sources(plates: dict[str, MadePlate], **changes: Any) -> dict[str, SiteCrops]:
    return {
        name: SiteCrops(
            **{"sites": plate.sites(), "cells": plate.cells(), "geometry": BOX, "channel_order": (0, 1, 2)}
            | changes
        )
        for name, plate in plates.items()
    }


def supply_of(given: dict[str, SiteCrops], **changes: Any) -> ImageSupply:
    facts: dict[str, Any] = {
        "maximum_pixels": PIXELS,
        "cells_held": 1000,
        "normalization": "minmax",
    } | changes
    return ImageSupply(PlateImages(given, CHANNELS, facts.pop("normalization"), **facts))


def training_set(plates: dict[str, MadePlate], supply: ImageSupply | StoreSupply) -> TrainingSet:
    annotations = {name: plate.annotations() for name, plate in plates.items()}
    return build_training_set(annotations, {name: supply.listing(name) for name in plates}, PARTITION)


@pytest.mark.parametrize("normalization", ["minmax", "none", "zscore", "plate"])
def test_crops_of_images_are_those_of_the_store_bit_for_bit(
    plates: dict[str, MadePlate], stores: dict[str, CropStore], normalization: Any
) -> None:
    stored = StoreSupply(stores, CHANNELS, BOX, normalization)
    supply = supply_of(sources(plates), normalization=normalization)
    whole = training_set(plates, supply)
    assert whole.cells.equals(training_set(plates, stored).cells)
    assert stored.listing("TINY00001").select(list(CELL_KEY)).equals(supply.listing("TINY00001"))
    for split in ("training", "validation"):
        cells = whole.part(split)
        one = supply.labelled(cells, RANGES, training=True, seed=0)
        other = stored.labelled(cells, RANGES, training=True, seed=0)
        assert one.crops.shape == other.crops.shape
        rows = np.random.default_rng(0).integers(0, len(one), 50)
        np.testing.assert_array_equal(one.crops.read(rows), normalized(other.crops).read(rows))
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.images is not None
        assert other.images is not None
        np.testing.assert_array_equal(one.images, other.images)
        assert one.in_epoch(3) is one
    assert supply.pixels(whole.cells.slice(2, 3)).shape == (3, 16, 16, 3)
    empty = supply.labelled(whole.cells.slice(0, 0), {}, training=False, seed=0)
    assert empty.crops.read(np.array([], int)).shape == (0, 16, 16, 3)


def test_cells_are_found_by_name_however_rows_lie(plates: dict[str, MadePlate]) -> None:
    supply = supply_of(sources(plates))
    cells = training_set(plates, supply).cells
    order = np.random.default_rng(1).permutation(len(cells))
    straight = supply.labelled(cells, {}, training=True, seed=0).crops.read(order)
    shuffled = supply.labelled(cells.take(order), {}, training=True, seed=0)
    np.testing.assert_array_equal(shuffled.crops.read(np.arange(len(cells))), straight)


class CountedCrops(SiteCrops):
    """Counts how often each image is read."""

    reads: ClassVar[Counter[str]] = Counter()
    lock = threading.Lock()

    def crops(self, site: ImageSite, maximum_pixels: int) -> np.ndarray:
        with self.lock:
            self.reads[site.key] += 1
        return super().crops(site, maximum_pixels)


def test_each_image_is_read_once_in_an_epoch_of_several_threads(tmp_path: Path) -> None:
    plate = tiny_plate(tmp_path, wells=8, sites_per_well=6, channels=CHANNELS)
    given = CountedCrops(plate.sites(), plate.cells(), CropGeometry(8), (0, 1, 2))
    supply = supply_of({plate.plate: given}, cells_held=40)
    cells = training_set({plate.plate: plate}, supply).part("training")
    labelled = supply.labelled(cells, {}, training=True, seed=0)
    images, keys = images_of(cells)
    assert (len(labelled), len(keys)) == (72, 24)
    assert labelled.images is not None
    np.testing.assert_array_equal(labelled.images, images)
    sampler = BalancedImageEpochs(
        labelled.labels, labelled.images, 2, 7, factor=1.0, batch_size=2, cells_held=40
    )
    CountedCrops.reads.clear()
    rows = sampler.draw(0)
    targets = ClassTargets(labelled.labels, (2,))
    with CropFeed(labelled, rows, targets=targets, batch_size=2, workers=3) as feed:
        for batch in range(len(feed)):
            feed[batch]
    assert set(CountedCrops.reads) == {"/".join(keys[image]) for image in labelled.images[rows]}
    # A class with fewer images than the median shows some of them twice.
    assert CountedCrops.reads.total() <= 2 * sampler.images_per_class


def with_empty_corner(plate: MadePlate, flat: dict[str, int]) -> SiteCrops:
    """The plate's cells, of each named well the first so many outside the image."""
    cells = {}
    for (well, site), found in plate.cells().items():
        centres = found.centres.copy()
        centres[: flat.get(well, 0)] = -500
        cells[(well, site)] = SiteCells(found.names, centres)
    return SiteCrops(plate.sites(), cells, BOX, (0, 1, 2))


def test_a_crop_of_the_same_image_or_class_takes_the_place_of_a_flat_one(
    plates: dict[str, MadePlate],
) -> None:
    plate = plates["TINY00001"]
    # Controls are A01 and A03, both for training here; all of A01 is flat, and one cell of A02.
    cells_of = {well: len(found.names) for (well, _), found in plate.cells().items()}
    given = {plate.plate: with_empty_corner(plate, {"A01": cells_of["A01"], "A02": 1})}
    supply = supply_of(given)
    partition = Partition("Treatment", "Split", ("training", "validation"), ())
    cells = build_training_set(
        {plate.plate: plate.annotations()}, {plate.plate: supply.listing(plate.plate)}, partition
    ).cells
    labelled = supply.labelled(cells, {}, training=True, seed=0)
    crops = labelled.crops.read(np.arange(len(labelled)))
    assert (crops.max(axis=(1, 2)) > 0.9).all(), "every channel of every crop has contrast"
    wells = np.array(cells["Metadata_Well"].to_pylist())
    controls = {crop.tobytes() for crop in crops[wells == "A03"]}
    assert {crop.tobytes() for crop in crops[wells == "A01"]} <= controls
    treated = [crop.tobytes() for crop in crops[wells == "A02"]]
    assert treated[0] in treated[1:]
    assert supply.flat == {"DNA,RNA,Mito": cells_of["A01"] + 1}
    np.testing.assert_array_equal(labelled.crops.read(np.array([0, 0])), crops[[0, 0]])
    assert supply.flat == {"DNA,RNA,Mito": cells_of["A01"] + 1}, "counted once"


def test_a_class_that_is_flat_throughout_is_named(plates: dict[str, MadePlate]) -> None:
    plate = plates["TINY00001"]
    every = {well: len(found.names) for (well, _), found in plate.cells().items() if well in ("A01", "A03")}
    supply = supply_of({plate.plate: with_empty_corner(plate, every)})
    partition = Partition("Treatment", "Split", ("training", "validation"), ())
    cells = build_training_set(
        {plate.plate: plate.annotations()}, {plate.plate: supply.listing(plate.plate)}, partition
    ).cells
    with pytest.raises(TrainingDataError, match="TINY00001/A01/1 and of the 1 other images with its labels"):
        supply.labelled(cells, {}, training=True, seed=0).crops.read(np.array([0]))


def test_fingerprints_are_of_the_images_in_use(plates: dict[str, MadePlate]) -> None:
    given = sources(plates)
    supply = supply_of(given)
    cells = training_set(plates, supply).part("training")
    before = supply.fingerprints(cells)
    assert sorted(before) == ["TINY00001", "TINY00002"]
    assert supply_of(given, cells_held=5, normalization="none").fingerprints(cells) == before
    used = set(zip(cells["Metadata_Plate"].to_pylist(), cells["Metadata_Well"].to_pylist(), strict=True))
    for number, site in enumerate(given["TINY00002"].sites):
        changed = sources(plates)
        other = ImageSite(**{**vars(site), "fingerprints": ("changed", *site.fingerprints[1:])})
        sites = [*changed["TINY00002"].sites]
        sites[number] = other
        after = supply_of(
            {**changed, "TINY00002": SiteCrops(sites, plates["TINY00002"].cells(), BOX, (0, 1, 2))}
        ).fingerprints(cells)
        assert after["TINY00001"] == before["TINY00001"]
        assert (after["TINY00002"] != before["TINY00002"]) == (("TINY00002", site.well) in used)
    another_box = supply_of(sources(plates, geometry=CropGeometry(18)))
    assert another_box.fingerprints(cells)["TINY00001"] != before["TINY00001"]


def test_an_image_that_is_gone_is_named(tmp_path: Path) -> None:
    plate = tiny_plate(tmp_path)
    supply = supply_of({plate.plate: SiteCrops(plate.sites(), plate.cells(), BOX, (0, 1, 2))})
    cells = training_set({plate.plate: plate}, supply).cells
    labelled = supply.labelled(cells, {}, training=True, seed=0)
    gone = plate.sites()[0].images[1]
    gone.unlink()
    with pytest.raises(ImageFileError, match=gone.name):
        labelled.crops.read(np.array([0]))


def test_sites_with_a_problem_have_no_cells(plates: dict[str, MadePlate]) -> None:
    plate = plates["TINY00001"]
    sites = plate.sites()
    sites[1] = ImageSite(**{**vars(sites[1]), "problem": "torn"})
    supply = supply_of({plate.plate: SiteCrops(sites, plate.cells(), BOX, (0, 1, 2))})
    assert "A02" not in supply.listing(plate.plate)["Metadata_Well"].to_pylist()
    assert isinstance(supply.listing(plate.plate), pa.Table)
