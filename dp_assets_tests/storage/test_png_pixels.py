"""PNG files are read as the PNG library reads them, whatever their filters; damage is found."""

import zlib

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dp_assets.storage import png_pixels as module
from dp_assets.storage.image_codecs import encode_png
from dp_assets.storage.png_pixels import png_pixels

FILTERS = imagecodecs.PNG.FILTER
PLANES = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16]),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    elements=st.integers(0, 255),
)


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png_of(header: bytes, rows: bytes, pieces: int = 1, between: bytes = b"") -> bytes:
    compressed = zlib.compress(rows)
    step = -(-len(compressed) // pieces)
    parts = [chunk(b"IDAT", compressed[at : at + step]) for at in range(0, len(compressed), step)]
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + between
    return start + b"".join(parts) + chunk(b"IEND", b"")


def header_of(rows: int, cols: int, bits: int = 8, interlaced: int = 0) -> bytes:
    return cols.to_bytes(4, "big") + rows.to_bytes(4, "big") + bytes([bits, 0, 0, 0, interlaced])


@given(PLANES, st.sampled_from(["NO", "NONE", "SUB", "UP", "AVG", "PAETH"]))
def test_as_the_library_reads_them(plane: np.ndarray, name: str) -> None:
    data = bytes(imagecodecs.png_encode(plane, level=1, filter=getattr(FILTERS, name)))
    found = png_pixels(data)
    assert found.dtype == plane.dtype
    np.testing.assert_array_equal(found, plane)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_own_files_need_no_help(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    plane = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, (61, 47), dtype)
    data = encode_png(plane)
    monkeypatch.setattr(module.imagecodecs, "png_decode", lambda _: pytest.fail("the library was asked"))
    np.testing.assert_array_equal(png_pixels(data), plane)


def test_pixels_in_many_chunks_with_others_before_them() -> None:
    plane = np.arange(48, dtype=np.uint8).reshape(6, 8)
    differences = np.diff(plane, axis=0, prepend=np.zeros((1, 8), np.uint8))
    rows = b"".join(b"\2" + row.tobytes() for row in differences)
    data = png_of(header_of(6, 8), rows, pieces=5, between=chunk(b"tEXt", b"IDAT\0IDAT"))
    np.testing.assert_array_equal(png_pixels(data), plane)
    np.testing.assert_array_equal(imagecodecs.png_decode(data), plane)


def test_interlaced_files_are_left_to_the_library() -> None:
    data = png_of(header_of(1, 1, interlaced=1), b"\0\x2a")
    assert png_pixels(data).tolist() == [[42]]


def test_damage_never_gives_other_pixels() -> None:
    plane = np.random.default_rng(5).integers(0, 9, (40, 40), np.uint8)
    data = encode_png(plane)
    start, stop = data.index(b"IDAT") + 4, data.index(b"IEND") - 8
    for place in range(start, stop):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        try:
            found = png_pixels(bytes(damaged))
        except Exception:
            continue
        np.testing.assert_array_equal(found, plane)


@pytest.mark.parametrize("name", [0, 2])
@pytest.mark.parametrize("rows", [5, 7])
def test_too_few_or_too_many_rows_are_for_the_library_to_judge(rows: int, name: int) -> None:
    data = png_of(header_of(6, 8), (bytes([name]) + bytes(range(8))) * rows)
    if rows == 7:
        np.testing.assert_array_equal(png_pixels(data), imagecodecs.png_decode(data))
        return
    with pytest.raises(imagecodecs.PngError):
        imagecodecs.png_decode(data)
    with pytest.raises(imagecodecs.PngError):
        png_pixels(data)


def test_transparent_grey_is_what_the_library_makes_of_it() -> None:
    data = png_of(header_of(2, 2), b"\2\1\2" * 2, between=chunk(b"tRNS", b"\0\1"))
    np.testing.assert_array_equal(png_pixels(data), imagecodecs.png_decode(data))


@given(st.binary(max_size=40))
def test_what_is_no_stream_at_all_raises_as_the_library_does(stream: bytes) -> None:
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header_of(4, 4))
    data = start + chunk(b"IDAT", stream) + chunk(b"IEND", b"")
    with pytest.raises(imagecodecs.PngError):
        png_pixels(data)
