"""Planes behind paths: written, read, and chosen where a path leaves them open."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.derived_names import derived_names
from dp_assets.storage.image_planes import WHOLE_FILE, PlaneSelection, join_plane, split_plane
from dp_assets.storage.plane_choice import ChannelRequest, StackLayout, resolve_plane

NAMES = ("DNA", "RNA", "Mito")


@pytest.mark.parametrize(
    ("value", "path", "plane"),
    [
        ("P1/a.tif", "P1/a.tif", WHOLE_FILE),
        ("P1/a.tif#c=1", "P1/a.tif", PlaneSelection(1)),
        ("P1/a.tif#c=DNA&z=3", "P1/a.tif", PlaneSelection("DNA", 3)),
        ("a.tif#z=max", "a.tif", PlaneSelection(z="max")),
        ("a.tif#t=2&z=mean&c=0", "a.tif", PlaneSelection(0, "mean", 2)),
        ("a.tif#c=DNA%20stain", "a.tif", PlaneSelection("DNA stain")),
        ("a.tif#c=DNA stain", "a.tif", PlaneSelection("DNA stain")),
        ("a.zarr/A/1/0#c=1", "a.zarr/A/1/0", PlaneSelection(1)),
        ("s3://bucket/a.tif#c=1", "s3://bucket/a.tif", PlaneSelection(1)),
        ("a#1.tif", "a#1.tif", WHOLE_FILE),
        ("a#1.tif#c=1", "a#1.tif", PlaneSelection(1)),
        ("a#b=1", "a#b=1", WHOLE_FILE),
        ("a#c", "a#c", WHOLE_FILE),
        ("#c=1", "#c=1", WHOLE_FILE),
    ],
)
def test_a_plane_is_split_off_its_path(value: str, path: str, plane: PlaneSelection) -> None:
    assert split_plane(value) == (path, plane)


@pytest.mark.parametrize("fragment", ["z=top", "z=-1", "z=1.0", "t=x", "c=", "c=1&c=2", "t=max", "z=²"])
def test_what_is_no_plane_is_refused(fragment: str) -> None:
    with pytest.raises(ImageFileError, match=r"z a number, max or mean") as caught:
        split_plane(f"a.tif#{fragment}")
    assert caught.value.problems[0].where == f"a.tif#{fragment}"


CHANNEL = st.one_of(
    st.none(), st.integers(0, 999), st.text(min_size=1).filter(lambda t: t == t.strip() and not t.isdecimal())
)
Z = st.one_of(st.none(), st.integers(0, 999), st.sampled_from(["max", "mean"]))


@given(channel=CHANNEL, z=Z, t=st.one_of(st.none(), st.integers(0, 99)))
def test_a_plane_comes_back_from_its_path(channel: int | str | None, z: int | None, t: int | None) -> None:
    plane = PlaneSelection(channel, z, t)
    assert split_plane(join_plane("a/b#1.tif", plane)) == ("a/b#1.tif", plane)


def chosen(layout: StackLayout, plane: PlaneSelection = WHOLE_FILE, **known: object) -> str:
    """How the plane that is found is written."""
    request = ChannelRequest(plane, **{"column": "DNA", "channels": NAMES, **known})  # type: ignore[arg-type]
    return resolve_plane(layout, request, "a.tif").selection.fragment


THREE = StackLayout(3)
NAMED = StackLayout(3, names=("RNA", "DNA", "Mito"))


@pytest.mark.parametrize(
    ("layout", "plane", "known", "fragment"),
    [
        (StackLayout(), WHOLE_FILE, {}, "c=0"),
        (StackLayout(), PlaneSelection(0, 0, 0), {}, "c=0"),
        (THREE, PlaneSelection(2), {}, "c=2"),
        (NAMED, PlaneSelection("Mito"), {}, "c=2"),
        (NAMED, WHOLE_FILE, {}, "c=1"),
        (NAMED, WHOLE_FILE, {"position": 2, "sharing": 3}, "c=1"),
        (THREE, WHOLE_FILE, {"position": 2, "sharing": 3}, "c=2"),
        (StackLayout(3, 5), PlaneSelection(1, "max"), {}, "c=1&z=max"),
        (StackLayout(1, 5), WHOLE_FILE, {"z": "mean"}, "c=0&z=mean"),
        (StackLayout(1, 5), PlaneSelection(z=4), {"z": "mean"}, "c=0&z=4"),
        (StackLayout(1, 1), WHOLE_FILE, {"z": 7}, "c=0"),
        (StackLayout(2, 1, 4), PlaneSelection(1, t=3), {}, "c=1&t=3"),
        (StackLayout(pages=3), WHOLE_FILE, {"position": 1, "sharing": 3}, "c=1"),
        (StackLayout(pages=3), WHOLE_FILE, {"position": 1, "sharing": 3, "z": "max"}, "c=1"),
        (StackLayout(pages=5), PlaneSelection(4), {}, "c=4"),
        (StackLayout(pages=5), PlaneSelection(z="max"), {}, "z=max"),
        (StackLayout(pages=5), WHOLE_FILE, {"z": "max"}, "z=max"),
        (StackLayout(pages=5), WHOLE_FILE, {"z": "max", "channels": ("DNA",)}, "z=max"),
    ],
)
def test_the_plane_that_is_meant(
    layout: StackLayout, plane: PlaneSelection, known: dict, fragment: str
) -> None:
    assert chosen(layout, plane, **known) == fragment
    # What plate_images writes down means the same, with nothing else known.
    again = split_plane(f"a.tif#{fragment}")[1]
    assert resolve_plane(layout, ChannelRequest(again), "a.tif").selection.fragment == fragment


@pytest.mark.parametrize(
    ("layout", "plane", "known", "message"),
    [
        (THREE, WHOLE_FILE, {}, r"3 channels: write #c=0 or another number behind its path \(column DNA\)"),
        (THREE, WHOLE_FILE, {"sharing": 2}, "3 channels: write #c=0"),
        (THREE, WHOLE_FILE, {"sharing": 3, "others_numbered": True}, "3 channels: write #c=0"),
        (StackLayout(pages=3), WHOLE_FILE, {"sharing": 3, "others_numbered": True}, "3 pages"),
        (StackLayout(4), WHOLE_FILE, {"sharing": 3}, "4 channels: write #c=0"),
        (
            StackLayout(3, names=("Hoechst", "RNA", "Mito")),
            WHOLE_FILE,
            {"sharing": 3},
            r"3 channels \(0 'Hoechst', 1 'RNA', 2 'Mito'\): write #c=0 or another number, or #c=Hoechst,",
        ),
        (StackLayout(2, names=("DNA", "DNA")), WHOLE_FILE, {"sharing": 2}, "write #c=0"),
        (StackLayout(2, names=("DNA", "DNA")), PlaneSelection("DNA"), {}, "several are called 'DNA'"),
        (NAMED, PlaneSelection("ER"), {}, r"no channel 'ER'; the image has 3 channels \(0 'RNA', 1 'DNA'"),
        (NAMED, PlaneSelection(3), {}, r"no c=3 \(numbers begin with 0\); the image has 3 channels"),
        (StackLayout(), PlaneSelection("DNA"), {}, "no channel 'DNA'; the image has one plane"),
        (StackLayout(), PlaneSelection(1), {}, "no c=1"),
        (StackLayout(1, 5), WHOLE_FILE, {}, r"5 planes along z: set dataset\.images\.z"),
        (
            StackLayout(3, 5),
            PlaneSelection(1),
            {},
            r"#c=1 leaves open which is meant: set dataset\.images\.z",
        ),
        (StackLayout(1, 5), WHOLE_FILE, {"z": 5}, "no z=5"),
        (StackLayout(1, 1), PlaneSelection(z=1), {}, "no z=1"),
        (StackLayout(1, 1, 4), WHOLE_FILE, {}, "4 time points: write #t="),
        (StackLayout(1, 1, 4), PlaneSelection(t=4), {}, "no t=4"),
        (StackLayout(pages=5), WHOLE_FILE, {}, "5 pages, the file does not say of what: write #c= or #z="),
        (StackLayout(pages=5), WHOLE_FILE, {"sharing": 3, "z": "max"}, "5 pages"),
        (StackLayout(pages=5), PlaneSelection(1, 2), {}, "5 pages"),
    ],
)
def test_what_is_left_open_is_refused(
    layout: StackLayout, plane: PlaneSelection, known: dict, message: str
) -> None:
    with pytest.raises(ImageFileError, match=message) as caught:
        chosen(layout, plane, **known)
    assert caught.value.problems[0].where == "a.tif"


def test_names_of_files_made_from_planes() -> None:
    def names(paths: list[str], channels: tuple[str, ...] = NAMES) -> tuple[str, ...]:
        planes = [split_plane(path)[1] for path in paths]
        return derived_names(paths, planes, channels)

    three = [f"P1/A01_s1.ome.tif#c={number}" for number in range(3)]
    assert names(three) == ("P1/A01_s1_DNA.tif", "P1/A01_s1_RNA.tif", "P1/A01_s1_Mito.tif")
    assert names(["p.zarr/A/1/0.5#c=0", "p.zarr/A/1/0.5#c=1"], ("a", "b")) == (
        "p.zarr/A/1/0.5_a.tif",
        "p.zarr/A/1/0.5_b.tif",
    )
    assert names(["P1/a_DNA.tiff#z=max", "P1/a_RNA.tiff", "b.tif"]) == (
        "P1/a_DNA.tif",
        "P1/a_RNA.tiff",
        "b.tif",
    )
    unsafe = names([f"a.tif#c={number}" for number in range(3)], ("a/b", "a b", "../x"))
    assert len(set(unsafe)) == 3
    assert all(re.fullmatch(r"a_[A-Za-z0-9_-]+\.tif", name) for name in unsafe)
