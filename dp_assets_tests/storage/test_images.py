"""Image files: every kind that microscopes write is read exactly; every damaged one is refused by name."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import skimage.io
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from upath import UPath

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.fingerprints import fingerprint_bytes
from dp_assets.storage.image_codecs import encode_png
from dp_assets.storage.images import inspect_image, read_image

TIFF_KINDS: dict[str, dict] = {
    "plain": {},
    "strips": {"rowsperstrip": 7},
    "big-endian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True},
    "deflate": {"compression": "zlib"},
    "deflate, predictor": {"compression": "zlib", "predictor": 2, "rowsperstrip": 5},
    "lzw, predictor, big-endian": {"compression": "lzw", "predictor": 2, "byteorder": ">"},
    "packbits": {"compression": "packbits"},
    "zstd": {"compression": "zstd"},
    "tiles": {"tile": (16, 32)},
    "deflate tiles": {"tile": (16, 16), "compression": "zlib"},
    "inverted": {"photometric": "miniswhite"},
}


def picture(dtype: str = "uint16", shape: tuple[int, int] = (37, 53)) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(3).integers(0, top, shape, dtype=dtype, endpoint=True)


def tiff_bytes(pixels: np.ndarray, **options: Any) -> bytes:
    sink = io.BytesIO()
    tifffile.imwrite(sink, pixels, **options)
    return sink.getvalue()


def png_of(header: bytes, pixels: bytes = b"") -> bytes:
    """A PNG file with this IHDR and these raw rows."""
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def refused(path: Path | UPath, message: str) -> None:
    """Both readers refuse the file, name it, and say this."""
    for reader in (read_image, inspect_image):
        with pytest.raises(ImageFileError, match=message) as caught:
            reader(path)
        assert str(path) in str(caught.value)
        assert caught.value.problems[0].remedy


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("kind", TIFF_KINDS)
def test_tiff_is_read_exactly(tmp_path: Path, kind: str, dtype: str) -> None:
    pixels = picture(dtype)
    data = tiff_bytes(pixels, **TIFF_KINDS[kind])
    (tmp_path / "a.tif").write_bytes(data)
    found = read_image(tmp_path / "a.tif")
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, pixels)
    info = inspect_image(tmp_path / "a.tif")
    assert (info.height, info.width, info.dtype, info.bytes) == (*pixels.shape, dtype, len(data))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_of_another_program_is_read_exactly(tmp_path: Path, dtype: str) -> None:
    pixels = picture(dtype)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png")
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, pixels)
    info = inspect_image(tmp_path / "a.png")
    assert (info.height, info.width, info.dtype) == (*pixels.shape, dtype)


def test_format_is_told_by_content_not_by_ending(tmp_path: Path) -> None:
    pixels = picture("uint8")
    (tmp_path / "really_png.tif").write_bytes(encode_png(pixels))
    (tmp_path / "really_tiff.png").write_bytes(tiff_bytes(pixels))
    np.testing.assert_array_equal(read_image(tmp_path / "really_png.tif"), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "really_tiff.png"), pixels)


def test_image_on_an_object_store() -> None:
    path = UPath("memory://plates/a.tif")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tiff_bytes(picture(), compression="zlib"))
    np.testing.assert_array_equal(read_image(path), picture())
    refused(UPath("memory://plates/none.tif"), "does not exist")


def test_fingerprint_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = tiff_bytes(picture())
    (tmp_path / "a.tif").write_bytes(data)
    assert inspect_image(tmp_path / "a.tif").fingerprint == fingerprint_bytes(data)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("level", [1, 6])
def test_encoded_png_is_read_by_another_program(tmp_path: Path, dtype: str, level: int) -> None:
    pixels = picture(dtype)[:, ::2]
    (tmp_path / "a.png").write_bytes(encode_png(pixels, level=level))
    np.testing.assert_array_equal(skimage.io.imread(tmp_path / "a.png"), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)],
    ids=["float", "colour", "empty"],
)
def test_only_grey_integers_become_png(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="Received"):
        encode_png(array)


def test_missing_empty_and_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none.tif", "does not exist")
    (tmp_path / "empty.tif").touch()
    refused(tmp_path / "empty.tif", "is empty")
    (tmp_path / "folder.tif").mkdir()
    refused(tmp_path / "folder.tif", "cannot be read")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"hello, this is text", "not an image"),
        (b"\0" * 5000, "not an image"),
        (imagecodecs.jpeg8_encode(np.zeros((8, 8), np.uint8)), "JPEG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"II*\0", "cut off or damaged"),
        (b"\x89PNG\r\n\x1a\n", "cut off"),
    ],
    ids=["text", "zeros", "jpeg", "lfs", "tiff start", "png start"],
)
def test_what_is_no_image_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.tif").write_bytes(data)
    refused(tmp_path / "a.tif", message)


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (np.zeros((9, 8, 3), np.uint8), {"photometric": "rgb"}, "in colour"),
        (np.zeros((9, 8, 2), np.uint8), {"planarconfig": "contig", "photometric": "minisblack"}, "shape"),
        (np.zeros((5, 9, 8), np.uint16), {"photometric": "minisblack"}, "5 pages"),
        (np.zeros((9, 8), np.float32), {}, "float32"),
        (np.zeros((9, 8), np.int16), {}, "int16"),
        (np.zeros((9, 8), np.uint32), {}, "uint32"),
        (np.zeros((9, 8), bool), {}, "bool"),
    ],
    ids=["rgb", "two samples", "stack", "float32", "int16", "uint32", "bool"],
)
def test_unsuitable_tiff_is_refused(tmp_path: Path, pixels: np.ndarray, options: dict, message: str) -> None:
    (tmp_path / "a.tif").write_bytes(tiff_bytes(pixels, **options))
    refused(tmp_path / "a.tif", message)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "1"])
def test_unsuitable_png_is_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (8, 9)).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", "the PNG (is|has)")


def test_a_claim_of_many_pixels_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of(struct.pack(">IIBBBBB", 400_000, 400_000, 16, 0, 0, 0, 0)))
    refused(tmp_path / "bomb.png", "400000 x 400000")
    (tmp_path / "a.tif").write_bytes(tiff_bytes(picture()))
    for reader in (read_image, inspect_image):
        with pytest.raises(ImageFileError, match="37 x 53"):
            reader(tmp_path / "a.tif", maximum_pixels=1960)
        reader(tmp_path / "a.tif", maximum_pixels=1961)


def test_png_without_pixels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of(struct.pack(">IIBBBBB", 0, 5, 8, 0, 0, 0, 0)))
    refused(tmp_path / "a.png", "no pixels")


def test_damage_inside_the_pixels_is_found_when_decoding(tmp_path: Path) -> None:
    data = bytearray(tiff_bytes(picture(), compression="zlib"))
    data[-200:-100] = bytes(100)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageFileError, match="damaged"):
        read_image(tmp_path / "a.tif")


def test_a_tag_of_the_wrong_type_is_damage(tmp_path: Path) -> None:
    data = tiff_bytes(picture())
    width = data.index(struct.pack("<HHI", 256, 4, 1))
    (tmp_path / "a.tif").write_bytes(data[: width + 2] + b"\x02\x00" + data[width + 4 :])
    refused(tmp_path / "a.tif", "damaged")


ENCODED = {
    **{kind: tiff_bytes(picture(), **options) for kind, options in TIFF_KINDS.items()},
    "png": encode_png(picture()),
}


@given(kind=st.sampled_from(sorted(ENCODED)), share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=150, deadline=None)
def test_a_file_cut_off_anywhere_is_never_half_read(
    tmp_path_factory: pytest.TempPathFactory, kind: str, share: float
) -> None:
    data = ENCODED[kind]
    path = tmp_path_factory.getbasetemp() / "cut.img"
    path.write_bytes(data[: int(share * len(data))])
    # What lies behind the pixels (padding) may be missing; no pixel may.
    try:
        inspect_image(path)
    except ImageFileError:
        with pytest.raises(ImageFileError):
            read_image(path)
        return
    np.testing.assert_array_equal(read_image(path), picture())


@given(
    kind=st.sampled_from(sorted(ENCODED)),
    damage=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6
    ),
    early=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_refused_by_name_or_read_but_never_ends_otherwise(
    tmp_path_factory: pytest.TempPathFactory, kind: str, damage: list[tuple[float, int]], early: bool
) -> None:
    data = bytearray(ENCODED[kind])
    for place, value in damage:
        data[int(place * min(len(data), 300 if early else len(data)))] = value
    path = tmp_path_factory.getbasetemp() / "damaged.img"
    path.write_bytes(data)
    for reader in (read_image, inspect_image):
        try:
            reader(path, maximum_pixels=10_000)
        except ImageFileError as error:
            assert "damaged.img" in str(error)  # noqa: PT017 (not raising is right, too)
