"""Crops cut straight from images: what their fingerprints depend on, and masking."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dp_assets.imaging.cropping import CropGeometry, crop_cells
from dp_assets.imaging.full_image import grid_cells
from dp_assets.imaging.masks import PlateMasks
from dp_assets.imaging.site_crops import SiteCrops
from dp_assets_tests.image_changes import overwrite
from dp_assets_tests.made_outlines import outlines_of, write_outlines
from dp_assets_tests.made_plates import PIXELS, PLATE, MadePlate, tiny_plate


@pytest.fixture
def plate(tmp_path: Path) -> MadePlate:
    made = tiny_plate(tmp_path / "project", wells=3, channels=("DNA", "RNA"))
    write_outlines(made)
    return made


def crops_of(plate: MadePlate, *, masked: bool = True, **changes: object) -> SiteCrops:
    masks = PlateMasks(outlines_of(plate)) if masked else None
    return replace(
        SiteCrops(plate.sites(), plate.cells(), CropGeometry(16), (1, 0), masks),
        **changes,  # type: ignore[arg-type]
    )


def changed(before: SiteCrops, after: SiteCrops) -> list[str]:
    return [
        first.well
        for first, second in zip(before.sites, after.sites, strict=True)
        if before.site_fingerprint(first) != after.site_fingerprint(second)
    ]


def test_what_a_sites_fingerprint_depends_on(plate: MadePlate) -> None:
    before = crops_of(plate)
    assert changed(before, crops_of(plate)) == []
    assert changed(before, crops_of(plate, geometry=CropGeometry(16, margin=4))) == []
    for other in (
        crops_of(plate, masked=False),
        crops_of(plate, geometry=CropGeometry(16, view_size=20)),
        crops_of(plate, masks=PlateMasks(outlines_of(plate), "original")),
    ):
        assert changed(before, other) == ["A01", "A02", "A03"]
    overwrite(plate.root / "inputs" / "outlines" / f"{PLATE}_A02_1.tif", np.ones((64, 80), np.uint16))
    assert changed(before, crops_of(plate)) == ["A02"]


def test_masked_crops_are_crops_with_zeros(plate: MadePlate) -> None:
    source, bare = crops_of(plate), crops_of(plate, masked=False)
    for site in source.sites:
        crops, own = source.crops_and_masks(site, PIXELS)
        plain, nothing = bare.crops_and_masks(site, PIXELS)
        assert nothing is None
        assert own is not None
        np.testing.assert_array_equal(crops, plain)
        np.testing.assert_array_equal(source.crops(site, PIXELS), np.where(own[..., None], plain, 0))
        assert own.any(axis=(1, 2)).all()


def test_a_site_without_cells(plate: MadePlate) -> None:
    source = crops_of(plate, cells={})
    assert source.crops(source.sites[0], PIXELS).shape == (0, 16, 16, 2)


def test_views_of_a_whole_image(plate: MadePlate) -> None:
    grid = grid_cells((64, 80), 40)
    geometry = CropGeometry(16, view_size=40)
    cells = {(site.well, site.site): grid for site in plate.sites()}
    source = crops_of(plate, masked=False, cells=cells, geometry=geometry)
    site = source.sites[1]
    expected = crop_cells(site.read()[..., [1, 0]], grid.centres, geometry, (64, 80))
    np.testing.assert_array_equal(source.crops(site, PIXELS), expected)
    assert source.cells_of(site).names == ("0", "1", "2", "3")
