"""Images that cannot be what they are listed as: the site is named, the others are kept."""

import os
import struct
import zlib
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import tifffile

from dp_assets_tests.faults.judging import PLATE, assert_kept, assert_says, image
from dp_assets_tests.orchestration.materializing import INDEX, PIXELS, TABLES, Workshop

SKIP = "on_bad_site: skip\n"
OTHERS = ("A01", "A03", "A04")


def colour(workshop: Workshop) -> None:
    tifffile.imwrite(image(workshop), np.zeros((128, 128, 3), np.uint16), photometric="rgb")


def several_pages(workshop: Workshop) -> None:
    tifffile.imwrite(image(workshop), np.full((3, 128, 128), 500, np.uint16), photometric="minisblack")


def floating_point(workshop: Workshop) -> None:
    tifffile.imwrite(image(workshop), np.full((128, 128), 0.5, np.float32))


def another_bit_depth(workshop: Workshop) -> None:
    tifffile.imwrite(image(workshop), np.full((128, 128), 200, np.uint8))


def png_bomb(workshop: Workshop) -> None:
    """A header of 400,000 x 400,000 pixels with a right checksum: 320 GB, if it were believed."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 400_000, 400_000, 16, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND")
    ]
    image(workshop).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def tiff_bomb(workshop: Workshop) -> None:
    """An image of 60 kB that unpacks to 2.5 GB."""
    strip = zlib.compress(bytes(2**20), 9)
    tags = [(256, 4, 50_000), (257, 4, 25_000), (258, 3, 16), (259, 3, 8), (262, 3, 1), (273, 4, 8)]
    tags += [(277, 3, 1), (278, 4, 25_000), (279, 4, len(strip))]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in tags)
    start = 8 + len(strip) + len(strip) % 2
    padding = b"\0" * (len(strip) % 2)
    data = b"II*\0" + struct.pack("<I", start) + strip + padding + directory + bytes(4)
    image(workshop).write_bytes(data)


def link_outside(workshop: Workshop) -> None:
    secret = workshop.root.parent / "elsewhere.tiff"
    os.replace(image(workshop), secret)
    image(workshop).symlink_to(secret)


def circle_of_links(workshop: Workshop) -> None:
    image(workshop).unlink()
    image(workshop).symlink_to(image(workshop))


def pipe(workshop: Workshop) -> None:
    image(workshop).unlink()
    os.mkfifo(image(workshop))


def folder(workshop: Workshop) -> None:
    image(workshop).unlink()
    image(workshop).mkdir()


def test_an_image_that_changes_after_its_inspection_is_not_taken_for_what_it_was(
    tiny: Workshop, computed: Counter[str]
) -> None:
    """Same size, same time of change, one other grey level: known by the content alone."""
    assert tiny.make(*INDEX).succeeded
    assert tiny.make(*TABLES, plate=PLATE).succeeded
    assert tiny.make("illumination_functions", plate=PLATE).succeeded
    path = image(tiny)
    was, data = path.stat(), bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as opened:
        data[opened.pages.first.dataoffsets[0]] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    before = tiny.contents()
    run = tiny.make("compressed_images", plate=PLATE)
    assert_says(run, str(path), "has changed since plate_images was made", "materialize plate_images")
    assert_kept(tiny, before)
    assert computed["compressed_images"] == len(OTHERS)
    assert tiny.make("plate_images", plate=PLATE).succeeded
    assert tiny.make(*PIXELS, plate=PLATE).succeeded


FAULTS = [
    (colour, "colour"),
    (several_pages, "3"),
    (floating_point, "float32"),
    (another_bit_depth, "8"),
    (png_bomb, "400000 x 400000"),
    (tiff_bomb, "25000 x 50000"),
    (link_outside, "a symbolic link leads to"),
    (circle_of_links, ""),
    (pipe, ""),
    (folder, "directory"),
]


QUICK = (png_bomb, link_outside)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(damage, said, id=damage.__name__, marks=() if damage in QUICK else pytest.mark.slow)
        for damage, said in FAULTS
    ],
)
def test_a_site_that_cannot_be_used_fails_alone(
    finished: Workshop, computed: Counter[str], damage: Callable[[Workshop], None], said: str
) -> None:
    before = finished.contents()
    good = image(finished).read_bytes()
    damage(finished)
    assert_says(
        finished.make("plate_images", *PIXELS, plate=PLATE),
        said, image(finished).name, f"plate {PLATE}, well A02, site", "on_bad_site: skip",
    )  # fmt: skip
    assert_kept(finished, before)

    (finished.root / "project.yaml").write_text(SKIP, encoding="utf-8")
    run = finished.make("plate_images", *PIXELS, plate=PLATE)
    assert run.succeeded, run.failures
    assert run.metadata["illumination_functions"]["sites"] == len(OTHERS)
    rows = run.failed_checks["sites_complete"]["failed_sites"]
    assert [row["well"] for row in rows] == ["A02"]

    if image(finished).is_dir():
        image(finished).rmdir()
    else:
        image(finished).unlink()
    image(finished).write_bytes(good)
    mended = finished.make("plate_images", *PIXELS, plate=PLATE)
    assert mended.succeeded, mended.failures
    assert_kept(finished, before)


def test_finished_sites_are_kept_when_one_fails_late(tiny: Workshop, computed: Counter[str]) -> None:
    """Damage that only decoding finds, behind a right header: the other sites need not be cut again."""
    tiny.configure(lambda data: data["prepare"]["compression"].update(implement=False))
    tiny.make(*INDEX)
    good = image(tiny).read_bytes()
    pixels = np.random.default_rng(0).integers(0, 4000, (128, 128), dtype=np.uint16)
    tifffile.imwrite(image(tiny), pixels, compression="zlib")
    data = bytearray(image(tiny).read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    image(tiny).write_bytes(data)
    assert tiny.make(*TABLES, plate=PLATE).succeeded
    before = tiny.contents()
    for _ in range(2):
        computed.clear()
        run = tiny.make("single_cells/box32", plate=PLATE)
        assert_says(run, image(tiny).name, "well A02", "on_bad_site")
        assert_kept(tiny, before)
        assert computed["box32"] in (3, 0)
    assert computed["box32"] == 0, "the finished sites were cut again"
    image(tiny).write_bytes(good)
    assert tiny.make(*TABLES, "single_cells/box32", plate=PLATE).succeeded
    assert computed["box32"] == 1


def test_an_image_on_a_link_below_an_allowed_folder_is_read(finished: Workshop) -> None:
    before = finished.contents()
    link_outside(finished)
    (finished.root / "project.yaml").write_text(f"image_roots: [{finished.root.parent}]\n", encoding="utf-8")
    run = finished.make("plate_images", *PIXELS, plate=PLATE)
    assert run.succeeded, run.failures
    assert run.recomputed == set()
    assert_kept(finished, before)
