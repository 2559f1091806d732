"""Exported datasets as crop stores: what goes in comes out, and what does not fit is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dp_assets.config.errors import ImageFileError, LocationsError
from dp_assets.imaging.cropping import CropGeometry
from dp_assets.imaging.normalization import normalize_crops
from dp_assets.interchange.crop_list import read_crop_list
from dp_assets.interchange.crops_export import CropExport, export_crops, write_sc_metadata
from dp_assets.interchange.crops_import import import_crops
from dp_assets.interchange.strip_format import StripFormat, strip_format
from dp_assets.interchange.strips import as_strip, read_strip
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.folders import publish_folder
from dp_assets.storage.image_codecs import encode_png
from dp_assets.storage.work import WorkFolder
from dp_assets.training.normalized_crops import normalized
from dp_assets.training.store_crops import StoreCrops
from dp_assets_tests.golden_stages import golden_plate
from dp_assets_tests.interchange.made_crops import CHANNELS, PLATE, labels_of, made_plate, store_of
from dp_assets_tests.made_plates import MadePlate
from dp_assets_tests.orchestration.materializing import contents

LIST = "sc-metadata.csv"


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> MadePlate:
    return made_plate(tmp_path_factory.mktemp("project"))


@pytest.fixture
def dataset(plate: MadePlate, tmp_path: Path) -> Path:
    """An exported dataset of one plate."""
    store = store_of(plate, tmp_path / "stores" / "crops")
    export_crops(CropExport(PLATE, store, None, labels_of(plate.index)), tmp_path / "png", workers=1)
    write_sc_metadata(tmp_path / "png")
    return tmp_path / "png"


def imported(dataset: Path, index: pa.Table, tmp_path: Path, plate: str = PLATE, **options: Any) -> CropStore:
    crops = read_crop_list(dataset, index)
    form = strip_format(crops, options.pop("channels", CHANNELS), options.pop("box", None))
    work = WorkFolder(tmp_path / "work")
    found = import_crops(crops, plate, form, work=work, workers=2, **options)
    publish_folder(tmp_path / "in" / plate, found.writer)
    return CropStore.open(tmp_path / "in" / plate)


def change_list(dataset: Path, change: Any) -> None:
    frame = pd.read_csv(dataset / LIST, dtype=str, keep_default_na=False)
    change(frame).to_csv(dataset / LIST, index=False)


def test_windows_are_the_strips(plate: MadePlate, dataset: Path, tmp_path: Path) -> None:
    store = imported(dataset, plate.index, tmp_path)
    listed = pd.read_csv(dataset / LIST, dtype=str)
    assert (len(store), store.channels, store.side, store.dtype) == (12, CHANNELS, 16, np.uint8)
    assert store.folder.manifest["geometry"] == {"box_size": 16, "sampling": "exact", "margin": 0}
    assert store.folder.manifest["imported_from"] == str(dataset / LIST)
    expected = np.stack([read_strip(dataset / name) for name in listed["Image_Name"]])
    np.testing.assert_array_equal(store.windows(range(12)), expected)
    cells = plate.locations()
    for name in ("Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Cell"):
        assert store.index[name].to_pylist() == cells[name].to_pylist()
    assert store.index["centre_row"].to_pylist() == cells["Nuclei_Location_Center_Y"].to_pylist()
    assert store.index["centre_col"].to_pylist() == cells["Nuclei_Location_Center_X"].to_pylist()
    assert set(store.index["flat_channels"].to_pylist()) == {""}


def test_training_reads_them(plate: MadePlate, dataset: Path, tmp_path: Path) -> None:
    store = imported(dataset, plate.index, tmp_path)
    cells = pa.table({"Metadata_Plate": [PLATE] * 3, "store_row": pa.array([5, 0, 7], pa.int64())})
    geometry = CropGeometry(16, "exact", 0)
    source = StoreCrops({PLATE: store}, cells, ("Mito", "DNA"), geometry=geometry, normalization="minmax")
    strips = store.windows([5, 0, 7])[..., [2, 0]].astype(np.float32)
    np.testing.assert_array_equal(normalized(source).read(np.arange(3)), normalize_crops(strips))


def test_a_second_round_trip_changes_no_pixel(plate: MadePlate, dataset: Path, tmp_path: Path) -> None:
    store = imported(dataset, plate.index, tmp_path)
    export_crops(CropExport(PLATE, store, None, labels_of(plate.index)), tmp_path / "again", workers=1)
    write_sc_metadata(tmp_path / "again")
    assert (tmp_path / "again" / LIST).read_bytes() == (dataset / LIST).read_bytes()
    for path in dataset.rglob("*.png"):
        np.testing.assert_array_equal(
            read_strip(tmp_path / "again" / path.relative_to(dataset)), read_strip(path)
        )


def test_recorded_datasets(golden: Path, tmp_path: Path) -> None:
    """The recorded list names all cells, but only one site of each plate has its images there."""
    index = golden_plate(golden, "SYN00001").index
    channels = golden_plate(golden, "SYN00001").channels
    crops = read_crop_list(golden / "single-cells", index)
    form = strip_format(crops, channels)
    assert form == StripFormat(96, channels, False, "uint8")
    found = import_crops(
        crops, "SYN00001", form, work=WorkFolder(tmp_path / "w"), workers=2, skip_missing=True
    )
    assert (found.cells, found.missing) == (19, 84 - 19)
    publish_folder(tmp_path / "store", found.writer)
    store = CropStore.open(tmp_path / "store")
    name = "SYN00001/A02/1/0@434.792x51.872.png"
    np.testing.assert_array_equal(store.windows([1])[0], read_strip(golden / "single-cells" / name))
    assert store.index.slice(1, 1).to_pylist()[0]["centre_row"] == 51.872
    with pytest.raises(ImageFileError, match="and 15 more images"):
        import_crops(crops, "SYN00001", form, work=WorkFolder(tmp_path / "w"), workers=2)


def test_masks_are_the_last_square(plate: MadePlate, dataset: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = {}
    for number, path in enumerate(sorted(dataset.rglob("*.png"))):
        mask = np.where(rng.random((16, 16)) < (0.5 if number else 0), 255, 0).astype(np.uint8)
        masks[path.relative_to(dataset).as_posix()] = mask
        path.write_bytes(encode_png(as_strip(np.dstack([read_strip(path), mask]))))
    store = imported(dataset, plate.index, tmp_path)
    assert store.mask_sampling == "nearest"
    windows, found = store.windows_and_masks(range(12))
    names = pd.read_csv(dataset / LIST, dtype=str)["Image_Name"]
    np.testing.assert_array_equal(found, np.stack([masks[name] for name in names]))
    assert windows.shape == (12, 16, 16, 3)
    objects = store.index["object"].to_pylist()
    assert sorted(set(objects)) == [0, 1, 2, 3]
    assert store.folder.manifest["cells_without_object"] == 1
    geometry = CropGeometry(16, "exact", 0)
    cells = pa.table({"Metadata_Plate": [PLATE] * 12, "store_row": pa.array(range(12), pa.int64())})
    source = StoreCrops({PLATE: store}, cells, CHANNELS, geometry=geometry, normalization="none")
    np.testing.assert_array_equal(source.read(np.arange(12)), windows * (found == 255)[..., None])


def test_a_last_square_that_is_no_mask(plate: MadePlate, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="holds other values than 0 and 255") as caught:
        imported(dataset, plate.index, tmp_path, channels=CHANNELS[:2])
    assert len(caught.value.problems) == 12


def test_flat_channels_are_noted(plate: MadePlate, dataset: Path, tmp_path: Path) -> None:
    name = pd.read_csv(dataset / LIST, dtype=str)["Image_Name"][4]
    strip = read_strip(dataset / name)
    strip[..., 1] = 9
    (dataset / name).write_bytes(encode_png(as_strip(strip)))
    store = imported(dataset, plate.index, tmp_path)
    assert store.index["flat_channels"].to_pylist() == ["" if row != 4 else "RNA" for row in range(12)]
    assert store.folder.manifest["flat_cells"] == {"RNA": 1}


def test_the_fingerprint_is_that_of_the_content(plate: MadePlate, dataset: Path, tmp_path: Path) -> None:
    first = imported(dataset, plate.index, tmp_path).fingerprint
    name = pd.read_csv(dataset / LIST, dtype=str)["Image_Name"][4]
    (dataset / name).touch()
    assert imported(dataset, plate.index, tmp_path).fingerprint == first
    strip = read_strip(dataset / name)
    strip[0, 0, 0] ^= 1
    (dataset / name).write_bytes(encode_png(as_strip(strip)))
    assert imported(dataset, plate.index, tmp_path).fingerprint != first


def test_a_killed_import_goes_on(plate: MadePlate, dataset: Path, tmp_path: Path) -> None:
    whole = contents(imported(dataset, plate.index, tmp_path).folder.path)

    class KilledError(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done == 2:
            raise KilledError

    crops = read_crop_list(dataset, plate.index)
    form, work = strip_format(crops, CHANNELS), WorkFolder(tmp_path / "killed")
    with pytest.raises(KilledError):
        import_crops(crops, PLATE, form, work=work, workers=1, progress=kill)
    assert len(list((work.path / "parts").glob("*.unit"))) >= 2
    found = import_crops(crops, PLATE, form, work=work, workers=1)
    publish_folder(tmp_path / "resumed", found.writer)
    assert contents(tmp_path / "resumed") == whole


def test_sites_that_pandas_renamed(plate: MadePlate, dataset: Path, tmp_path: Path) -> None:
    """The index says site 01, the list 1; and one of its sites is not of this project."""
    sites = pa.array(["01"] * 4)
    index = plate.index.set_column(2, "Metadata_Site", sites)
    crops = read_crop_list(dataset, index)
    assert {listed.site.site for listed in crops.sites} == {"01"}
    store = imported(dataset, index.slice(1), tmp_path)
    assert set(store.index["Metadata_Site"].to_pylist()) == {"01"}
    assert dict(read_crop_list(dataset, index.slice(1)).unknown) == {f"{PLATE}/A01/1": 3}


def test_cells_are_numbered_where_the_list_does_not(plate: MadePlate, dataset: Path, tmp_path: Path) -> None:
    change_list(dataset, lambda frame: frame.drop(columns="index").iloc[::-1])
    store = imported(dataset, plate.index, tmp_path)
    assert store.index["Metadata_Cell"].to_pylist() == ["0", "1", "2"] * 4
    assert store.index["Metadata_Well"].to_pylist()[::3] == ["A01", "A02", "A03", "A04"]


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda path: path.unlink(), "the image is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "cut off|damaged|end"),
        (
            lambda path: path.write_bytes(encode_png(np.zeros((16, 40), np.uint8))),
            "expected a row of squares of 16",
        ),
        (lambda path: path.write_bytes(encode_png(np.zeros((16, 32), np.uint8))), "2 squares of type uint8"),
        (
            lambda path: path.write_bytes(encode_png(np.zeros((16, 48), np.uint16))),
            "3 squares of type uint16",
        ),
    ],
)
def test_odd_files_are_named_with_their_line(
    plate: MadePlate, dataset: Path, tmp_path: Path, spoil: Any, what: str
) -> None:
    names = pd.read_csv(dataset / LIST, dtype=str)["Image_Name"]
    for row in (4, 10):
        spoil(dataset / names[row])
    with pytest.raises(ImageFileError, match=what) as caught:
        imported(dataset, plate.index, tmp_path)
    expected = [f"{dataset / names[row]} ({LIST}, line {row + 2})" for row in (4, 10)]
    assert [problem.where for problem in caught.value.problems] == expected
    assert not (tmp_path / "in").exists()


def test_missing_images_can_be_left_out(plate: MadePlate, dataset: Path, tmp_path: Path) -> None:
    names = pd.read_csv(dataset / LIST, dtype=str)["Image_Name"]
    for row in (0, 4, 6, 7, 8):
        (dataset / names[row]).unlink()
    store = imported(dataset, plate.index, tmp_path, skip_missing=True)
    assert store.index["Metadata_Cell"].to_pylist() == ["1", "2", "0", "2", "0", "1", "2"]
    assert len(store) == 7


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"box": 20}, "expected a row of squares of 20"),
        ({"channels": ("DNA",)}, "3 channels of 16 pixels; the configuration has 1: DNA"),
        ({"channels": ("A", "B", "C", "D")}, "the configuration has 4"),
    ],
)
def test_a_dataset_of_another_format(
    plate: MadePlate, dataset: Path, tmp_path: Path, options: dict, what: str
) -> None:
    with pytest.raises(ImageFileError, match=what):
        imported(dataset, plate.index, tmp_path, **options)


def test_a_dataset_without_images(plate: MadePlate, dataset: Path) -> None:
    for path in dataset.rglob("*.png"):
        path.unlink()
    with pytest.raises(ImageFileError, match="none of the images of 12 cells is there"):
        strip_format(read_crop_list(dataset, plate.index), CHANNELS)


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("Nuclei_Location_Center_X", "left", "'left' is not a number"),
        ("Nuclei_Location_Center_Y", "", "'' is not a number"),
        ("Image_Name", "../../secret.png", "climbs out of its folder"),
        ("Image_Name", "/etc/passwd", "absolute paths"),
    ],
)
def test_lists_with_mistakes(plate: MadePlate, dataset: Path, column: str, value: str, what: str) -> None:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[3, column] = value
        return frame

    change_list(dataset, spoil)
    with pytest.raises(LocationsError, match=what) as caught:
        read_crop_list(dataset, plate.index)
    assert caught.value.problems[0].where == f"{dataset / LIST}, line 5, column {column}"


def test_lists_that_cannot_be_read(plate: MadePlate, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(LocationsError, match="there is no sc-metadata"):
        read_crop_list(tmp_path, plate.index)
    change_list(dataset, lambda frame: frame.drop(columns=["Key", "Image_Name"]))
    with pytest.raises(LocationsError, match="column Key and Image_Name is missing"):
        read_crop_list(dataset, plate.index)
    (dataset / LIST).write_text("")
    with pytest.raises(LocationsError, match="columns are: none"):
        read_crop_list(dataset, plate.index)


def test_a_site_under_two_names(plate: MadePlate, dataset: Path) -> None:
    """Cells under the first name must not vanish behind those under the second."""
    index = plate.index.set_column(2, "Metadata_Site", pa.array(["01"] * 4))

    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[0, "Key"] = f"{PLATE}/A01/01"
        return frame

    change_list(dataset, spoil)
    with pytest.raises(LocationsError, match=f"{PLATE}/A01/01 and {PLATE}/A01/1 are both site"):
        read_crop_list(dataset, index)


def test_an_image_that_is_a_folder(plate: MadePlate, dataset: Path, tmp_path: Path) -> None:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[4, "Image_Name"] = PLATE
        return frame

    change_list(dataset, spoil)
    with pytest.raises(ImageFileError, match="cannot be read") as caught:
        imported(dataset, plate.index, tmp_path)
    assert "line 6" in str(caught.value)


def test_a_name_that_may_be_two_sites(plate: MadePlate, dataset: Path) -> None:
    """DeepProfiler makes A/B of A-B, and 1 of 01."""
    wells = pa.array(["A01", "A02", "A03", "A03"])
    sites = pa.array(["001", "001", "001", "01"])
    index = plate.index.set_column(1, "Metadata_Well", wells).set_column(2, "Metadata_Site", sites)
    with pytest.raises(LocationsError, match=f"{PLATE}/A03/1 may be {PLATE}/A03/001 and {PLATE}/A03/01"):
        read_crop_list(dataset, index)
