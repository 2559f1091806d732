"""Well and site out of file names and of a Zarr plate's metadata."""

import json
import re
from pathlib import Path

import pytest

from dp_assets.config.errors import ImageFileError, ImageIndexError
from dp_assets.storage.plate_fields import FILE_PATTERN, find_fields
from dp_assets_tests.stacks import stack, write_zarr_plate

FIELDS = {("A01", 0): stack(3, 8, 9), ("B12", 0): stack(3, 8, 9, seed=2)}


@pytest.mark.parametrize(
    ("name", "well", "site"),
    [
        ("A01_s1.ome.tif", "A01", "1"),
        ("B12_field_03.tif", "B12", "03"),
        ("x_A01_s1.tif", "A01", "1"),
        ("A1f2.tif", "A1", "2"),
        ("AF48-7.tif", "AF48", "7"),
        # Letters and digits of another word are no well.
        ("img001_A01_s1.tif", "A01", "1"),
        ("Week1_A02_s3.tif", "A02", "3"),
    ],
)
def test_well_and_site_of_a_name(name: str, well: str, site: str) -> None:
    match = re.search(FILE_PATTERN, name)
    assert match is not None
    assert (match["well"], match["site"]) == (well, site)


@pytest.mark.parametrize("name", ["A01.tif", "A011.tif", "img001.tif", "r01c02f03.tif"])
def test_names_without_a_site_are_refused(tmp_path: Path, name: str) -> None:
    """The digits of a well are not taken apart into a well and a site."""
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ImageIndexError, match=f"{name} does not say its well and site"):
        find_fields(tmp_path)


@pytest.mark.parametrize(
    ("group", "attributes"),
    [
        (".", {"plate": {"wells": [{"path": "../../elsewhere.zarr/A/1"}]}}),
        (".", {"plate": {"wells": [{"path": "/etc"}]}}),
        (".", {"plate": {"wells": [{"row": 1}]}}),
        (".", {"plate": {}}),
        (".", {"plate": 3}),
        ("A/1", {"well": {"images": [{"path": "../../../secret"}]}}),
        ("A/1", {"well": {"images": [3]}}),
        ("A/1", {"well": {}}),
    ],
)
def test_metadata_that_make_no_plate(tmp_path: Path, group: str, attributes: dict) -> None:
    plate = write_zarr_plate(tmp_path / "P1.zarr", FIELDS)
    (plate / group / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(ImageFileError, match="metadata cannot be read") as caught:
        find_fields(plate)
    assert str(plate) in str(caught.value)
