"""A plate's illumination statistics: the recorded ones, whatever interrupts the run or is torn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp_assets.config.errors import ContentChangedError, ImageFileError
from dp_assets.imaging import plate_illumination
from dp_assets.imaging.illumination import IlluminationAccumulator, IlluminationFunctions
from dp_assets.imaging.plate_illumination import illumination_fingerprint, measure_illumination
from dp_assets.storage.image_sites import ImageSite, SiteFailure
from dp_assets.storage.published import read_arrays, write_arrays
from dp_assets.storage.work import WorkFolder
from dp_assets_tests.golden_stages import PLATES, prepared
from dp_assets_tests.image_changes import brighten, overwrite, site_pixels, tear, unchecked
from dp_assets_tests.made_plates import KilledError, MadePlate, ProgressLog, options, tiny_plate
from dp_assets_tests.read_counting import count_reads

CHANNELS = ("DNA", "RNA")


@pytest.fixture
def plate(tmp_path: Path) -> MadePlate:
    return tiny_plate(tmp_path / "project", wells=6, channels=CHANNELS)


def measure(
    sites: list[ImageSite], folder: Path, progress: ProgressLog | None = None, **changes: Any
) -> tuple[IlluminationFunctions, list[SiteFailure]]:
    return measure_illumination(
        sites,
        CHANNELS,
        bits=16,
        down_scale_factor=4,
        median_filter_size=8,
        plate_fingerprint=illumination_fingerprint(sites, CHANNELS, "s"),
        **options(WorkFolder(folder), progress, **changes),
    )


def assert_same(first: IlluminationFunctions, second: IlluminationFunctions) -> None:
    one, other = first.to_arrays(), second.to_arrays()
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        assert array.tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("plate", PLATES)
def test_recorded_statistics(golden: Path, tmp_path: Path, plate: str) -> None:
    functions = prepared(golden, plate).functions
    write_arrays(tmp_path / "functions.npz", functions.to_arrays(), "x")
    stored = read_arrays(tmp_path / "functions.npz")
    stored.pop("fingerprint")
    functions = IlluminationFunctions.from_arrays(stored)
    with np.load(golden / f"illumination/{plate}.npz") as recorded:
        np.testing.assert_allclose(functions.mean_image, recorded["mean_image"], rtol=1e-6)
        np.testing.assert_array_equal(functions.histogram, recorded["histogram"])
        np.testing.assert_array_equal(functions.upper_quantiles, recorded["upper_percentiles"])
        np.testing.assert_array_equal(functions.lower_quantiles, recorded["lower_percentiles"])
        surfaces = [functions.function(channel) for channel in functions.channels]
        limits = [[f.min() for f in surfaces], [f.max() for f in surfaces], [f.mean() for f in surfaces]]
        np.testing.assert_allclose(limits, recorded["illum_correction_function_min_max_mean"], rtol=1e-6)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_as_adding_image_by_image(plate: MadePlate, tmp_path: Path, workers: int) -> None:
    sites = plate.sites()
    accumulator = IlluminationAccumulator(CHANNELS, (64, 80), 16, 4)
    for site in sites:
        accumulator.add(np.moveaxis(site_pixels(site), -1, 0))
    functions, failures = measure(sites, tmp_path / "w", workers=workers)
    assert failures == []
    assert_same(functions, accumulator.finish(8))


def test_a_killed_run_goes_on_and_ends_the_same(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plate_illumination, "SITES_PER_SNAPSHOT", 2)
    sites = plate.sites()
    undisturbed, _ = measure(sites, tmp_path / "other")
    with pytest.raises(KilledError):
        measure(sites, tmp_path / "w", ProgressLog(kill_at=5))
    reads, progress = count_reads(monkeypatch), ProgressLog()
    functions, _ = measure(sites, tmp_path / "w", progress)
    assert_same(functions, undisturbed)
    assert set(reads) == {path.name for site in sites[4:] for path in site.images}
    assert progress == [(4, 6), (5, 6), (6, 6)]


def test_state_of_other_images_is_not_taken_up(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plate_illumination, "SITES_PER_SNAPSHOT", 2)
    with pytest.raises(KilledError):
        measure(plate.sites(), tmp_path / "w", ProgressLog(kill_at=4))
    path = plate.sites()[0].images[0]
    brighten(path)
    changed = plate.sites()
    functions, _ = measure(changed, tmp_path / "w")
    assert_same(functions, measure(changed, tmp_path / "fresh")[0])
    assert functions.sites == 6


def test_a_torn_site_fails_the_plate_or_is_left_out(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plate_illumination, "SITES_PER_SNAPSHOT", 1)
    sites = unchecked(plate.sites())
    tear(sites[1], 1)
    tear(sites[3], 1)
    with pytest.raises(ImageFileError) as caught:
        measure(sites, tmp_path / "w")
    assert [problem.where for problem in caught.value.problems] == [
        f"plate {plate.plate}, well {sites[n].well}, site 1" for n in (1, 3)
    ]
    functions, failures = measure(sites, tmp_path / "w", on_bad_site="skip")
    assert [(failure.well, failure.site) for failure in failures] == [("A02", "1"), ("A04", "1")]
    good = [sites[n] for n in (0, 2, 4, 5)]
    assert_same(functions, measure(good, tmp_path / "fresh")[0])


def test_sites_known_to_be_bad_are_not_read(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tear(plate.sites()[0], 1)
    sites = plate.sites()
    assert sites[0].problem is not None
    reads = count_reads(monkeypatch)
    with pytest.raises(ImageFileError, match="well A01"):
        measure(sites, tmp_path / "w")
    functions, [failure] = measure(sites, tmp_path / "w", on_bad_site="skip")
    assert (failure.well, functions.sites, functions.original_shape) == ("A01", 5, (64, 80))
    assert not any("A01" in name for name in reads)


def test_a_plate_without_any_usable_image(plate: MadePlate, tmp_path: Path) -> None:
    for site in plate.sites():
        tear(site, 1)
    with pytest.raises(ImageFileError, match="6 problems"):
        measure(plate.sites(), tmp_path / "w", on_bad_site="skip")


def test_an_image_that_changed_is_no_bad_site(plate: MadePlate, tmp_path: Path) -> None:
    sites = plate.sites()
    for path in sites[2].images:
        overwrite(path, np.zeros((64, 96), np.uint16))
    with pytest.raises(ContentChangedError, match="has changed since plate_images was made"):
        measure(sites, tmp_path / "w", on_bad_site="skip")


def test_what_the_fingerprint_depends_on(plate: MadePlate) -> None:
    sites = plate.sites()
    known = {
        illumination_fingerprint(sites, CHANNELS, "s"),
        illumination_fingerprint(sites, CHANNELS, "other"),
        illumination_fingerprint(sites, CHANNELS[::-1], "s"),
        illumination_fingerprint(sites[1:], CHANNELS, "s"),
        illumination_fingerprint(sites[::-1], CHANNELS, "s"),
    }
    assert len(known) == 5
    assert illumination_fingerprint(plate.sites(), CHANNELS, "s") in known
    path = sites[3].images[0]
    brighten(path)
    assert illumination_fingerprint(plate.sites(), CHANNELS, "s") not in known
