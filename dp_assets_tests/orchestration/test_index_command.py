"""`dp-assets index`: an index that the project can be run with, out of what the files say of themselves."""

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from dp_assets.cli import main
from dp_assets.storage.index_file import IndexLocation, read_index
from dp_assets.storage.plate_tables import describe_plate_images
from dp_assets_tests.stacks import CHANNELS, Version, stack, write_ome_tiff, write_zarr_plate

FIELDS = {("A01", 0): stack(3, 8, 9), ("A01", 1): stack(3, 8, 9, seed=1), ("B12", 0): stack(3, 8, 9, seed=2)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("images", "metadata", "config"):
        (tmp_path / "inputs" / name).mkdir(parents=True)
    return tmp_path


def call(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--project", str(root), "index", *arguments])


def written(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "inputs/metadata/index.csv", dtype=str, keep_default_na=False)


def check_images(root: Path, plate: str) -> None:
    """The index is one that plates can be made of."""
    location = IndexLocation(root / "inputs/metadata/index.csv", root / "inputs/images", (str(root / "far"),))
    index = read_index(location, CHANNELS)
    images = describe_plate_images(index, plate, CHANNELS, location, bits=16, workers=1)
    assert images["problem"].null_count == images.num_rows > 0


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_zarr_plate(root: Path, version: Version) -> None:
    plate = write_zarr_plate(root / "inputs/images/set/BR1.ome.zarr", FIELDS, version)
    result = call(root, str(plate))
    assert result.exit_code == 0, result.output
    assert "wrote plate BR1, fields of view: 3, channels DNA, RNA, Mito" in result.output
    frame = written(root)
    assert frame.columns.tolist() == ["Metadata_Plate", "Metadata_Well", "Metadata_Site", *CHANNELS]
    assert frame.iloc[:, :4].to_numpy().tolist() == [
        ["BR1", "A01", "0", "set/BR1.ome.zarr/A/1/0#c=DNA"],
        ["BR1", "A01", "1", "set/BR1.ome.zarr/A/1/1#c=DNA"],
        ["BR1", "B12", "0", "set/BR1.ome.zarr/B/12/0#c=DNA"],
    ]
    check_images(root, "BR1")


def test_a_folder_of_tiffs(root: Path) -> None:
    folder = root / "inputs/images/P7"
    for (well, site), pixels in FIELDS.items():
        write_ome_tiff(folder / f"x_{well}_s{site + 1}.ome.tif", pixels)
    (folder / "notes.txt").write_text("x")
    assert call(root, str(folder)).exit_code == 0
    frame = written(root)
    assert frame[["Metadata_Well", "Metadata_Site", "RNA"]].to_numpy().tolist() == [
        ["A01", "1", "P7/x_A01_s1.ome.tif#c=RNA"],
        ["A01", "2", "P7/x_A01_s2.ome.tif#c=RNA"],
        ["B12", "1", "P7/x_B12_s1.ome.tif#c=RNA"],
    ]
    check_images(root, "P7")
    (folder / "overview.tif").write_bytes(b"")
    assert "overview.tif does not say its well and site" in call(root, str(folder), "--replace").stderr


def test_channels_without_names(root: Path) -> None:
    plate = write_zarr_plate(root / "inputs/images/P1.zarr", FIELDS, names=())
    refused = call(root, str(plate))
    assert refused.exit_code == 1
    assert "does not name its channels; it has 3 channels" in refused.stderr
    assert not (root / "inputs/metadata/index.csv").exists()
    assert "2 channels were named (DNA, RNA)" in call(root, str(plate), "--channels", "DNA,RNA").stderr
    assert call(root, str(plate), "--channels", "DNA, RNA,Mito").exit_code == 0
    assert written(root)["Mito"][0] == "P1.zarr/A/1/0#c=2"
    check_images(root, "P1")


def test_channels_named_by_wavelength_are_written_by_number(root: Path) -> None:
    plate = write_zarr_plate(root / "inputs/images/P1.zarr", FIELDS, names=("405", "488", "DNA/x"))
    assert call(root, str(plate)).exit_code == 0
    row = written(root).iloc[0]
    assert [row["405"], row["488"], row["DNA/x"]] == [
        "P1.zarr/A/1/0#c=0",
        "P1.zarr/A/1/0#c=1",
        "P1.zarr/A/1/0#c=DNA%2Fx",
    ]


def test_rows_of_other_plates_stay_and_those_of_the_plate_are_not_lost(root: Path) -> None:
    plate = write_zarr_plate(root / "inputs/images/P1.zarr", FIELDS)
    call(root, str(plate), "--plate", "first")
    frame = written(root).assign(Treatment=["t1", "t2", "t3"])
    frame.to_csv(root / "inputs/metadata/index.csv", index=False)
    before = (root / "inputs/metadata/index.csv").read_bytes()
    refused = call(root, str(plate), "--plate", "first")
    assert refused.exit_code == 1
    assert "has 3 rows of plate first already" in refused.stderr
    assert "--replace" in refused.stderr
    assert (root / "inputs/metadata/index.csv").read_bytes() == before
    assert call(root, str(plate), "--plate", "second").exit_code == 0
    assert call(root, str(plate), "--plate", "first", "--replace").exit_code == 0
    frame = written(root)
    assert frame["Metadata_Plate"].tolist() == ["second"] * 3 + ["first"] * 3
    assert frame["Treatment"].tolist() == ["", "", "", "t1", "t2", "t3"]
    assert sorted(path.name for path in (root / "inputs/metadata").iterdir()) == ["index.csv"]


def test_a_parquet_index_stays_one(root: Path) -> None:
    path = root / "inputs/metadata/index.parquet"
    former = {"Metadata_Plate": ["P0"], "Metadata_Well": ["A01"], "Metadata_Site": ["01"], "DNA": ["a.tif"]}
    pd.DataFrame(former).to_parquet(path)
    plate = write_zarr_plate(root / "inputs/images/P1.zarr", FIELDS)
    assert call(root, str(plate)).exit_code == 0
    frame = pd.read_parquet(path)
    assert frame["Metadata_Site"].tolist() == ["01", "0", "1", "0"]
    assert frame["RNA"].tolist()[0] == ""
    assert [other.name for other in path.parent.iterdir()] == ["index.parquet"]


def test_where_a_plate_may_lie(root: Path) -> None:
    plate = write_zarr_plate(root / "far/P1.zarr", FIELDS)
    refused = call(root, str(plate))
    assert refused.exit_code == 1
    assert "image_roots" in refused.stderr
    (root / "project.yaml").write_text(f"image_roots: [{root / 'far'}]\n")
    assert call(root, str(plate)).exit_code == 0
    assert written(root)["DNA"][0] == f"{plate}/A/1/0#c=DNA"
    check_images(root, "P1")


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("none.zarr", (), "no Zarr group"),
        ("none", (), "no fields of view"),
        ("", (), "no fields of view"),
        ("tiffs", ("--pattern", "(?P<well>A01)"), "lacks the group well or site"),
        ("tiffs", ("--pattern", "("), "no regular expression"),
        ("tiffs", ("--pattern", "(?P<well>A01)_s(?P<site>)"), "are both well A01, site"),
        ("tiffs", ("--plate", "a/b"), "cannot be the name of a plate"),
    ],
)
def test_what_no_index_can_be_made_of(
    root: Path, source: str, options: tuple[str, ...], message: str
) -> None:
    for site in (1, 2):
        write_ome_tiff(root / f"inputs/images/tiffs/A01_s{site}.ome.tif", stack(3, 8, 9))
    (root / "inputs/images/empty").mkdir()
    result = call(root, str(root / "inputs/images" / (source or "empty")), *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert list((root / "inputs/metadata").iterdir()) == []
