"""Crop stores as DeepProfiler's exported single cells: equal to recorded ones, and to crops by hand."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.config.errors import ImageIndexError, StoreError
from dp_assets.imaging.cropping import CropGeometry, crop_cells
from dp_assets.imaging.masks import PlateMasks
from dp_assets.imaging.normalization import normalize_crops
from dp_assets.imaging.plate_crops import CropPlan
from dp_assets.imaging.plate_crops import export_crops as cut_crops
from dp_assets.interchange.crops_export import CropExport, ExportedCrops, export_crops, write_sc_metadata
from dp_assets.interchange.sc_metadata import FILE_NAME, CropLabels, site_rows
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.fingerprints import fingerprint_bytes
from dp_assets.storage.folders import publish_folder
from dp_assets.storage.images import read_image
from dp_assets.storage.plate_outlines import SiteOutlines
from dp_assets.storage.work import WorkFolder
from dp_assets_tests.golden_stages import GEOMETRY, PLATES, exported, prepared
from dp_assets_tests.interchange.made_crops import (
    PLATE,
    SHAPE,
    labels_of,
    made_plate,
    store_of,
    strip_of,
)
from dp_assets_tests.made_plates import MadePlate, options


def test_recorded_dataset(golden: Path, tmp_path: Path) -> None:
    """All strips pixel by pixel, the list byte by byte."""
    for plate in PLATES:
        made = prepared(golden, plate).made
        plan = CropExport(plate, exported(golden, plate), made.locations(), labels_of(made.index))
        export_crops(plan, tmp_path, workers=2)
    assert write_sc_metadata(tmp_path) == 174
    assert (tmp_path / FILE_NAME).read_bytes() == (golden / "single-cells" / FILE_NAME).read_bytes()
    assert require_same_images(golden / "single-cells", tmp_path) == 42


def test_recorded_masked_dataset(golden: Path, tmp_path: Path) -> None:
    ready = prepared(golden, PLATES[0])
    outlines = {
        (site.well, site.site): SiteOutlines(
            path := golden / f"inputs/outlines/{PLATES[0]}/{site.well}_s1_outlines.png",
            fingerprint_bytes(path.read_bytes()),
        )
        for site in ready.sites
    }
    plan = CropPlan(
        ready.sites,
        ready.made.channels,
        ready.cells,
        GEOMETRY,
        (512, 512),
        "uint8",
        PlateMasks(outlines, "original"),
    )
    writer, _ = cut_crops(plan, **options(WorkFolder(tmp_path / "work"), workers=2))
    publish_folder(tmp_path / "store", writer)
    labels = labels_of(ready.made.index)
    masked = CropExport(PLATES[0], CropStore.open(tmp_path / "store"), None, labels)
    export_crops(masked, tmp_path / "png", workers=2)
    assert require_same_images(golden / "single-cells-masked", tmp_path / "png") == 19


def require_same_images(recorded: Path, found: Path) -> int:
    files = sorted(recorded.rglob("*.png"))
    for path in files:
        np.testing.assert_array_equal(read_image(found / path.relative_to(recorded)), read_image(path))
    return len(files)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> MadePlate:
    return made_plate(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module", params=["original", "exact"])
def store(
    plate: MadePlate, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> CropStore:
    geometry = CropGeometry(16, request.param, margin=3)
    return store_of(plate, tmp_path_factory.mktemp("stores") / request.param, geometry)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / FILE_NAME).open(newline="") as stream:
        return list(csv.DictReader(stream))


def hand_made(plate: MadePlate, store: CropStore) -> Iterator[tuple[str, np.ndarray]]:
    """The name and strip of every cell, straight from the images."""
    treatments = dict(
        zip(plate.index["Metadata_Well"].to_pylist(), plate.index["Treatment"].to_pylist(), strict=True)
    )
    classes = sorted(set(treatments.values()))
    geometry = CropGeometry(16, store.folder.manifest["geometry"]["sampling"])
    for site in plate.sites():
        centres = plate.cells()[(site.well, site.site)].centres
        crops = normalize_crops(crop_cells(site.read(), centres, geometry, SHAPE))
        number = classes.index(treatments[site.well])
        for crop, (row, col) in zip(crops, centres, strict=True):
            yield f"{site.key}/{number}@{float(col)!r}x{float(row)!r}.png", strip_of(crop)


@pytest.mark.parametrize("workers", [1, 3])
def test_strips_and_list(plate: MadePlate, store: CropStore, tmp_path: Path, workers: int) -> None:
    plan = CropExport(PLATE, store, plate.locations(), labels_of(plate.index))
    seen: list[tuple[int, int]] = []
    done = export_crops(plan, tmp_path, workers=workers, progress=lambda *now: seen.append(now))
    assert done == ExportedCrops(cells=12, without_label=0, kept=False)
    assert seen[-1] == (12, 12)
    assert write_sc_metadata(tmp_path) == 12
    rows, expected = rows_of(tmp_path), list(hand_made(plate, store))
    assert [row["Image_Name"] for row in rows] == [name for name, _ in expected]
    for name, strip in expected:
        np.testing.assert_array_equal(read_image(tmp_path / name), strip)
    assert list(rows[0])[:3] == ["index", "Nuclei_Location_Center_X", "Nuclei_Location_Center_Y"]
    assert list(rows[0])[-5:] == ["Key", "Target", "Treatment", "Split", "Image_Name"]
    first = plate.index.slice(0, 1).to_pylist()[0]
    assert (rows[0]["Treatment"], rows[0]["Split"]) == (first["Treatment"], first["Split"])
    assert rows[0]["Key"] == f"{PLATE}/A01/{first['Metadata_Site']}"


def test_further_columns_of_the_locations(plate: MadePlate, store: CropStore, tmp_path: Path) -> None:
    table = plate.locations()
    table = table.append_column("Area", pa.array(np.arange(12) / 2)).append_column(
        "Phase", pa.array([None if n == 3 else "G1" for n in range(12)])
    )
    order = [11, *range(11)]
    export_crops(CropExport(PLATE, store, table.take(order), labels_of(plate.index)), tmp_path, workers=1)
    write_sc_metadata(tmp_path)
    rows = rows_of(tmp_path)
    carried = [name for name in plate.locations().column_names if not name.startswith("Metadata_")]
    assert list(rows[0]) == ["index", *carried, "Area", "Phase", *list(rows[0])[-5:]]
    assert [row["Area"] for row in rows[:4]] == ["0.0", "0.5", "1.0", "1.5"]
    assert [row["Phase"] for row in rows[2:5]] == ["G1", "", "G1"]


def test_coordinates_are_written_as_pandas_writes_them() -> None:
    site = ("P", "A01", "1")
    labels = CropLabels("T", "S", ("a", "b"), {site: ("b", "0")})
    whole = site_rows(site, ["0", "1"], columns([3.0, 10.0], [4.5, 5.0]), labels)
    assert [row["Image_Name"] for row in whole] == ["P/A01/1/1@3x4.5.png", "P/A01/1/1@10x5.0.png"]
    long = site_rows(site, ["7"], columns([1 / 3], [1e-7]), labels)
    assert long[0]["Image_Name"] == f"P/A01/1/1@{1 / 3}x1e-07.png"
    assert long[0]["index"] == "7"


def columns(x: list[float], y: list[float]) -> dict[str, list[float]]:
    return {"Nuclei_Location_Center_X": x, "Nuclei_Location_Center_Y": y}


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["10", "9", "", "9"], ("9", "10")),
        (["b", "10", "B", "9"], ("10", "9", "B", "b")),
        (["1e1", "-2"], ("-2", "1e1")),
    ],
)
def test_classes_are_sorted_as_deepprofiler_does(values: list[str], classes: tuple[str, ...]) -> None:
    names = [str(number) for number in range(len(values))]
    index = pa.table(
        {"Metadata_Plate": names, "Metadata_Well": names, "Metadata_Site": names, "T": values, "S": names}
    )
    assert CropLabels.of_index(index, "T", "S").classes == classes


def test_cells_of_sites_without_label_are_left_out(
    plate: MadePlate, store: CropStore, tmp_path: Path
) -> None:
    treatments = ["", *plate.index["Treatment"].to_pylist()[1:]]
    place = plate.index.column_names.index("Treatment")
    index = plate.index.set_column(place, "Treatment", pa.array(treatments))
    done = export_crops(CropExport(PLATE, store, None, labels_of(index)), tmp_path, workers=1)
    assert done == ExportedCrops(cells=9, without_label=3, kept=False)
    write_sc_metadata(tmp_path)
    assert not any(row["Key"].startswith(f"{PLATE}/A01/") for row in rows_of(tmp_path))


def test_running_again(plate: MadePlate, store: CropStore, tmp_path: Path) -> None:
    plan = CropExport(PLATE, store, None, labels_of(plate.index))
    export_crops(plan, tmp_path, workers=1)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert export_crops(plan, tmp_path, workers=1) == ExportedCrops(12, 0, kept=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == times
    # Other classes give other numbers, so other names.
    done = export_crops(
        CropExport(PLATE, store, None, labels_of(plate.index, "Metadata_Well")), tmp_path, workers=1
    )
    assert (done.cells, done.kept, done.removed > 0) == (12, False, True)
    assert len(list(tmp_path.rglob("*.png"))) == 12
    write_sc_metadata(tmp_path)
    assert all((tmp_path / row["Image_Name"]).exists() for row in rows_of(tmp_path))


def test_plates_exported_one_by_one_are_listed_together(
    plate: MadePlate, store: CropStore, tmp_path: Path
) -> None:
    export_crops(CropExport(PLATE, store, None, labels_of(plate.index)), tmp_path, workers=1)
    other = plate.index.set_column(0, "Metadata_Plate", pa.array(["P2"] * 4))
    export_crops(CropExport("P2", store, None, labels_of(other)), tmp_path, workers=1)
    assert write_sc_metadata(tmp_path) == 24
    assert [row["Key"].split("/")[0] for row in rows_of(tmp_path)] == ["P2"] * 12 + [PLATE] * 12
    export_crops(CropExport("P2", store, None, labels_of(other, "Metadata_Well")), tmp_path, workers=1)
    with pytest.raises(StoreError, match="was exported with the columns") as caught:
        write_sc_metadata(tmp_path)
    assert "the same --label and --split" in str(caught.value)


def test_plates_that_number_classes_otherwise_are_not_listed_together(
    plate: MadePlate, store: CropStore, tmp_path: Path
) -> None:
    """A class that was added to the index renumbers those behind it, also in plates exported before."""
    export_crops(CropExport(PLATE, store, None, labels_of(plate.index)), tmp_path, workers=1)
    write_sc_metadata(tmp_path)
    before = rows_of(tmp_path)
    treatments = pa.array(["0 new", *plate.index["Treatment"].to_pylist()[1:]])
    other = plate.index.set_column(0, "Metadata_Plate", pa.array(["P2"] * 4))
    other = other.set_column(other.column_names.index("Treatment"), "Treatment", treatments)
    export_crops(CropExport("P2", store, None, labels_of(other)), tmp_path, workers=1)
    with pytest.raises(StoreError, match="export all plates again"):
        write_sc_metadata(tmp_path)
    assert rows_of(tmp_path) == before


def test_only_files_of_the_export_are_removed(plate: MadePlate, store: CropStore, tmp_path: Path) -> None:
    """The record of an earlier export may come from elsewhere."""
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    folder = tmp_path / "png"
    (folder / ".exported").mkdir(parents=True)
    (folder / "old.png").write_bytes(b"")
    (folder / f".exported/{PLATE}.crops.txt").write_text(f"fingerprint\n../victim.txt\n{victim}\nold.png")
    done = export_crops(CropExport(PLATE, store, None, labels_of(plate.index)), folder, workers=1)
    assert victim.read_text() == "mine"
    assert not (folder / "old.png").exists()
    assert done.removed == 1


def test_what_the_index_does_not_say(plate: MadePlate, store: CropStore, tmp_path: Path) -> None:
    with pytest.raises(ImageIndexError, match="no column Drug; it has Metadata_Plate"):
        labels_of(plate.index, "Drug")
    with pytest.raises(ImageIndexError, match=f"crops of {PLATE}/A01/"):
        export_crops(CropExport(PLATE, store, None, labels_of(plate.index.slice(1))), tmp_path, workers=1)
