"""The tables of a plate, made from a project on disk with everything wrong that can be."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tifffile

from dp_assets.config.errors import ImageIndexError, LocationsError, ProjectError
from dp_assets.storage.fingerprints import fingerprint_bytes
from dp_assets.storage.plate_tables import (
    annotate_plate,
    annotation_column,
    cells_outside,
    collect_locations,
    describe_plate_images,
    image_paths,
    plate_rows,
)
from dp_assets.storage.schemas import CELL_LOCATIONS, PLATE_IMAGES
from dp_assets.storage.tables import read_provenance
from dp_assets_tests.made_plates import PLATE, MadePlate, ProgressLog, tiny_plate

X, Y = "Nuclei_Location_Center_X", "Nuclei_Location_Center_Y"


@pytest.fixture
def plate(tmp_path: Path) -> MadePlate:
    return tiny_plate(tmp_path)


def image(plate: MadePlate, well: str, channel: str = "DNA") -> Path:
    return plate.root / "inputs/images" / PLATE / f"{well}_s1_{channel}.tiff"


def problem_sites(images: pa.Table) -> dict[tuple[str, str], str]:
    return {
        (row["Metadata_Well"], row["channel"]): row["problem"] for row in images.to_pylist() if row["problem"]
    }


def test_every_image_is_described(plate: MadePlate) -> None:
    progress = ProgressLog()
    images = describe_plate_images(
        plate.index, PLATE, plate.channels, plate.location, bits=16, workers=2, progress=progress
    )
    PLATE_IMAGES.enforce(images)
    rows = images.to_pylist()
    assert [(r["Metadata_Well"], r["channel"]) for r in rows] == [
        (well, channel) for well in ("A01", "A02", "A03", "A04") for channel in plate.channels
    ]
    for row in rows:
        data = (plate.root / "inputs/images" / row["path"]).read_bytes()
        assert row["bytes"] == len(data)
        assert row["fingerprint"] == fingerprint_bytes(data)
        assert (row["height"], row["width"], row["dtype"], row["problem"]) == (64, 80, "uint16", None)
    assert progress[-1] == (12, 12)
    paths = image_paths(images, plate.location)
    assert paths[rows[0]["path"]] == image(plate, "A01")


def test_bad_images_are_marked_and_the_others_are_not(plate: MadePlate) -> None:
    image(plate, "A01").unlink()
    data = image(plate, "A02").read_bytes()
    image(plate, "A02").write_bytes(data[: len(data) // 2])
    tifffile.imwrite(image(plate, "A03"), np.zeros((64, 81), np.uint16))
    tifffile.imwrite(image(plate, "A04", "RNA"), np.zeros((64, 80), np.uint8))
    images = plate.images()
    PLATE_IMAGES.enforce(images)
    found = problem_sites(images)
    assert set(found) == {("A01", "DNA"), ("A02", "DNA"), ("A03", "DNA"), ("A04", "RNA")}
    assert "does not exist" in found[("A01", "DNA")]
    assert "cut off" in found[("A02", "DNA")]
    assert (
        "is 64 x 81 uint16 (rows x columns); the plate's images are 64 x 80 uint16" in found[("A03", "DNA")]
    )
    assert "is 64 x 80 uint8" in found[("A04", "RNA")]
    assert [site.well for site in plate.sites() if site.problem is None] == []


def test_sixteen_bit_images_where_eight_are_configured(plate: MadePlate) -> None:
    images = describe_plate_images(plate.index, PLATE, ["DNA"], plate.location, bits=8, workers=1)
    assert len(problem_sites(images)) == 4
    assert "uint16, but dataset.images.bits is 8" in problem_sites(images)[("A01", "DNA")]


def test_images_that_are_too_large_are_not_decoded(plate: MadePlate) -> None:
    images = describe_plate_images(
        plate.index, PLATE, ["DNA"], plate.location, bits=16, workers=1, maximum_pixels=100
    )
    assert "more than the 100 pixels" in problem_sites(images)[("A01", "DNA")]


def test_one_changed_image_changes_one_fingerprint(plate: MadePlate) -> None:
    before = plate.images()
    pixels = tifffile.imread(image(plate, "A03", "RNA"))
    pixels[0, 0] ^= 1
    tifffile.imwrite(image(plate, "A03", "RNA"), pixels)
    image(plate, "A01").touch()
    after = plate.images()
    changed = [
        (row["Metadata_Well"], row["channel"])
        for row, former in zip(after.to_pylist(), before.to_pylist(), strict=True)
        if row["fingerprint"] != former["fingerprint"]
    ]
    assert changed == [("A03", "RNA")]


def index_table(**columns: list[str]) -> pa.Table:
    return pa.table(
        {
            "Metadata_Plate": ["P1", "P2", "P1", "P1"],
            "Metadata_Well": ["B01", "A01", "A01", "B01"],
            "Metadata_Site": ["2", "1", "1", "1"],
            "DNA": ["a", "b", "c", "d"],
            **columns,
        }
    )


def test_the_rows_of_a_plate_come_well_by_well() -> None:
    assert plate_rows(index_table(), "P1")["DNA"].to_pylist() == ["a", "d", "c"]
    with pytest.raises(ProjectError, match="does not list plate P3") as caught:
        plate_rows(index_table(), "P3")
    assert "index.csv" in caught.value.problems[0].remedy


def test_annotations_are_everything_but_paths() -> None:
    index = index_table(Treatment=["t", "u", "v", "w"], Metadata_Dose=["1", "2", "3", "4"])
    table = annotate_plate(index, "P1", ["DNA"])
    assert table.to_pydict() == {
        "Metadata_Plate": ["P1"] * 3,
        "Metadata_Well": ["B01", "B01", "A01"],
        "Metadata_Site": ["2", "1", "1"],
        "Metadata_Treatment": ["t", "w", "v"],
        "Metadata_Dose": ["1", "4", "3"],
    }
    assert annotation_column("Treatment") == annotation_column("Metadata_Treatment") == "Metadata_Treatment"


def test_an_annotation_given_under_both_names() -> None:
    wells = ["B01", "A01", "A01", "B01"]
    table = annotate_plate(index_table(Well=wells), "P1", ["DNA"])
    assert table.column_names == ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]
    with pytest.raises(ImageIndexError, match="columns Well and Metadata_Well mean the same") as caught:
        annotate_plate(index_table(Well=["x", *wells[1:]]), "P1", ["DNA"])
    assert "plate P1" in caught.value.problems[0].where


def write_cells(folder: Path, well: str, text: str) -> None:
    (folder / "P1").mkdir(exist_ok=True)
    (folder / "P1" / f"{well}-1-Nuclei.csv").write_text(text)


def test_cells_of_all_sites_are_stacked(tmp_path: Path) -> None:
    write_cells(
        tmp_path, "A01", f"{Y},{X},Area,Metadata_Cell,Class,Metadata_Batch\n1,2,30,old,a,01\n3,4,,old,5,02\n"
    )
    write_cells(tmp_path, "B01", f"{X},{Y}\n")
    write_cells(tmp_path, "C01", f"{X},{Y},Class\n5,6,7\n")
    keys = [(well, "1") for well in ("C01", "A01", "B01", "D01")]
    table = collect_locations("P1", keys, tmp_path, workers=2)
    CELL_LOCATIONS.enforce(table)
    assert table.select(list(CELL_LOCATIONS.required)).to_pylist() == [
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": well,
            "Metadata_Site": "1",
            "Metadata_Cell": cell,
            X: float(x),
            Y: float(y),
        }
        for well, cell, x, y in [("C01", "0", 5, 6), ("A01", "0", 2, 1), ("A01", "1", 4, 3)]
    ]
    assert table["Area"].to_pylist() == [None, 30.0, None]
    assert table["Class"].to_pylist() == ["7.0", "a", "5"]
    assert table["Metadata_Batch"].to_pylist() == [None, "01", "02"]
    assert read_provenance(table.schema) == {
        "sites": {"C01/1": 1, "A01/1": 2, "B01/1": 0, "D01/1": 0},
        "without_file": ["D01/1"],
    }


def test_a_plate_without_cells(tmp_path: Path) -> None:
    table = collect_locations("P1", [("A01", "1")], tmp_path, workers=1)
    assert table.num_rows == 0
    CELL_LOCATIONS.enforce(table)
    assert read_provenance(table.schema) == {"sites": {"A01/1": 0}, "without_file": ["A01/1"]}


def test_the_problems_of_all_files_are_listed(tmp_path: Path) -> None:
    write_cells(tmp_path, "A01", f"{X},{Y}\n1,two\n")
    write_cells(tmp_path, "B01", f"{X},{Y}\n1,2\n")
    write_cells(tmp_path, "C01", "a,b\n1,2\n")
    keys = [(well, "1") for well in ("A01", "B01", "C01")]
    with pytest.raises(LocationsError) as caught:
        collect_locations("P1", keys, tmp_path, workers=2)
    assert [Path(p.where.split(",")[0]).name for p in caught.value.problems] == [
        "A01-1-Nuclei.csv",
        "C01-1-Nuclei.csv",
    ]


def test_cells_outside_are_counted() -> None:
    places = pd.DataFrame(
        [(0, 0), (9, 4), (-0.1, 2), (3, 4.5), (9.5, 0), (5, -1)], columns=[X, Y], dtype=float
    )
    assert cells_outside(pa.Table.from_pandas(places), height=5, width=10) == 4
