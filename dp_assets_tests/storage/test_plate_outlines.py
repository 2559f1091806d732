"""The outline images of a plate: one row per site, and what keeps a site from being masked."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tifffile

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.image_sites import SiteFailure
from dp_assets.storage.index_file import IndexLocation
from dp_assets.storage.outlines_file import OutlinesListing, read_outlines
from dp_assets.storage.plate_outlines import (
    describe_plate_outlines,
    outline_failures,
    refuse_outline_failures,
    site_outlines,
    with_outlines,
)
from dp_assets.storage.schemas import PLATE_OUTLINES
from dp_assets_tests.made_outlines import write_outlines
from dp_assets_tests.made_plates import PLATE, MadePlate, tiny_plate

CHANNELS = ("DNA", "RNA")


@pytest.fixture
def plate(tmp_path: Path) -> MadePlate:
    made = tiny_plate(tmp_path / "project", wells=4, channels=CHANNELS)
    write_outlines(made)
    return made


def location(plate: MadePlate) -> IndexLocation:
    return IndexLocation(Path("unused"), plate.root / "inputs" / "outlines")


def described(plate: MadePlate, listing: OutlinesListing | None = None) -> pa.Table:
    listing = listing or read_outlines(plate.root / "inputs/metadata", plate.index)
    progress: list[tuple[int, int]] = []
    table = describe_plate_outlines(
        plate.images(),
        listing,
        location(plate),
        workers=2,
        progress=lambda done, total: progress.append((done, total)),
    )
    assert progress == [(n, 4) for n in (1, 2, 3, 4)]
    return PLATE_OUTLINES.enforce(table)


def outline_file(plate: MadePlate, well: str) -> Path:
    return plate.root / "inputs" / "outlines" / f"{PLATE}_{well}_1.tif"


def test_one_row_per_site(plate: MadePlate) -> None:
    rows = described(plate).to_pylist()
    assert [row["Metadata_Well"] for row in rows] == ["A01", "A02", "A03", "A04"]
    assert {(row["height"], row["width"], row["dtype"], row["problem"]) for row in rows} == {
        (64, 80, "uint16", None)
    }
    assert len({row["fingerprint"] for row in rows}) == 4
    found = site_outlines(described(plate), location(plate))
    assert found["A02", "1"].path == outline_file(plate, "A02")
    assert with_outlines(plate.sites(), described(plate)) == plate.sites()


def test_a_changed_outline_changes_its_row_only(plate: MadePlate) -> None:
    before = described(plate)["fingerprint"].to_pylist()
    path = outline_file(plate, "A03")
    tifffile.imwrite(path, tifffile.imread(path) + 1)
    after = described(plate)["fingerprint"].to_pylist()
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, True]


def test_what_keeps_a_site_from_being_masked(plate: MadePlate) -> None:
    outline_file(plate, "A01").unlink()
    tifffile.imwrite(outline_file(plate, "A02"), np.zeros((80, 64), np.uint16))
    listing = read_outlines(plate.root / "inputs/metadata", plate.index)
    paths = {key: path for key, path in listing.paths.items() if key[1] != "A04"}
    table = described(plate, OutlinesListing(paths, "outlines.csv"))
    failures = {failure.well: failure.problem for failure in outline_failures(table)}
    assert set(failures) == {"A01", "A02", "A04"}
    assert "does not exist" in failures["A01"]
    assert "are 80 x 64 (rows x columns); the images of the site are 64 x 80" in failures["A02"]
    assert "outlines.csv has no outlines of this site" in failures["A04"]
    assert set(site_outlines(table, location(plate))) == {("A03", "1")}
    marked = with_outlines(plate.sites(), table)
    assert [site.problem for site in marked] == [failures.get(site.well) for site in plate.sites()]


def test_a_site_that_the_table_does_not_know(plate: MadePlate) -> None:
    table = described(plate).slice(0, 3)
    assert "materialize plate_outlines" in (with_outlines(plate.sites(), table)[3].problem or "")


def test_failures_stop_the_plate_unless_it_may_go_on() -> None:
    one = [SiteFailure("A01", "1", "no outlines")]
    refuse_outline_failures([], plate="P", sites=2, on_bad_site="fail")
    refuse_outline_failures(one, plate="P", sites=2, on_bad_site="skip")
    for sites, way in ((2, "fail"), (1, "skip")):
        with pytest.raises(ImageFileError, match=r"plate P, well A01, site 1: no outlines"):
            refuse_outline_failures(one, plate="P", sites=sites, on_bad_site=way)
