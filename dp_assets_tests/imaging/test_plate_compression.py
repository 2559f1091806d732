"""Compressed plates: the recorded files bit for bit, resumed or not, and torn sites that fail alone."""

import io
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from dp_assets.config.errors import ContentChangedError, ImageFileError, StoreError
from dp_assets.imaging.compression import compress_channel
from dp_assets.imaging.illumination import IlluminationAccumulator
from dp_assets.imaging.plate_compression import (
    HISTOGRAMS,
    CompressionPlan,
    compress_plate,
    compressed_names,
    compressed_sites,
    controls_distribution,
)
from dp_assets.storage.folders import FolderWriter, open_folder, publish_folder
from dp_assets.storage.image_codecs import CODECS, Codec, ending
from dp_assets.storage.image_sites import ImageSite, SiteFailure
from dp_assets.storage.work import RECORD, WorkFolder
from dp_assets_tests.golden_stages import PLATES, prepared
from dp_assets_tests.image_changes import brighten, overwrite, site_pixels, tear, unchecked
from dp_assets_tests.made_plates import PLATE, KilledError, MadePlate, ProgressLog, options, tiny_plate
from dp_assets_tests.read_counting import count_reads

CHANNELS = ("DNA", "RNA")


@pytest.fixture
def plate(tmp_path: Path) -> MadePlate:
    return tiny_plate(tmp_path / "project", wells=5, channels=CHANNELS)


def plan_of(sites: list[ImageSite], **changes: Any) -> CompressionPlan:
    accumulator = IlluminationAccumulator(CHANNELS, (64, 80), 16, 4)
    for site in sites:
        if site.problem is None:
            accumulator.add(site.planes_of_channels())
    facts: dict[str, Any] = {"scaling_factor": 1.0, "stretch": "image", "settings_digest": "s"}
    return CompressionPlan(sites, CHANNELS, accumulator.finish(8), "functions", **{**facts, **changes})


def compress(
    plan: CompressionPlan, folder: Path, progress: ProgressLog | None = None, **changes: Any
) -> tuple[FolderWriter, list[SiteFailure]]:
    return compress_plate(plan, **options(WorkFolder(folder), progress, **changes))


def contents(folder: Path | UPath) -> dict[str, bytes]:
    base = str(folder)
    return {str(path)[len(base) :]: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("plate", "well"), zip(PLATES, ("A02", "A03"), strict=True))
def test_recorded_files_bit_for_bit(golden: Path, plate: str, well: str) -> None:
    folder = prepared(golden, plate).compressed
    recorded = sorted((golden / "compressed" / plate).glob("*.png"))
    assert len(recorded) == 5
    for path in recorded:
        assert path.name.startswith(well)
        found = imagecodecs.png_decode((folder.path / path.name).read_bytes())
        np.testing.assert_array_equal(found, imagecodecs.png_decode(path.read_bytes()))
    assert len(list(folder.path.glob("*.png"))) == 20
    with np.load(golden / f"illumination/{plate}.npz") as numbers:
        found = controls_distribution(folder, {("A01", "1"), ("A04", "1")})
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, numbers["controls_distribution"])


@pytest.mark.parametrize(("stretch", "dtype"), [("image", "uint8"), ("plate", "uint8"), ("none", "uint16")])
@pytest.mark.parametrize(("scale", "shape"), [(1.0, (64, 80)), (0.4, (25, 32))])
@pytest.mark.parametrize("where", ["local", "memory://compressed/P1"])
def test_every_image_is_compressed(
    plate: MadePlate, tmp_path: Path, stretch: str, dtype: str, scale: float, shape: Any, where: str
) -> None:
    plan = plan_of(plate.sites(), scaling_factor=scale, stretch=stretch)
    writer, failures = compress(plan, tmp_path / "w", workers=2)
    assert failures == []
    folder = publish_folder(tmp_path / "out" if where == "local" else UPath(where), writer)
    manifest = folder.manifest
    assert (tuple(manifest["array_shape"]), manifest["dtype"]) == (shape, dtype)
    assert (manifest["plate"], manifest["channels"], manifest["failures"]) == (PLATE, list(CHANNELS), [])
    assert folder.fingerprint == plan.fingerprint
    for site, record in zip(compressed_sites(folder, plate.sites()), manifest["sites"], strict=True):
        image = site.read()
        assert (image.shape, image.dtype) == ((*shape, 2), dtype)
        assert site.original_shape == (64, 80)
        source = next(one for one in plate.sites() if one.key == site.key)
        for number, facts in enumerate(record["images"]):
            expected = compress_channel(
                site_pixels(source)[:, :, number],
                plan.functions.function(number),
                plan.functions.upper_quantiles[number],
                lower_limit=plan.functions.lower_quantiles[number],
                scaling_factor=scale,
                stretch=stretch,  # type: ignore[arg-type]
            )
            np.testing.assert_array_equal(image[:, :, number], expected.pixels)
            assert (facts["channel"], facts["vmin"], facts["vmax"], facts["flat"]) == (
                CHANNELS[number],
                expected.vmin,
                expected.vmax,
                False,
            )
            assert facts["bytes"] == (folder.path / facts["file"]).stat().st_size


@pytest.mark.parametrize("stretch", ["image", "none"])
def test_every_codec_holds_the_same_pixels(plate: MadePlate, tmp_path: Path, stretch: str) -> None:
    folders = {}
    for codec in CODECS:
        plan = plan_of(plate.sites(), stretch=stretch, codec=codec, settings_digest=codec)
        writer, _ = compress(plan, tmp_path / "w")
        folders[codec] = publish_folder(tmp_path / codec, writer)
        writer.finished()
    assert len({folder.fingerprint for folder in folders.values()}) == len(CODECS)
    expected = [site.read() for site in compressed_sites(folders["png"], plate.sites())]
    for codec, folder in folders.items():
        assert folder.manifest["codec"] == codec
        named = {path.suffix for path in folder.path.rglob("*") if path.name != HISTOGRAMS}
        assert named == {ending(codec), ".json"}
        for site, record, pixels in zip(
            compressed_sites(folder, plate.sites()), folder.manifest["sites"], expected, strict=True
        ):
            np.testing.assert_array_equal(site.read(), pixels)
            for image in record["images"]:
                assert image["bytes"] == (folder.path / image["file"]).stat().st_size
        if stretch == "image":
            known = (folders["png"].path / HISTOGRAMS).read_bytes()
            assert (folder.path / HISTOGRAMS).read_bytes() == known


@pytest.mark.parametrize("codec", CODECS[1:])
def test_a_killed_run_of_another_codec_goes_on(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: Codec
) -> None:
    plan = plan_of(plate.sites(), codec=codec)
    with pytest.raises(KilledError):
        compress(plan, tmp_path / "w", ProgressLog(3))
    reads = count_reads(monkeypatch)
    folder = publish_folder(tmp_path / "out", compress(plan, tmp_path / "w")[0])
    assert 0 < len(reads) <= 4
    assert len(list(folder.path.rglob(f"*{ending(codec)}"))) == 10


def test_two_codecs_in_one_work_folder_do_not_mix(plate: MadePlate, tmp_path: Path) -> None:
    """The same digest on purpose: the codec itself keeps them apart."""
    for codec in ("png", "tiff"):
        with pytest.raises(KilledError):
            compress(plan_of(plate.sites(), codec=codec), tmp_path / "w", ProgressLog(2))
    folder = publish_folder(
        tmp_path / "out", compress(plan_of(plate.sites(), codec="jpegls"), tmp_path / "w")[0]
    )
    images = [path for path in folder.path.rglob("*") if path.suffix not in (".json", ".npz")]
    assert len(images) == 10
    assert all(path.read_bytes().startswith(b"\xff\xd8\xff") for path in images)


@pytest.mark.parametrize("codec", CODECS[1:])
def test_a_compressed_image_that_is_cut_off_is_named(plate: MadePlate, tmp_path: Path, codec: Codec) -> None:
    folder = publish_folder(
        tmp_path / "out", compress(plan_of(plate.sites(), codec=codec), tmp_path / "w")[0]
    )
    site = compressed_sites(folder, plate.sites())[1]
    whole = site.images[1].read_bytes()
    site.images[1].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match=f"{site.images[1].name}.*is not the one that was written"):
        site.read()
    site.images[1].unlink()
    with pytest.raises(StoreError, match=r"is missing\n.*compressed_images of plate"):
        site.read()


@pytest.mark.parametrize("kill_at", [1, 3, 4])
def test_a_killed_run_goes_on_and_ends_the_same(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    plan = plan_of(plate.sites())
    publish_folder(tmp_path / "undisturbed", compress(plan, tmp_path / "other")[0])
    with pytest.raises(KilledError):
        compress(plan, tmp_path / "w", ProgressLog(kill_at))
    left = [s for s in plan.sites if not WorkFolder(tmp_path / "w").finished(plan.site_fingerprint(s))]
    assert len(left) <= 5 - kill_at
    reads = count_reads(monkeypatch)
    writer, _ = compress(plan, tmp_path / "w")
    assert reads == {path.name: 1 for site in left for path in site.images}
    publish_folder(tmp_path / "resumed", writer)
    assert contents(tmp_path / "resumed") == contents(tmp_path / "undisturbed")
    writer.finished()
    assert not (tmp_path / "w").exists()
    assert contents(tmp_path / "resumed") == contents(tmp_path / "undisturbed")


def test_a_part_that_was_cut_off_is_made_again(plate: MadePlate, tmp_path: Path) -> None:
    plan, work = plan_of(plate.sites()), WorkFolder(tmp_path / "w")
    publish_folder(tmp_path / "first", compress(plan, work.path)[0])
    part = plan.site_fingerprint(plan.sites[2])
    work.file(part, RECORD).unlink()  # what a kill leaves: images without the record
    work.file(part, "-1.png").unlink()
    publish_folder(tmp_path / "second", compress(plan, work.path)[0])
    assert contents(tmp_path / "second") == contents(tmp_path / "first")


def test_work_that_vanishes_leaves_the_published_folder(plate: MadePlate, tmp_path: Path) -> None:
    plan = plan_of(plate.sites())
    publish_folder(tmp_path / "out", compress(plan, tmp_path / "w")[0])
    before = contents(tmp_path / "out")
    writer, _ = compress(plan, tmp_path / "w")
    WorkFolder(tmp_path / "w").clear()
    with pytest.raises(FileNotFoundError):
        publish_folder(tmp_path / "out", writer)
    assert contents(tmp_path / "out") == before


def test_one_changed_image_changes_one_sites_fingerprint(plate: MadePlate) -> None:
    before = plan_of(plate.sites())
    path = before.sites[3].images[1]
    brighten(path)
    after = replace(before, sites=plate.sites())
    different = [
        first.well
        for first, second in zip(before.sites, after.sites, strict=True)
        if before.site_fingerprint(first) != after.site_fingerprint(second)
    ]
    assert different == ["A04"]
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize(
    "changes", [{"settings_digest": "t"}, {"functions_fingerprint": "x"}, {"channels": ("RNA", "DNA")}]
)
def test_a_changed_setting_changes_every_sites_fingerprint(plate: MadePlate, changes: dict) -> None:
    plan = plan_of(plate.sites())
    other = replace(plan, **changes)
    assert all(plan.site_fingerprint(site) != other.site_fingerprint(site) for site in plan.sites)
    assert replace(plan).fingerprint == plan.fingerprint != other.fingerprint


def test_a_torn_site_fails_the_plate_and_keeps_the_others(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(unchecked(plate.sites()))
    whole = plan.sites[1].images[0].read_bytes()
    tear(plan.sites[1])
    with pytest.raises(ImageFileError, match="well A02, site 1") as caught:
        compress(plan, tmp_path / "w")
    assert "4 finished sites are kept" in str(caught.value)
    plan.sites[1].images[0].write_bytes(whole)
    reads = count_reads(monkeypatch)
    compress(plan, tmp_path / "w")
    assert set(reads) == {path.name for path in plan.sites[1].images}


def test_a_torn_site_may_be_left_out(plate: MadePlate, tmp_path: Path) -> None:
    plan = plan_of(unchecked(plate.sites()))
    tear(plan.sites[1])
    writer, [failure] = compress(plan, tmp_path / "w", on_bad_site="skip")
    assert failure.well == "A02"
    folder = publish_folder(tmp_path / "out", writer)
    # It must not pass for complete: the next run tries the site again.
    assert folder.fingerprint != plan.fingerprint
    assert folder.manifest["failures"] == [failure.as_dict()]
    sites = compressed_sites(folder, plan.sites)
    assert [site.problem for site in sites] == [None, failure.problem, None, None, None]
    assert sites[1].key == plan.sites[1].key


def test_a_site_known_to_be_bad_does_not_make_the_plate_incomplete(plate: MadePlate, tmp_path: Path) -> None:
    tear(plate.sites()[0])
    plan = plan_of(plate.sites())
    with pytest.raises(ImageFileError, match="well A01"):
        compress(plan, tmp_path / "w")
    writer, [failure] = compress(plan, tmp_path / "w", on_bad_site="skip")
    assert (writer.fingerprint, failure.well) == (plan.fingerprint, "A01")
    folder = publish_folder(tmp_path / "out", writer)
    assert [site.problem is None for site in compressed_sites(folder, plan.sites)] == [False, *[True] * 4]


@pytest.mark.parametrize("on_bad_site", ["fail", "skip"])
def test_an_image_that_changed_is_no_bad_site(plate: MadePlate, tmp_path: Path, on_bad_site: str) -> None:
    """It may be a good one: it is never left out, and the others are kept."""
    plan = plan_of(plate.sites())
    for path in plan.sites[4].images:
        overwrite(path, np.zeros((80, 64), np.uint16))
    with pytest.raises(ContentChangedError, match="has changed since plate_images") as caught:
        compress(plan, tmp_path / "w", on_bad_site=on_bad_site)
    assert "materialize plate_images" in caught.value.problems[0].remedy
    assert any((tmp_path / "w").glob("parts/*.unit"))


def test_a_plate_of_which_no_site_can_be_read_is_never_published(plate: MadePlate, tmp_path: Path) -> None:
    plan = plan_of(unchecked(plate.sites()))
    for site in plan.sites:
        tear(site)
    with pytest.raises(ImageFileError, match="5 problems"):
        compress(plan, tmp_path / "w", on_bad_site="skip")


def test_a_dark_image_is_recorded_as_flat(plate: MadePlate, tmp_path: Path) -> None:
    overwrite(plate.sites()[2].images[1], np.zeros((64, 80), np.uint16))
    writer, _ = compress(plan_of(plate.sites()), tmp_path / "w")
    flat = [(r["well"], i["channel"]) for r in writer.facts["sites"] for i in r["images"] if i["flat"]]
    assert flat == [("A03", "RNA")]


def test_histograms_belong_to_their_sites(plate: MadePlate, tmp_path: Path) -> None:
    plan = plan_of(plate.sites())
    folder = publish_folder(tmp_path / "out", compress(plan, tmp_path / "w")[0])
    for site in compressed_sites(folder, plan.sites):
        expected = [np.bincount(plane.ravel(), minlength=256) for plane in np.moveaxis(site.read(), -1, 0)]
        np.testing.assert_array_equal(controls_distribution(folder, {(site.well, site.site)}), expected)
    assert controls_distribution(folder, set()).tolist() == np.zeros((2, 256), int).tolist()
    with np.load(io.BytesIO((folder.path / HISTOGRAMS).read_bytes())) as stored:
        assert stored["histograms"].sum() == 5 * 2 * 64 * 80


def test_sixteen_bit_images_have_no_histograms(plate: MadePlate, tmp_path: Path) -> None:
    writer, _ = compress(plan_of(plate.sites(), stretch="none"), tmp_path / "w")
    folder = publish_folder(tmp_path / "out", writer)
    with pytest.raises(StoreError, match="no histograms"):
        controls_distribution(open_folder(tmp_path / "out"), {("A01", "1")})
    assert folder.manifest["dtype"] == "uint16"


def named_site(well: str, names: tuple[str, ...]) -> ImageSite:
    return ImageSite("P1", well, "1", (1, 1), (), (), names)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("P1/A01_DNA.tiff", "A01_DNA.png"),
        ("P1/raw/A01.x.tif", "raw/A01.x.png"),
        ("other/P1/A01.tif", "other/P1/A01.png"),
        ("P1", "P1.png"),
        ("A01", "A01.png"),
        ("/data/P1/a.tif", "data/P1/a.png"),
        ("s3://bucket/P1/a.tif", "bucket/P1/a.png"),
    ],
)
def test_names_keep_the_relative_path(name: str, expected: str) -> None:
    assert compressed_names([named_site("A01", (name,))], ["DNA"]) == {"P1/A01/1": [expected]}


def test_images_of_one_name_in_different_folders_do_not_overwrite_each_other() -> None:
    sites = [named_site("A01", ("P1/DNA/a.tif", "P1/RNA/a.tif"))]
    assert compressed_names(sites, CHANNELS)["P1/A01/1"] == ["DNA/a.png", "RNA/a.png"]
    assert compressed_names(sites, CHANNELS, ".jxl")["P1/A01/1"] == ["DNA/a.jxl", "RNA/a.jxl"]


NAME = st.sampled_from(["a.tif", "a.tiff", "P1/a.tif", "b/a.tif", "a", "a.b.tif", "a.b.png"])


@given(names=st.lists(st.tuples(NAME, NAME), min_size=1, max_size=5))
def test_no_two_images_share_a_name(names: list[tuple[str, str]]) -> None:
    sites = [named_site(f"A{number:02d}", pair) for number, pair in enumerate(names)]
    found = [name for pair in compressed_names(sites, CHANNELS).values() for name in pair]
    assert len(set(found)) == len(found) == 2 * len(names)
    assert all(name.endswith(".png") and ".." not in PurePosixPath(name).parts for name in found)


def test_naming_a_large_plate_is_quick(plate: MadePlate) -> None:
    """A name costs microseconds; naming all images once for every site would take minutes here."""
    few = plan_of(plate.sites())
    sites = [
        replace(few.sites[0], well=f"W{number}", names=(f"{number}a.tif", f"{number}b.tif"))
        for number in range(3000)
    ]
    plan = replace(few, sites=sites)
    assert plan.names is plan.names
    assert len({plan.site_fingerprint(site) for site in sites}) == 3000
