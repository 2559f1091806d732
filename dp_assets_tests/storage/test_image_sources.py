"""plate_images and sites of fields whose channels share a file."""

from collections import Counter
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pytest
import tifffile
from upath import UPath

from dp_assets.config.errors import ImageIndexError
from dp_assets.storage import plane_files
from dp_assets.storage.image_planes import PlaneSelection
from dp_assets.storage.image_sites import ImageSite, sites_of_plate
from dp_assets.storage.index_file import IndexLocation, locate_image, read_index
from dp_assets.storage.plate_tables import describe_plate_images, image_paths
from dp_assets.storage.schemas import PLATE_IMAGES
from dp_assets_tests.made_plates import PLATE, MadePlate
from dp_assets_tests.made_stacks import (
    WELLS,
    field_pixels,
    separate_plate,
    tiff_plate,
    with_index,
    zarr_plate,
)
from dp_assets_tests.stacks import CHANNELS, stack, write_ome_tiff


@pytest.fixture(scope="module")
def separate(tmp_path_factory: pytest.TempPathFactory) -> MadePlate:
    return separate_plate(tmp_path_factory.mktemp("separate"))


def check_pixels(plate: MadePlate, separate: MadePlate) -> list[ImageSite]:
    sites = plate.sites()
    for site in sites:
        assert site.problem is None
        np.testing.assert_array_equal(site.read(), np.moveaxis(field_pixels(separate, site.well), 0, -1))
        assert (site.original_shape, site.channels) == ((64, 80), CHANNELS)
    return sites


@pytest.mark.parametrize("fragment", ["", "#c={number}", "#c={name}"])
def test_channels_of_one_tiff(tmp_path: Path, separate: MadePlate, fragment: str) -> None:
    plate = tiff_plate(tmp_path, separate, fragment)
    images = PLATE_IMAGES.enforce(plate.images())
    assert images["path"].to_pylist() == [
        f"{PLATE}/{well}_s1.ome.tif#c={number}" for well in WELLS for number in range(3)
    ]
    assert len(set(images["fingerprint"].to_pylist())) == 9
    assert set(images["bytes"].to_pylist()) == {64 * 80 * 2}
    sites = check_pixels(plate, separate)
    path = tmp_path / "inputs/images" / PLATE / "A01_s1.ome.tif"
    assert sites[0].images == (path,) * 3
    assert sites[0].derived_names == tuple(f"{PLATE}/A01_s1_{channel}.tif" for channel in CHANNELS)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_channels_of_a_zarr_plate(tmp_path: Path, separate: MadePlate, version: Any) -> None:
    plate = zarr_plate(tmp_path, separate, version)
    assert len(set(plate.images()["fingerprint"].to_pylist())) == 9
    sites = check_pixels(plate, separate)
    assert sites[1].derived_names == tuple(f"{PLATE}.zarr/A/2/0_{channel}.tif" for channel in CHANNELS)


def test_each_file_is_opened_once(
    tmp_path: Path, separate: MadePlate, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = tiff_plate(tmp_path, separate)
    opened: Counter[str] = Counter()
    original = Path.open

    def counting(self: Path, *arguments: Any, **options: Any) -> IO:
        opened[self.name] += self.suffix == ".tif"
        return original(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", counting)
    images = plate.images()
    expected = {f"{well}_s1.ome.tif": 1 for well in WELLS}
    assert +opened == expected
    sites = sites_of_plate(PLATE, images, CHANNELS, image_paths(images, plate.location))
    assert +opened == expected
    for site in sites:
        site.read()
    assert +opened == dict.fromkeys(expected, 2)


def test_a_changed_pixel_changes_its_site_and_a_touch_changes_nothing(
    tmp_path: Path, separate: MadePlate
) -> None:
    plate = tiff_plate(tmp_path, separate)
    before = plate.images()
    folder = tmp_path / "inputs/images" / PLATE
    with tifffile.TiffFile(folder / "A02_s1.ome.tif") as opened:
        offset = opened.pages[0].dataoffsets[0]
    data = bytearray((folder / "A02_s1.ome.tif").read_bytes())
    data[offset] ^= 1
    (folder / "A02_s1.ome.tif").write_bytes(data)
    (folder / "A01_s1.ome.tif").touch()
    rows = zip(before.to_pylist(), plate.images().to_pylist(), strict=True)
    assert {old["Metadata_Well"] for old, new in rows if old != new} == {"A02"}


def described(plate: MadePlate, **options: Any) -> pa.Table:
    return describe_plate_images(plate.index, PLATE, CHANNELS, plate.location, bits=16, workers=2, **options)


def problems(images: pa.Table) -> dict[str, str]:
    return {row["channel"]: row["problem"] for row in images.to_pylist() if row["problem"]}


def test_stacks_need_to_be_told_what_to_do_with(tmp_path: Path, separate: MadePlate) -> None:
    pixels = stack(3, 4, 16, 16)
    path = "z.ome.tif"
    write_ome_tiff(tmp_path / "inputs/images" / path, pixels, "CZYX")
    plate = with_index(tmp_path, separate, {well: dict.fromkeys(CHANNELS, path) for well in WELLS})
    images = described(plate)
    assert set(problems(images)) == set(CHANNELS)
    assert "set dataset.images.z" in problems(images)["DNA"]
    assert set(images["path"].to_pylist()) == {path}
    for z, expected in (("max", pixels.max(1)), (2, pixels[:, 2])):
        images = described(plate, z=z)
        assert problems(images) == {}
        assert images["path"].to_pylist()[1] == f"z.ome.tif#c=1&z={z}"
        site = sites_of_plate(PLATE, images, CHANNELS, image_paths(images, plate.location))[0]
        np.testing.assert_array_equal(site.read(), np.moveaxis(expected, 0, -1))


def test_a_problem_of_one_channel_leaves_the_others(tmp_path: Path, separate: MadePlate) -> None:
    write_ome_tiff(tmp_path / "inputs/images/a.tif", stack(3, 16, 16))
    paths = {"DNA": "a.tif#c=0", "RNA": "a.tif#c=7", "Mito": "none.tif#c=0"}
    plate = with_index(tmp_path, separate, dict.fromkeys(WELLS, paths))
    images = described(plate)
    found = problems(images)
    assert "there is no c=7 (numbers begin with 0); the image has 3 channels (0 'DNA'" in found["RNA"]
    assert "does not exist" in found["Mito"]
    assert "DNA" not in found
    sites = sites_of_plate(PLATE, images, CHANNELS, image_paths(images, plate.location))
    assert all("no c=7" in str(site.problem) for site in sites)


def test_no_two_channels_are_one_plane_by_mistake(tmp_path: Path, separate: MadePlate) -> None:
    """DNA says that it is the second plane: by its position RNA would be the second too."""
    write_ome_tiff(tmp_path / "inputs/images/a.tif", stack(3, 16, 16), "CYX", ())
    for paths in ({"DNA": "a.tif#c=1", "RNA": "a.tif", "Mito": "a.tif"}, dict.fromkeys(CHANNELS, "a.tif")):
        plate = with_index(tmp_path, separate, dict.fromkeys(WELLS, paths))
        found = problems(described(plate))
        assert set(found) == ({"RNA", "Mito"} if paths["DNA"] == "a.tif#c=1" else set())


def test_a_hash_may_be_part_of_a_name(tmp_path: Path, separate: MadePlate) -> None:
    folder = tmp_path / "inputs/images"
    folder.mkdir(parents=True)
    for number, name in enumerate(("a#c=1", "b#1.tif")):
        tifffile.imwrite(folder / name, stack(16, 16, seed=number))
    write_ome_tiff(folder / "c#d.tif", stack(3, 16, 16))
    paths = {"DNA": "a#c=1", "RNA": "b#1.tif", "Mito": "c#d.tif#c=2"}
    plate = with_index(tmp_path, separate, dict.fromkeys(WELLS, paths))
    site = plate.sites()[0]
    assert site.problem is None
    assert [image.name for image in site.images] == ["a#c=1", "b#1.tif", "c#d.tif"]
    assert site.planes == (PlaneSelection(), PlaneSelection(), PlaneSelection(2))
    expected = [stack(16, 16, seed=0), stack(16, 16, seed=1), stack(3, 16, 16)[2]]
    np.testing.assert_array_equal(site.read(), np.stack(expected, axis=-1))


def test_the_index_refuses_what_is_no_plane(tmp_path: Path, separate: MadePlate) -> None:
    paths = {"DNA": "a.tif#z=top", "RNA": "a.tif#c=1", "Mito": "#c=1"}
    plate = with_index(tmp_path, separate, dict.fromkeys(WELLS, paths))
    with pytest.raises(ImageIndexError, match="z=top names no plane") as caught:
        read_index(plate.location, CHANNELS)
    assert {problem.where.split(", ", 1)[1] for problem in caught.value.problems} == {
        f"line {line}, column DNA" for line in (2, 3, 4)
    }


def test_where_a_path_with_a_plane_leads() -> None:
    at = IndexLocation(Path("/p/index.csv"), Path("/p/images"))
    for value, file in [
        ("P1/a.tif#c=1", Path("/p/images/P1/a.tif")),
        ("/data/a.tif#c=1", Path("/data/a.tif")),
        ("memory://x/a.tif#c=1", UPath("memory://x/a.tif")),
        ("memory://x/p.zarr/A/1/0#c=1", UPath("memory://x/p.zarr/A/1/0")),
    ]:
        found = locate_image(value, at)
        assert (found.file, found.selection) == (file, PlaneSelection(1))
        assert found.path == value.removesuffix("#c=1")


def test_a_file_that_lost_its_planes_is_noticed(tmp_path: Path, separate: MadePlate) -> None:
    plate = tiff_plate(tmp_path, separate)
    site = plate.sites()[0]
    tifffile.imwrite(site.images[0], stack(64, 80))
    with pytest.raises(plane_files.ImageFileError, match="no c=1"):
        site.read()
