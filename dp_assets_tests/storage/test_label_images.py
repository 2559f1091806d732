"""Label images of every type come back as they were written; what holds no labels is named."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from dp_assets.config.errors import ImageFileError
from dp_assets.storage import image_bytes
from dp_assets.storage.label_images import inspect_label_image, read_label_image

TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


def labels(dtype: str, shape: tuple[int, int] = (37, 21), most: int = 120) -> np.ndarray:
    return np.random.default_rng(0).integers(0, most, shape).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"byteorder": ">"}])
def test_every_type_of_label(tmp_path: Path, dtype: str, how: dict[str, Any]) -> None:
    path, image = tmp_path / "a.tif", labels(dtype)
    tifffile.imwrite(path, image, **how)
    found = read_label_image(path)
    assert found.dtype.kind in "ui"
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, image.astype(np.int64))
    info = inspect_label_image(path)
    assert (info.height, info.width, info.dtype) == (37, 21, dtype)


def test_labels_beyond_16_bits_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    image = np.array([[0, 65536], [65537, 2**32 - 1]], np.uint32)
    tifffile.imwrite(path, image)
    np.testing.assert_array_equal(read_label_image(path), image)
    big = np.array([[0, 2**53], [5, 2**40]], np.uint64)
    tifffile.imwrite(path, big)
    assert read_label_image(path).tolist() == big.tolist()


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_outlines_of_one_bit(tmp_path: Path, photometric: Any) -> None:
    """White pixels are outlines, whichever of the two values is white."""
    white = labels("uint8", most=2) > 0
    stored = white if photometric == "minisblack" else ~white
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric)
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.tif") > 0, white)
    Image.fromarray(white).save(tmp_path / "a.png", bits=1)
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.png") > 0, white)
    assert inspect_label_image(tmp_path / "a.png").dtype == "1 bit"


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_png(tmp_path: Path, dtype: str) -> None:
    Image.fromarray(labels(dtype)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.png"), labels(dtype))


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 2.0**60])
def test_numbers_that_are_no_labels(tmp_path: Path, value: float) -> None:
    image = labels("float64")
    image[3, 4] = value
    tifffile.imwrite(tmp_path / "a.tif", image)
    with pytest.raises(ImageFileError, match=r"labels must be whole numbers"):
        read_label_image(tmp_path / "a.tif")


def test_a_label_that_does_not_fit(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 2**63]], np.uint64))
    with pytest.raises(ImageFileError, match=r"9223372036854775808 is too large"):
        read_label_image(tmp_path / "a.tif")


def refused(path: Path) -> str:
    """What both readers say."""
    said = []
    for read in (read_label_image, inspect_label_image):
        with pytest.raises(ImageFileError) as caught:
            read(path, 10_000)
        assert str(path) in str(caught.value)
        said.append(str(caught.value))
    return "\n".join(said)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
@pytest.mark.parametrize("keep", [0, 5, 200, 0.6])
def test_files_that_were_cut_off(tmp_path: Path, dtype: str, keep: float) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, labels(dtype))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if 0 < keep < 1 else int(keep)])
    refused(path)


def test_images_that_are_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    assert "does not exist" in refused(path)
    tifffile.imwrite(path, np.zeros((3, 20, 20), np.int32), photometric="minisblack")
    assert "single image" in refused(path)
    tifffile.imwrite(path, np.zeros((20, 20, 3), np.uint8), photometric="rgb")
    assert "grey image" in refused(path)
    tifffile.imwrite(path, np.zeros((20, 20), np.complex64))
    assert "whole numbers" in refused(path)
    tifffile.imwrite(path, np.zeros((200, 200), np.int32))
    assert "10000" in refused(path)
    Image.fromarray(np.zeros((200, 200), bool)).save(tmp_path / "b.png", bits=1)
    assert "10000" in refused(tmp_path / "b.png")
    path.write_text("no image at all")
    assert "not an image" in refused(path)
    Image.fromarray(labels("uint8", most=2) > 0).save(tmp_path / "c.png", bits=1)
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:-20])
    assert "cut off" in refused(tmp_path / "c.png")


@pytest.mark.parametrize("place", range(60, 400, 17))
def test_damage_is_an_error_of_the_file_or_harmless(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, labels("int32"), compression="zlib")
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 0xFF
    path.write_bytes(data)
    for read in (read_label_image, inspect_label_image):
        with suppress(ImageFileError):
            assert read(path, 10_000) is not None


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
@pytest.mark.parametrize("ending", [".tif", ".png"])
def test_a_file_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, ending: str
) -> None:
    path = tmp_path / f"a{ending}"
    if ending == ".tif":
        tifffile.imwrite(path, labels(dtype))
    else:
        Image.fromarray(labels(dtype) > 60 if dtype == "int32" else labels(dtype)).save(path)
    opened: list[Path] = []
    opening = image_bytes.open_stored

    def count(file: Path) -> Any:
        opened.append(file)
        return opening(file)

    monkeypatch.setattr(image_bytes, "open_stored", count)
    known = inspect_label_image(path).fingerprint
    assert opened == [path]
    read_label_image(path, content=known)
    assert opened == [path] * 2


def test_the_fingerprint_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, labels("int32"))
    first = inspect_label_image(path).fingerprint
    assert inspect_label_image(path).fingerprint == first
    tifffile.imwrite(path, labels("int32") + 1)
    assert inspect_label_image(path).fingerprint != first
