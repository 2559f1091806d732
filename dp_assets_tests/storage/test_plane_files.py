"""Files of several planes: every plane is the one that was written; every damaged file is refused by name."""

import io
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from dp_assets.config.errors import ContentChangedError, ImageFileError
from dp_assets.storage import image_bytes, zarr_store
from dp_assets.storage.image_planes import PlaneSelection, split_plane
from dp_assets.storage.images import ImageInfo, inspect_image, read_image
from dp_assets.storage.plane_choice import ChannelRequest, ResolvedPlane
from dp_assets.storage.plane_files import inspect_planes, read_layout, read_planes
from dp_assets.storage.zarr_planes import ZarrStack
from dp_assets_tests.stacks import CHANNELS, Version, stack, write_ome_tiff, write_zarr_image

SIZES = {"T": 2, "C": 3, "Z": 4, "Y": 21, "X": 34}
ORDERS = ["CYX", "ZCYX", "CZYX", "TCZYX", "TZCYX", "ZTCYX"]
STACKS = {
    "ome, tiles": {"ome": True, "tile": (16, 16), "compression": "zlib"},
    "ome, big-endian": {"ome": True, "byteorder": ">"},
    "imagej": {"imagej": True},
    "imagej, one page": {"imagej": True, "truncate": True},
    "tifffile, one page": {"truncate": True},
    "bigtiff": {"ome": True, "bigtiff": True},
}


def pixels_of(axes: str, dtype: str = "uint16") -> np.ndarray:
    return stack(*(SIZES[axis] for axis in axes), dtype=dtype)


def asked(fragment: str, **known: Any) -> ChannelRequest:
    return ChannelRequest(split_plane(f"x#{fragment}")[1], **known)


def planes(path: Path | UPath, *fragments: str, **options: Any) -> list[np.ndarray]:
    """The planes, found and then read as plate_images and the stages after it do."""
    found = inspect_planes(path, [asked(fragment) for fragment in fragments], **options)
    for one in found:
        if isinstance(one, ImageFileError):
            raise one
    selections = [one[1] for one in found if not isinstance(one, ImageFileError)]
    read = read_planes(path, selections, **options)
    for one, image in zip(found, read, strict=True):
        assert not isinstance(one, ImageFileError)
        assert (one[0].height, one[0].width) == image.shape
        assert one[0].dtype == str(image.dtype)
        assert image.dtype.isnative
    return read


def check_every_plane(path: Path, axes: str, pixels: np.ndarray) -> None:
    """All planes, and maximum and mean along z, against numpy."""
    whole = pixels[tuple(np.newaxis if axis not in axes else slice(None) for axis in "TCZ")]
    whole = np.moveaxis(
        pixels.reshape([SIZES[axis] for axis in axes] + [1] * (5 - len(axes))),
        [axes.index(axis) if axis in axes else len(axes) + missing for axis, missing in _places(axes)],
        range(5),
    )
    times, channels, depth = whole.shape[:3]
    for t in range(times):
        for c in range(channels):
            fragments = [f"c={c}&t={t}&z={z}" for z in (*range(depth), "max", "mean")]
            expected = [*whole[t, c], whole[t, c].max(0), np.rint(whole[t, c].mean(0)).astype(pixels.dtype)]
            for image, right in zip(planes(path, *fragments), expected, strict=True):
                np.testing.assert_array_equal(image, right)


def _places(axes: str) -> list[tuple[str, int]]:
    missing = iter(range(5))
    return [(axis, 0 if axis in axes else next(missing)) for axis in "TCZYX"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("axes", ORDERS)
def test_ome_tiff_planes(tmp_path: Path, axes: str, dtype: str) -> None:
    pixels = pixels_of(axes, dtype)
    path = write_ome_tiff(tmp_path / "a.ome.tif", pixels, axes)
    check_every_plane(path, axes, pixels)
    layout = read_layout(path)
    assert (layout.channels, layout.names) == (3, CHANNELS)


@pytest.mark.parametrize("kind", STACKS)
def test_stacks_of_every_kind(tmp_path: Path, kind: str) -> None:
    pixels = pixels_of("TZCYX")
    options = {"photometric": "minisblack", "metadata": {"axes": "TZCYX"}, **STACKS[kind]}
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    check_every_plane(tmp_path / "a.tif", "TZCYX", pixels)


@pytest.mark.parametrize(("version", "options"), [
    ("0.4", {}),
    ("0.5", {}),
    ("0.4", {"chunks": (1, 2, 3, 10, 34), "chunk_key_encoding": {"name": "v2", "separator": "/"}}),
    ("0.5", {"chunks": (1, 1, 1, 8, 8), "shards": (1, 1, 2, 16, 40)}),
    ("0.5", {"compressors": None}),
])  # fmt: skip
def test_zarr_planes(tmp_path: Path, version: Version, options: dict) -> None:
    pixels = pixels_of("TCZYX")
    path = write_zarr_image(tmp_path / "p.zarr/A/1/0", pixels, "tczyx", version=version, **options)
    check_every_plane(path, "TCZYX", pixels)
    assert read_layout(path).names == CHANNELS


@pytest.mark.parametrize("axes", ["yx", "cyx", "zyx", "zcyx", "cxy"])
def test_zarr_axes_in_any_order(tmp_path: Path, axes: str) -> None:
    pixels = pixels_of(axes.upper())
    path = write_zarr_image(tmp_path / "p.zarr/A/1/0", pixels, axes, version="0.5")
    order = [axes.index(axis) for axis in "yx"]
    at = {axis: 1 for axis in axes if axis in "cz"}
    right = pixels[tuple(at.get(axis, slice(None)) for axis in axes)]
    right = right.T if order[0] > order[1] else right
    fragment = "&".join(f"{axis}=1" for axis in at) or "c=0"
    np.testing.assert_array_equal(planes(path, fragment)[0], right)


def test_big_endian_zarr(tmp_path: Path) -> None:
    pixels = stack(3, 8, 9).astype(">u2")
    path = write_zarr_image(tmp_path / "p.zarr/A/1/0", pixels)
    np.testing.assert_array_equal(planes(path, "c=2")[0], pixels[2])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_zarr_written_by_the_reference_library(tmp_path: Path, version: str) -> None:
    ome_zarr_format = pytest.importorskip("ome_zarr.format")
    writer = pytest.importorskip("ome_zarr.writer")
    kind = {"0.4": "FormatV04", "0.5": "FormatV05"}[version]
    fmt = getattr(ome_zarr_format, kind)()
    pixels = stack(3, 4, 65, 70)
    root = tmp_path / "p.zarr"
    group = zarr.open_group(str(root), mode="w", zarr_format=fmt.zarr_format)
    writer.write_image(pixels, group, axes="czyx", fmt=fmt)
    images = planes(root, *(f"c={channel}&z=max" for channel in range(3)))
    np.testing.assert_array_equal(images, pixels.max(1))


def test_pyramids_give_their_full_resolution(tmp_path: Path) -> None:
    pixels = stack(3, 64, 64)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        options = {"photometric": "minisblack", "tile": (16, 16)}
        metadata = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}}
        writer.write(pixels, metadata=metadata, subifds=2, **options)
        for level in (1, 2):
            writer.write(pixels[:, :: 2**level, :: 2**level], subfiletype=1, **options)
    for number, image in enumerate(planes(tmp_path / "a.ome.tif", "c=DNA", "c=RNA", "c=Mito")):
        np.testing.assert_array_equal(image, pixels[number])
    with tifffile.TiffWriter(tmp_path / "b.tif") as writer:
        writer.write(pixels[0], metadata=None)
        writer.write(pixels[0, ::2, ::2], metadata=None, subfiletype=1)
    np.testing.assert_array_equal(planes(tmp_path / "b.tif", "c=0")[0], pixels[0])


def test_the_mean_is_rounded_and_does_not_overflow(tmp_path: Path) -> None:
    pixels = np.full((70, 2, 3), 65535, np.uint16)
    pixels[0, 0] = (0, 65500, 65534)
    write_ome_tiff(tmp_path / "a.tif", pixels, "ZYX", ())
    np.testing.assert_array_equal(
        planes(tmp_path / "a.tif", "z=mean")[0], np.rint(pixels.mean(0, dtype=np.float64)).astype(np.uint16)
    )


def test_pages_without_meaning(tmp_path: Path) -> None:
    pixels = stack(3, 8, 9)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", metadata=None)
    for number in range(3):
        np.testing.assert_array_equal(planes(tmp_path / "a.tif", f"c={number}")[0], pixels[number])
    np.testing.assert_array_equal(planes(tmp_path / "a.tif", "z=max")[0], pixels.max(0))


def test_a_file_of_one_image_stays_what_it_was(tmp_path: Path) -> None:
    pixels = stack(8, 9)
    tifffile.imwrite(tmp_path / "plain.tif", pixels)
    write_ome_tiff(tmp_path / "ome.tif", pixels, "YX", ("DNA",))
    for name, fragment in [("plain.tif", "c=0"), ("ome.tif", "c=DNA"), ("ome.tif", "z=max")]:
        path = tmp_path / name
        (found,) = inspect_planes(path, [asked(fragment)])
        assert found == (inspect_image(path), PlaneSelection())
        np.testing.assert_array_equal(read_image(path), pixels)


def test_a_stack_in_one_page_is_no_single_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stack(3, 8, 9), imagej=True, truncate=True)
    with pytest.raises(ImageFileError, match="a stack in one page"):
        read_image(tmp_path / "a.tif")


def refused(path: Path, message: str, fragment: str = "c=1", **options: Any) -> None:
    """Found when the plane is described, or at the latest when it is read; the file is named."""
    with pytest.raises(ImageFileError, match=message) as caught:
        planes(path, fragment, **options)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("dtype", ["int16", "float32", "uint32"])
def test_other_types_are_refused(tmp_path: Path, dtype: str) -> None:
    pixels = np.zeros((3, 8, 9), dtype)
    refused(write_ome_tiff(tmp_path / "a.tif", pixels), dtype)
    refused(write_zarr_image(tmp_path / "p.zarr/A/1/0", pixels), dtype)


def test_colour_and_foreign_axes_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((2, 8, 9, 3), np.uint8), photometric="rgb")
    refused(tmp_path / "rgb.tif", "in colour")
    tifffile.imwrite(
        tmp_path / "h.tif",
        np.zeros((2, 2, 8, 9), np.uint8),
        photometric="minisblack",
        metadata={"axes": "HCYX"},
    )
    refused(tmp_path / "h.tif", "axes out of T, C, Z, Y, X; the TIFF has HCYX")


def test_several_images_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(stack(3, 8, 9), photometric="minisblack")
        writer.write(stack(2, 8, 9), photometric="minisblack")
    refused(tmp_path / "a.ome.tif", r"the TIFF holds 2 \(3x8x9, 2x8x9\)")


def write_with_metadata(path: Path, pages: int, sizes: str, planes: str) -> Path:
    """An OME-TIFF whose metadata say of its planes what they like."""
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1"><Image ID="I:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="9" SizeY="8" {sizes}>'
        f"{planes}</Pixels></Image></OME>"
    )
    pixels = stack(pages, 8, 9)
    tifffile.imwrite(path, pixels, photometric="minisblack", description=text, metadata=None)
    return path


THREE = 'SizeZ="1" SizeC="3" SizeT="1"'


def test_planes_in_other_files_are_refused(tmp_path: Path) -> None:
    """An OME-TIFF whose metadata list planes of a second file must not be read as half a stack."""
    mine = '<TiffData IFD="0" FirstC="0" PlaneCount="2"/>'
    other = '<TiffData FirstC="2" PlaneCount="1"><UUID FileName="b.ome.tif">urn:uuid:2</UUID></TiffData>'
    path = write_with_metadata(tmp_path / "a.ome.tif", 3, THREE, '<TiffData IFD="0" PlaneCount="3"/>')
    np.testing.assert_array_equal(planes(path, "c=2")[0], stack(3, 8, 9)[2])
    path = write_with_metadata(tmp_path / "b.ome.tif", 2, THREE, mine + other)
    refused(path, "planes that lie in other files")


def test_missing_planes_are_refused(tmp_path: Path) -> None:
    """Metadata that list more planes than there are pages: the absent ones are not zeros."""
    five = 'SizeZ="1" SizeC="5" SizeT="1"'
    path = write_with_metadata(tmp_path / "a.ome.tif", 3, five, '<TiffData IFD="0" PlaneCount="5"/>')
    np.testing.assert_array_equal(planes(path, "c=1")[0], stack(3, 8, 9)[1])
    refused(path, "plane 4 is not in the file", "c=4")


@pytest.mark.parametrize(
    ("sizes", "listed"),
    [
        ('SizeZ="99999999999" SizeC="3" SizeT="1"', '<TiffData IFD="0" PlaneCount="3"/>'),
        ('SizeZ="9999" SizeC="9999" SizeT="9999"', '<TiffData IFD="0" PlaneCount="3"/>'),
        (THREE, '<TiffData IFD="0" PlaneCount="99999999999"/>'),
        (THREE, '<TiffData IFD="0" FirstC="99999999999" PlaneCount="3"/>'),
    ],
)
def test_absurd_claims_are_refused_before_memory_is_taken(tmp_path: Path, sizes: str, listed: str) -> None:
    refused(write_with_metadata(tmp_path / "a.ome.tif", 3, sizes, listed), "the OME metadata claim")


@pytest.mark.parametrize("ome", [True, False])
def test_a_stack_of_which_one_page_is_left_is_no_single_image(tmp_path: Path, ome: bool) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack(3, 8, 9), photometric="minisblack", ome=ome, metadata={"axes": "CYX"})
    with tifffile.TiffFile(path) as opened:
        second = opened.pages[1].offset
    path.write_bytes(path.read_bytes()[:second])
    refused(path, "cut off: .* its next page is at", "c=0")
    with pytest.raises(ImageFileError, match="cut off"):
        read_image(path)


def test_limits_on_pixels(tmp_path: Path) -> None:
    pixels = stack(3, 4, 8, 9)
    for path in (
        write_ome_tiff(tmp_path / "a.tif", pixels, "CZYX"),
        write_zarr_image(tmp_path / "p.zarr/A/1/0", pixels, "czyx"),
    ):
        refused(path, "8 x 9, more than the 71 pixels", "c=1&z=0", maximum_pixels=71)
        planes(path, "c=1&z=0", maximum_pixels=72)
        refused(path, "4 planes of 8 x 9, more than the 287 pixels", "c=1&z=max", maximum_pixels=287)
        planes(path, "c=1&z=max", maximum_pixels=288)


def test_zarr_chunks_as_large_as_memory_are_refused(tmp_path: Path) -> None:
    path = write_zarr_image(tmp_path / "p.zarr/A/1/0", stack(3, 8, 9), version="0.5")
    document = path / "0/zarr.json"
    text = document.read_text()
    changed = text.replace("1,\n        8,\n        9", "99999999,\n        8,\n        9")
    assert changed != text
    document.write_text(changed)
    refused(path, "claims chunks of 99999999 x 8 x 9")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_zarr_chunks_missing_or_damaged(tmp_path: Path, version: Version) -> None:
    pixels = stack(3, 40, 40)
    path = write_zarr_image(tmp_path / "p.zarr/A/1/0", pixels, version=version, chunks=(1, 20, 40))
    chunk = path / ("0/1.1.0" if version == "0.4" else "0/c/1/1/0")
    whole = chunk.read_bytes()
    selection = [PlaneSelection(1)]
    for data, message in [(None, "chunk .* is missing"), (b"", "empty|decoded"), (whole[:50], "decoded")]:
        chunk.unlink() if data is None else chunk.write_bytes(data)
        with pytest.raises(ImageFileError, match=message) as caught:
            read_planes(path, selection)
        assert str(path) in str(caught.value)
    chunk.unlink()
    refused(path, "chunk 0/.* is missing")
    np.testing.assert_array_equal(planes(path, "c=0")[0], pixels[0])


class Runs:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize(
    "coding",
    [
        {"filters": [{"id": "pickle"}], "compressor": None},
        {"filters": None, "compressor": {"id": "pickle"}},
        {"filters": [{"id": "zlib"}, {"id": "pickle"}], "compressor": None},
    ],
)
def test_zarr_chunks_are_not_unpickled(tmp_path: Path, coding: dict) -> None:
    path = write_zarr_image(tmp_path / "p.zarr/A/1/0", stack(1, 8, 9), version="0.4")
    document = path / "0/.zarray"
    document.write_text(json.dumps({**json.loads(document.read_text()), **coding}))
    (path / "0/0.0.0").write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    refused(path, "OME-Zarr metadata cannot be read", "c=0")
    assert not (tmp_path / "ran").exists()


def test_zarr_arrays_of_other_images_are_refused(tmp_path: Path) -> None:
    write_zarr_image(tmp_path / "secret.zarr", stack(3, 8, 9))
    path = write_zarr_image(tmp_path / "p.zarr", stack(3, 8, 9), version="0.4")
    text = (path / ".zattrs").read_text()
    (path / ".zattrs").write_text(text.replace('"path": "0"', '"path": "../secret.zarr/0"'))
    refused(path, "segments")


def test_copies_of_zarr_metadata_are_not_believed(tmp_path: Path) -> None:
    """What decides the pixels is in the fingerprint: the array's own document, not a consolidated copy."""
    path = write_zarr_image(tmp_path / "p.zarr", stack(3, 8, 9), version="0.4")
    right = planes(path, "c=1")[0]
    zarr.consolidate_metadata(str(path), zarr_format=2)
    copy = (path / ".zmetadata").read_text()
    (path / ".zmetadata").write_text(copy.replace('"order": "C"', '"order": "F"'))
    assert '"order": "F"' in (path / ".zmetadata").read_text()
    np.testing.assert_array_equal(planes(path, "c=1")[0], right)


def test_what_is_no_zarr_image(tmp_path: Path) -> None:
    root = tmp_path / "p.zarr"
    path = write_zarr_image(root / "A/1/0", stack(3, 8, 9))
    refused(root / "A/1/1", "no Zarr group here")
    (root / "A/.zgroup").write_text('{"zarr_format": 2}')
    (root / "A/.zattrs").write_text('{"well": {}}')
    refused(root / "A", "is a well of images")
    (path / ".zattrs").write_text('{"multiscales": [{"datasets": [{"path": "7"}]}]}')
    refused(path, "the array 7 of the image is missing")
    (path / ".zattrs").write_text('{"multiscales": [{"datasets": 3}]}')
    refused(path, "metadata cannot be read")
    (path / ".zattrs").write_text('{"multiscales": [{"axes": ["c", "y", "y"], "datasets": [{"path": "0"}]}]}')
    refused(path, "metadata cannot be read .*axes c, y, y")


def test_planes_on_an_object_store(tmp_path: Path) -> None:
    pixels = stack(3, 8, 9)
    store = UPath("memory://planes")
    tiff = write_ome_tiff(tmp_path / "a.ome.tif", pixels)
    group = write_zarr_image(tmp_path / "p.zarr/A/1/0", pixels)
    for path in (tiff, *(path for path in group.rglob("*") if path.is_file())):
        target = store / path.relative_to(tmp_path).as_posix()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    for name in ("a.ome.tif", "p.zarr/A/1/0"):
        np.testing.assert_array_equal(planes(store / name, "c=2", "c=0"), pixels[[2, 0]])


def test_large_files_are_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for is the same, and so are the fingerprints."""
    pixels = stack(3, 64, 64)
    stacked = write_ome_tiff(tmp_path / "a.ome.tif", pixels)
    tifffile.imwrite(tmp_path / "b.tif", pixels[0])
    cut_off = tmp_path / "cut.tif"
    cut_off.write_bytes(stacked.read_bytes()[:-3000])
    before = inspect_planes(stacked, [asked("c=1")]), inspect_image(tmp_path / "b.tif")
    monkeypatch.setattr(image_bytes, "IN_MEMORY", 1000)
    assert (inspect_planes(stacked, [asked("c=1")]), inspect_image(tmp_path / "b.tif")) == before
    np.testing.assert_array_equal(planes(stacked, "c=1")[0], pixels[1])
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif"), pixels[0])
    refused(cut_off, "cut off", "c=2")


def fingerprints(path: Path, count: int = 3) -> list[str]:
    found = inspect_planes(path, [asked(f"c={number}") for number in range(count)])
    infos = [one[0] for one in found if not isinstance(one, ImageFileError)]
    assert len(infos) == count
    assert all(isinstance(info, ImageInfo) for info in infos)
    return [info.fingerprint for info in infos]


def test_fingerprints_follow_the_content(tmp_path: Path) -> None:
    pixels = stack(3, 40, 40)
    tiff = write_ome_tiff(tmp_path / "a.ome.tif", pixels)
    group = write_zarr_image(tmp_path / "p.zarr/A/1/0", pixels, chunks=(1, 20, 20))
    before = fingerprints(tiff), fingerprints(group)
    assert len({*before[0], *before[1]}) == 6
    tiff.touch()
    shutil.copytree(group, tmp_path / "copy.zarr/A/1/0")
    assert (fingerprints(tiff), fingerprints(tmp_path / "copy.zarr/A/1/0")) == before
    changed = pixels.copy()
    changed[1, 39, 39] ^= 1
    write_zarr_image(group, changed, chunks=(1, 20, 20))
    same = [old == new for old, new in zip(before[1], fingerprints(group), strict=True)]
    assert same == [True, False, True]
    with tifffile.TiffFile(tiff) as opened:
        offset = opened.pages[1].dataoffsets[0]
    data = bytearray(tiff.read_bytes())
    data[offset] ^= 1
    tiff.write_bytes(data)
    assert not set(before[0]) & set(fingerprints(tiff))


def test_planes_are_read_only_while_they_are_what_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = stack(3, 40, 40)
    tiff = write_ome_tiff(tmp_path / "a.ome.tif", pixels)
    group = write_zarr_image(tmp_path / "p.zarr/A/1/0", pixels, chunks=(1, 20, 20))
    for path in (tiff, group):
        known = fingerprints(path)
        wanted = [split_plane(f"x#c={number}")[1] for number in (2, 0)]
        found = read_planes(path, wanted, contents=[known[2], known[0]])
        np.testing.assert_array_equal(found, pixels[[2, 0]])
        with pytest.raises(ContentChangedError, match="since plate_images was made"):
            read_planes(path, wanted, contents=[known[2], known[1]])
    # Of a large file no more is read than the planes: nothing is known of its content.
    monkeypatch.setattr(image_bytes, "IN_MEMORY", 1000)
    np.testing.assert_array_equal(read_planes(tiff, wanted, contents=["other", "other"]), pixels[[2, 0]])


def test_a_large_image_is_read_only_while_it_is_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = stack(1, 64, 64)[0]
    tifffile.imwrite(tmp_path / "b.tif", pixels)
    known = inspect_image(tmp_path / "b.tif").fingerprint
    monkeypatch.setattr(image_bytes, "IN_MEMORY", 1000)
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif", content=known), pixels)
    with pytest.raises(ContentChangedError):
        read_image(tmp_path / "b.tif", content="other")


def test_a_projection_has_a_fingerprint_of_its_own(tmp_path: Path) -> None:
    path = write_ome_tiff(tmp_path / "a.tif", stack(4, 8, 9), "ZYX", ())
    found = inspect_planes(path, [asked(f"z={z}") for z in (0, 1, "max", "mean")])
    assert len({one[0].fingerprint for one in found if not isinstance(one, ImageFileError)}) == 4


def encoded(kind: str) -> bytes:
    sink = io.BytesIO()
    options = {"photometric": "minisblack", "metadata": {"axes": "ZCYX"}, **STACKS[kind]}
    tifffile.imwrite(sink, stack(2, 3, 16, 16), **options)
    return sink.getvalue()


ENCODED = {kind: encoded(kind) for kind in STACKS}


@given(
    kind=st.sampled_from(sorted(ENCODED)),
    damage=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6
    ),
    keep=st.one_of(st.just(1.0), st.floats(0, 1)),
    early=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_damaged_stack_is_refused_by_name_or_read_but_never_ends_otherwise(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    damage: list[tuple[float, int]],
    keep: float,
    early: bool,
) -> None:
    data = bytearray(ENCODED[kind])
    for place, value in damage:
        data[int(place * min(len(data), 1200 if early else len(data)))] = value
    path = tmp_path_factory.getbasetemp() / "damaged.tif"
    path.write_bytes(data[: int(keep * len(data))])
    requests = [asked("c=1&z=1"), asked("c=2&z=max")]
    for found in inspect_planes(path, requests, maximum_pixels=10_000):
        if isinstance(found, ImageFileError):
            assert "damaged.tif" in str(found)
    try:
        read_planes(path, [request.selection for request in requests], maximum_pixels=10_000)
    except ImageFileError as error:
        assert "damaged.tif" in str(error)  # noqa: PT017 (not raising is right, too)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("options", [{}, {"chunks": (1, 1, 2, 16, 16)}, {"chunks": (1, 3, 1, 40, 50)}])
def test_chunks_of_a_zarr_are_decoded_from_the_bytes_that_were_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: Version, options: dict
) -> None:
    """Once they were compared the files are not read again: nothing changes in between."""
    pixels = stack(1, 3, 2, 40, 50)
    path = write_zarr_image(tmp_path / "p.zarr/A/1/0", pixels, "tczyx", version=version, **options)
    selection = PlaneSelection(0, "max", 0)
    ((info, _),) = inspect_planes(path, [ChannelRequest(selection)])  # type: ignore[misc]
    content = ZarrStack.content

    def compare_and_lose(zarr: ZarrStack, plane: ResolvedPlane) -> str | None:
        found = content(zarr, plane)
        shutil.rmtree(path / "0")
        return found

    monkeypatch.setattr(ZarrStack, "content", compare_and_lose)
    (found,) = read_planes(path, [selection], contents=[info.fingerprint])
    np.testing.assert_array_equal(found, pixels[0, 0].max(axis=0))


def test_of_a_zarr_only_so_many_bytes_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = stack(1, 3, 3, 40, 50)
    path = write_zarr_image(tmp_path / "p.zarr/A/1/0", pixels, "tczyx")
    selection = PlaneSelection(0, "max", 0)
    ((info, _),) = inspect_planes(path, [ChannelRequest(selection)])  # type: ignore[misc]
    sizes = []
    get = zarr_store.NoticingStore.get

    async def noting(store: zarr_store.NoticingStore, *asked: Any, **more: Any) -> Any:
        sizes.append(sum(map(len, store._held.values())))
        return await get(store, *asked, **more)

    monkeypatch.setattr(zarr_store.NoticingStore, "get", noting)
    monkeypatch.setattr(zarr_store, "IN_MEMORY", info.bytes - 1)
    (found,) = read_planes(path, [selection], contents=[info.fingerprint])
    np.testing.assert_array_equal(found, pixels[0, 0].max(axis=0))
    assert 0 < max(sizes) < info.bytes
