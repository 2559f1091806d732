"""What features are made from: crops as in training, and a fingerprint that shows every change."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp_assets.config.errors import ContentChangedError
from dp_assets.imaging.cropping import CropGeometry, crop_cells
from dp_assets.imaging.normalization import normalize_crops
from dp_assets.imaging.plate_crops import SiteCells
from dp_assets.imaging.site_crops import SiteCrops
from dp_assets.profiling.feature_plan import FeaturePlan
from dp_assets_tests.image_changes import brighten, overwrite, site_pixels
from dp_assets_tests.made_plates import PIXELS, MadePlate, tiny_plate

CHANNELS = ("DNA", "RNA", "Mito")
RANGE = (np.array([10.0, 20, 30]), np.array([900.0, 800, 700]))


@pytest.fixture
def plate(tmp_path: Path) -> MadePlate:
    return tiny_plate(tmp_path)


SOURCE = ("sites", "cells", "geometry", "channel_order")


def plan_of(plate: MadePlate, **changes: Any) -> FeaturePlan:
    facts = {
        "sites": plate.sites(),
        "channel_order": (2, 0, 1),
        "cells": plate.cells(),
        "geometry": CropGeometry(16),
        "normalization": "minmax",
        "plate_range": None,
        "model_fingerprint": "model",
        "layer": "pool5",
        "precision": "float32",
        "network": "net",
        "batch_size": 8,
    }
    values = {**facts, **changes}
    source = {name: values.pop(name) for name in SOURCE}
    return FeaturePlan(source=SiteCrops(**source), **values)


@pytest.mark.parametrize(
    ("normalization", "plate_range"), [("minmax", None), ("zscore", None), ("plate", RANGE)]
)
def test_crops_are_those_of_the_image_in_the_networks_channel_order(
    plate: MadePlate, normalization: Any, plate_range: Any
) -> None:
    plan = plan_of(plate, normalization=normalization, plate_range=plate_range)
    for site in plan.sites:
        image = site_pixels(site)
        raw = crop_cells(image, plan.cells_of(site).centres, CropGeometry(16), (64, 80))[..., [2, 0, 1]]
        found = plan.crops(site, PIXELS)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, normalize_crops(raw, normalization, plate_range))


def test_sites_that_the_locations_do_not_name_have_no_cells(plate: MadePlate) -> None:
    plan = plan_of(plate, cells={})
    assert plan.cells_of(plan.sites[0]).names == ()
    assert plan.crops(plan.sites[0], PIXELS).shape == (0, 16, 16, 3)


def test_an_image_that_changed_its_size_is_not_cut(plate: MadePlate) -> None:
    plan = plan_of(plate)
    for path in plan.sites[0].images:
        overwrite(path, np.zeros((128, 160), np.uint16))
    with pytest.raises(ContentChangedError, match="has changed since plate_images"):
        plan.crops(plan.sites[0], PIXELS)


@pytest.mark.parametrize(
    "changes",
    [
        {"channel_order": (0, 1, 2)},
        {"geometry": CropGeometry(17)},
        {"geometry": CropGeometry(16, "exact")},
        {"normalization": "zscore"},
        {"plate_range": RANGE},
        {"model_fingerprint": "other"},
        {"layer": "block6a"},
        {"precision": "mixed_bfloat16"},
        {"batch_size": 9},
        {"repeated_channels": CHANNELS},
    ],
)
def test_a_changed_setting_changes_every_site(plate: MadePlate, changes: dict[str, Any]) -> None:
    plan = plan_of(plate)
    other = plan_of(plate, **changes)
    assert all(plan.site_fingerprint(site) != other.site_fingerprint(site) for site in plan.sites)
    assert plan.fingerprint != other.fingerprint


def test_what_makes_no_difference(plate: MadePlate) -> None:
    plan = plan_of(plate)
    assert plan_of(plate).fingerprint == plan.fingerprint
    assert plan_of(plate, geometry=CropGeometry(16, margin=5)).fingerprint == plan.fingerprint


def changed_wells(before: FeaturePlan, after: FeaturePlan) -> list[str]:
    return [
        first.well
        for first, second in zip(before.sites, after.sites, strict=True)
        if before.site_fingerprint(first) != after.site_fingerprint(second)
    ]


def test_a_changed_image_or_cell_changes_its_site_only(plate: MadePlate) -> None:
    before = plan_of(plate)
    path = before.sites[1].images[2]
    brighten(path)
    after = plan_of(plate)
    assert changed_wells(before, after) == ["A02"]
    cells = dict(after.source.cells)
    moved = cells[("A04", "1")]
    cells[("A04", "1")] = SiteCells(moved.names, moved.centres + np.array([0, 1e-6]))
    assert changed_wells(after, plan_of(plate, cells=cells)) == ["A04"]
    cells[("A04", "1")] = SiteCells(moved.names[::-1], moved.centres)
    assert changed_wells(after, plan_of(plate, cells=cells)) == ["A04"]


def test_repeated_channels_are_named_in_the_features(plate: MadePlate) -> None:
    assert plan_of(plate).feature_names(3) == ["net_0", "net_1", "net_2"]
    assert plan_of(plate, repeated_channels=("DNA", "ER")).feature_names(4) == [
        "net_DNA_0",
        "net_DNA_1",
        "net_ER_0",
        "net_ER_1",
    ]
