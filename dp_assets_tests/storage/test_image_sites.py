"""Fields of view: channels in the order asked for, and every way in which their images do not go together."""

from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pyarrow as pa
import pytest
import tifffile

from dp_assets.config.errors import ContentChangedError, ImageFileError, StoreError
from dp_assets.storage.image_sites import (
    ImageSite,
    SiteFailure,
    failures_of,
    refuse_failures,
    sites_of_plate,
    usable,
)
from dp_assets.storage.schemas import PLATE_IMAGES

CHANNELS = ("DNA", "ER")


def site_of(folder: Path, planes: list[np.ndarray], **changes: object) -> ImageSite:
    paths = []
    for number, plane in enumerate(planes):
        paths.append(folder / f"{number}.tif")
        tifffile.imwrite(paths[-1], plane)
    site = ImageSite("P1", "A01", "1", (4, 5), tuple(paths), ("x",) * len(paths), ("n",) * len(paths))
    return replace(site, **changes)  # type: ignore[arg-type]


def plane(value: int, shape: tuple[int, int] = (4, 5), dtype: str = "uint16") -> np.ndarray:
    return np.full(shape, value, dtype)


def test_channels_are_stacked_last_in_their_order(tmp_path: Path) -> None:
    site = site_of(tmp_path, [plane(1), plane(2), plane(3)], array_shape=(4, 5))
    image = site.read()
    assert (image.shape, image.dtype) == ((4, 5, 3), np.uint16)
    assert image[0, 0].tolist() == [1, 2, 3]
    assert site.key == "P1/A01/1"


@pytest.mark.parametrize(
    ("second", "what"),
    [
        (plane(2, (4, 6)), "the image is 4 x 6 uint16; the first channel of site P1/A01/1 is 4 x 5 uint16"),
        (plane(2, dtype="uint8"), "the image is 4 x 5 uint8; the first channel"),
        (plane(2, (5, 4)), "5 x 4 uint16"),
    ],
)
def test_channels_of_different_size_or_type(tmp_path: Path, second: np.ndarray, what: str) -> None:
    with pytest.raises(ImageFileError, match=what) as caught:
        site_of(tmp_path, [plane(1), second]).read()
    assert caught.value.problems[0].where == str(tmp_path / "1.tif")


def test_an_image_that_changed_its_size(tmp_path: Path) -> None:
    site = site_of(tmp_path, [plane(1, (8, 5)), plane(2, (8, 5))], array_shape=(4, 5))
    with pytest.raises(ContentChangedError, match="has changed since plate_images") as caught:
        site.read()
    assert "materialize plate_images" in caught.value.problems[0].remedy


def test_missing_and_too_large_images(tmp_path: Path) -> None:
    site = site_of(tmp_path, [plane(1), plane(2)])
    with pytest.raises(ImageFileError, match="more than the 10 pixels"):
        site.read(maximum_pixels=10)
    (tmp_path / "1.tif").unlink()
    with pytest.raises(ImageFileError, match="does not exist"):
        site.read()


def test_png_and_tiff_may_be_mixed(tmp_path: Path) -> None:
    site = site_of(tmp_path, [plane(1), plane(2)])
    (tmp_path / "1.tif").write_bytes(imagecodecs.png_encode(plane(7)))
    assert site.read()[0, 0].tolist() == [1, 7]


def table(keys: list[tuple[str, str, str]], **changes: object) -> pa.Table:
    """A plate_images table; `keys` are (well, site, channel)."""
    rows = [
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": well,
            "Metadata_Site": site,
            "channel": channel,
            "path": f"{well}_{site}_{channel}.tif",
            "height": 4,
            "width": 5,
            "fingerprint": f"{well}{site}{channel}",
            **changes,
        }
        for well, site, channel in keys
    ]
    schema = pa.schema([pa.field(name, kind) for name, (kind, _) in PLATE_IMAGES.required.items()])
    return pa.Table.from_pylist(rows, schema=schema)


def sites(images: pa.Table, channels: tuple[str, ...] = CHANNELS) -> list[ImageSite]:
    paths: dict = {value: Path("/images") / value for value in images["path"].to_pylist()}
    return sites_of_plate("P1", images, channels, paths)


def test_sites_come_well_by_well_with_channels_in_the_order_asked_for() -> None:
    keys = [(w, s, c) for w, s in [("B01", "2"), ("A01", "1"), ("B01", "1")] for c in CHANNELS]
    found = sites(table(keys), ("ER", "DNA"))
    assert [(site.well, site.site) for site in found] == [("B01", "2"), ("B01", "1"), ("A01", "1")]
    assert found[0].names == ("B01_2_ER.tif", "B01_2_DNA.tif")
    assert found[0].images == (Path("/images/B01_2_ER.tif"), Path("/images/B01_2_DNA.tif"))
    assert found[0].fingerprints == ("B012ER", "B012DNA")
    assert found[0].original_shape == found[0].array_shape == (4, 5)
    assert found[0].problem is None


def test_a_problem_of_one_channel_is_the_sites() -> None:
    good = [("A01", "1", channel) for channel in CHANNELS]
    bad = table([("A02", "1", "DNA")], problem="torn", height=None, width=None, fingerprint=None)
    images = pa.concat_tables([table(good), bad, table([("A02", "1", "ER")])])
    found = sites(images)
    assert usable(found) == found[:1]
    assert failures_of(found) == [SiteFailure("A02", "1", "torn")]


def test_images_described_for_other_channels() -> None:
    with pytest.raises(StoreError, match="plate P1 has no images of channel RNA; it has DNA, ER") as caught:
        sites(table([("A01", "1", "DNA"), ("A01", "1", "ER")]), ("DNA", "RNA"))
    assert "materialize plate_images" in caught.value.problems[0].remedy


def test_failed_sites_are_all_named_unless_they_may_be_skipped() -> None:
    failures = [SiteFailure("A01", "1", "torn"), SiteFailure("A02", "3", "gone")]
    refuse_failures(failures, plate="P1", finished=7, on_bad_site="skip")
    refuse_failures([], plate="P1", finished=7, on_bad_site="fail")
    with pytest.raises(ImageFileError) as caught:
        refuse_failures(failures, plate="P1", finished=7, on_bad_site="fail")
    assert [(p.what, p.where) for p in caught.value.problems] == [
        ("torn", "plate P1, well A01, site 1"),
        ("gone", "plate P1, well A02, site 3"),
    ]
    assert "7 finished sites are kept" in caught.value.problems[0].remedy
    assert "on_bad_site: skip" in caught.value.problems[0].remedy
