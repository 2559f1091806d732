"""The pass over a plate: resumed, damaged and failing sites end with the same table."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.config.errors import ImageFileError
from dp_assets.imaging.plate_quality import PlateQuality, measure_plate, quality_fingerprint
from dp_assets.imaging.quality import MEASURES, measure_quality
from dp_assets.storage.image_sites import ImageSite, SiteFailure
from dp_assets.storage.schemas import IMAGE_QUALITY
from dp_assets.storage.tables import read_provenance
from dp_assets.storage.work import WorkFolder
from dp_assets_tests.image_changes import brighten, site_pixels, tear, unchecked
from dp_assets_tests.made_plates import KilledError, MadePlate, ProgressLog, options, tiny_plate
from dp_assets_tests.read_counting import count_reads

CHANNELS = ("DNA", "RNA")


@pytest.fixture
def plate(tmp_path: Path) -> MadePlate:
    return tiny_plate(tmp_path / "project", wells=6, channels=CHANNELS)


def measure(
    sites: list[ImageSite], folder: Path, progress: ProgressLog | None = None, **changes: Any
) -> tuple[pa.Table, list[SiteFailure]]:
    with WorkFolder(folder).locked() as work:
        return measure_plate(sites, CHANNELS, **options(work, progress, **changes))


def test_every_image_has_its_own_measures(plate: MadePlate, tmp_path: Path) -> None:
    sites = plate.sites()
    table, failures = measure(sites, tmp_path / "work", workers=2)
    assert not failures
    assert not IMAGE_QUALITY.problems(table)
    quality = PlateQuality.of(table)
    assert quality.channels == CHANNELS
    assert quality.wells == tuple(site.well for site in sites)
    for row, site in enumerate(sites):
        pixels = site_pixels(site)
        for channel in range(2):
            expected = measure_quality(pixels[..., channel]).values
            found = [quality.measures[name][row, channel] for name in MEASURES]
            np.testing.assert_array_equal(found, expected)


def test_a_killed_run_goes_on_and_ends_with_the_same_table(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = plate.sites()
    calm, _ = measure(sites, tmp_path / "calm")
    with pytest.raises(KilledError):
        measure(sites, tmp_path / "work", ProgressLog(kill_at=4))
    reads = count_reads(monkeypatch)
    log = ProgressLog()
    resumed, _ = measure(sites, tmp_path / "work", log)
    assert resumed.equals(calm, check_metadata=True)
    assert log[0][0] >= 3
    assert sum(reads.values()) == 2 * (len(sites) - log[0][0])


def test_a_damaged_part_is_measured_again(plate: MadePlate, tmp_path: Path) -> None:
    sites = plate.sites()
    calm, _ = measure(sites, tmp_path / "work")
    parts = sorted((tmp_path / "work" / "parts").iterdir())
    parts[0].write_bytes(b"")
    parts[1].write_bytes(parts[1].read_bytes()[:-5])
    again, _ = measure(sites, tmp_path / "work")
    assert again.equals(calm, check_metadata=True)


def test_one_changed_pixel_is_another_fingerprint(plate: MadePlate) -> None:
    before = quality_fingerprint(plate.sites(), CHANNELS)
    assert quality_fingerprint(plate.sites(), CHANNELS) == before
    brighten(plate.sites()[2].images[1])
    assert quality_fingerprint(plate.sites(), CHANNELS) != before


def test_an_unreadable_site_fails_alone_or_is_left_out(plate: MadePlate, tmp_path: Path) -> None:
    sites = unchecked(plate.sites())
    tear(sites[1])
    with pytest.raises(ImageFileError, match="5 finished sites are kept"):
        measure(sites, tmp_path / "work")
    table, failures = measure(sites, tmp_path / "work", on_bad_site="skip")
    assert [failure.well for failure in failures] == [sites[1].well]
    assert sites[1].well not in PlateQuality.of(table).wells
    facts = read_provenance(table.schema)
    assert facts["failures"] == [failures[0].as_dict()]
    assert facts["fingerprint"] != quality_fingerprint(sites, CHANNELS)
