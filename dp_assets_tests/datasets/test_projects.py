"""Projects made of public image sets, fetched from a server on this machine."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tifffile
from click.testing import CliRunner, Result
from PIL import Image

from dp_assets.cli import main
from dp_assets.config.errors import ProjectError
from dp_assets.config.presets import PRESETS
from dp_assets.datasets import archives
from dp_assets.datasets.archives import unpack_tar, zip_members
from dp_assets.datasets.bbbc013 import bbbc013_index
from dp_assets.datasets.bbbc021 import bbbc021_index, bbbc021_plates
from dp_assets.profiling.roles import with_roles
from dp_assets.storage.index_file import IndexLocation, read_index
from dp_assets_tests.datasets.server import Shelf, serving

# Columns of an index that have the prefix already.
TWICE = ("Metadata_Metadata_", "Metadata_")


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with serving(Shelf({})) as shelf:
        yield shelf


def zipped(files: Mapping[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


def tarred(files: Mapping[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["download", *arguments])


# BBBC013 ------------------------------------------------------------------------------


def bmp(value: int) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(np.full((6, 8), value, np.uint8)).save(sink, format="BMP")
    return sink.getvalue()


def bbbc013_archive(leave_out: str = "none") -> bytes:
    names = [
        f"Channel{channel}-{row * 12 + column:02d}-{letter}-{column:02d}"
        for row, letter in enumerate("ABCDEFGH")
        for column in range(1, 13)
        for channel in (1, 2)
    ]
    files = {f"BBBC013_v1_images_bmp/{n}.BMP": bmp(i) for i, n in enumerate(names) if leave_out not in n}
    return zipped({**files, "BBBC013_v1_images_bmp/readme.txt": b"no image"})


def test_bbbc013_becomes_a_project(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["BBBC013_v1_images_bmp.zip"] = bbbc013_archive()
    result = call("bbbc013", "--to", str(tmp_path / "set"), "--mirror", shelf.url)
    assert result.exit_code == 0, result.output
    assert "192 images" in result.output
    inputs = tmp_path / "set" / "inputs"
    index = read_index(IndexLocation(inputs / "metadata/index.csv", inputs / "images"), ["DNA", "GFP"])
    assert index.num_rows == 96
    row = next(row for row in index.to_pylist() if row["Metadata_Well"] == "C05")
    # C05 is the 29th well; its two images are those with the values 56 and 57
    assert (tifffile.imread(inputs / "images" / row["GFP"]) == 56).all()
    assert (tifffile.imread(inputs / "images" / row["DNA"]) == 57).all()
    again = call("bbbc013", "--to", str(tmp_path / "set"), "--mirror", shelf.url)
    assert again.exit_code == 0
    assert len(shelf.requests) == 1


def test_bbbc013_without_an_image_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["BBBC013_v1_images_bmp.zip"] = bbbc013_archive(leave_out="Channel2-30-C-06")
    result = call("bbbc013", "--to", str(tmp_path / "set"), "--mirror", shelf.url)
    assert result.exit_code == 1
    assert "lacks 1 of the plate's images" in result.output


def test_the_layout_of_bbbc013_is_the_recorded_one(shared: Path) -> None:
    recorded = pd.read_csv(shared / "data/bbbc013/inputs/metadata/index.csv", dtype=str).fillna("")
    made = bbbc013_index().set_index("Metadata_Well")
    recorded = recorded.set_index("Metadata_Well")
    for column in ("Treatment", "Compound", "Concentration_Unit", "Control", "Replicate", "Split"):
        expected = recorded[column]
        assert made[column].to_dict() == expected.to_dict(), column
    assert made["Concentration"].astype(float).to_dict() == recorded["Concentration"].astype(float).to_dict()
    names = {channel: recorded[channel].str.rpartition("/")[2] for channel in ("DNA", "GFP")}
    for channel, expected in names.items():
        assert made[channel].str.rpartition("/")[2].to_dict() == expected.to_dict()


# BBBC021 ------------------------------------------------------------------------------

IMAGES = """\
TableNumber,ImageNumber,Image_FileName_DAPI,Image_PathName_DAPI,Image_FileName_Tubulin,Image_PathName_Tubulin,\
Image_FileName_Actin,Image_PathName_Actin,Image_Metadata_Plate_DAPI,Image_Metadata_Well_DAPI,Replicate,\
Image_Metadata_Compound,Image_Metadata_Concentration
1,1,G10_s2_w1A.tif,Week1/Week1_1,G10_s2_w2A.tif,Week1/Week1_1,G10_s2_w4A.tif,Week1/Week1_1,Week1_1,G10,1,taxol,3
1,2,G10_s1_w1B.tif,Week1/Week1_1,G10_s1_w2B.tif,Week1/Week1_1,G10_s1_w4B.tif,Week1/Week1_1,Week1_1,G10,1,taxol,3
2,1,B02_s1_w1C.tif,Week2/Week2_1,B02_s1_w2C.tif,Week2/Week2_1,B02_s1_w4C.tif,Week2/Week2_1,Week2_1,B02,1,DMSO,0
"""
MECHANISMS = '"compound",concentration,"moa"\n"taxol",3.000000,"Microtubule stabilizers"\n'


def tiff(value: int) -> bytes:
    sink = io.BytesIO()
    tifffile.imwrite(sink, np.full((6, 8), value, np.uint16))
    return sink.getvalue()


def bbbc021_shelf(shelf: Shelf) -> None:
    week1 = {
        f"Week1_1/G10_s{s}_w{w}{x}.tif": tiff(s * 10 + w) for s, x in ((2, "A"), (1, "B")) for w in (1, 2, 4)
    }
    week2 = {f"Week2/Week2_1/B02_s1_w{w}C.tif": tiff(w) for w in (1, 2, 4)}
    shelf.files |= {
        "BBBC021_v1_image.csv": IMAGES.encode(),
        "BBBC021_v1_moa.csv": MECHANISMS.encode(),
        "BBBC021_v1_images_Week1_1.zip": zipped(week1),
        "BBBC021_v1_images_Week2_1.zip": zipped(week2),
    }


def test_plates_of_bbbc021_are_added_one_by_one(shelf: Shelf, tmp_path: Path) -> None:
    bbbc021_shelf(shelf)
    inputs = tmp_path / "set" / "inputs"
    for plates, rows in (("Week1_1", 2), ("Week2_1", 3), ("all", 3)):
        result = call("bbbc021", "--to", str(tmp_path / "set"), "--mirror", shelf.url, "--plates", plates)
        assert result.exit_code == 0, result.output
        location = IndexLocation(inputs / "metadata/index.csv", inputs / "images")
        index = read_index(location, ["DAPI", "Tubulin", "Actin"])
        assert index.num_rows == rows
    first = index.to_pylist()[0]
    assert (first["Metadata_Plate"], first["Metadata_Site"], first["MOA"]) == (
        "Week1_1",
        "1",
        "Microtubule stabilizers",
    )
    assert (tifffile.imread(inputs / "images" / first["Actin"]) == 14).all()
    assert sum("zip" in path for path, _ in shelf.requests) == 2


def test_an_index_of_bbbc021_from_before_there_were_batches_gets_them(shelf: Shelf, tmp_path: Path) -> None:
    bbbc021_shelf(shelf)
    index = tmp_path / "set" / "inputs" / "metadata" / "index.csv"
    common = ("bbbc021", "--to", str(tmp_path / "set"), "--mirror", shelf.url, "--plates")
    assert call(*common, "Week1_1").exit_code == 0
    pd.read_csv(index, dtype=str).drop(columns="Batch").to_csv(index, index=False)
    assert call(*common, "Week2_1").exit_code == 0
    assert pd.read_csv(index)["Batch"].tolist() == ["Week1", "Week1", "Week2"]


def test_bbbc021_asks_which_plates(shelf: Shelf, tmp_path: Path) -> None:
    bbbc021_shelf(shelf)
    common = ("bbbc021", "--to", str(tmp_path / "set"), "--mirror", shelf.url)
    assert "the set has 2 plates" in call(*common).output
    result = call(*common, "--plates", "Week3_1")
    assert result.exit_code == 1
    assert "no plate Week3_1; it has Week1_1, Week2_1" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("Image_Metadata_Compound", "Compound", "no column Image_Metadata_Compound"),
        ("taxol,3", "taxol,three", "concentration is no number"),
        ("G10_s2_w1A.tif", "G10_w1A.tif", "'G10_w1A.tif' does not say its site"),
    ],
)
def test_tables_that_make_no_index(tmp_path: Path, before: str, after: str, what: str) -> None:
    images, mechanisms = tmp_path / "images.csv", tmp_path / "moa.csv"
    images.write_text(IMAGES.replace(before, after))
    mechanisms.write_text(MECHANISMS)
    with pytest.raises(ProjectError, match=what) as caught:
        bbbc021_index(images, mechanisms, ["Week1_1"])
    assert str(images) in str(caught.value)
    images.write_text(IMAGES)
    mechanisms.write_text(MECHANISMS.replace("moa", "mechanism"))
    with pytest.raises(ProjectError, match="no column moa"):
        bbbc021_index(images, mechanisms, ["Week1_1"])


def test_the_published_tables_make_an_index(shared: Path, tmp_path: Path) -> None:
    images = tmp_path / "images.csv"
    images.write_bytes(gzip.decompress((shared / "reference/BBBC021_v1_image.csv.gz").read_bytes()))
    mechanisms = shared / "reference/BBBC021_v1_moa.csv"
    table = pd.read_csv(images)
    plates = sorted(table["Image_Metadata_Plate_DAPI"].unique())
    index = bbbc021_index(images, mechanisms, plates)
    assert len(index) == 13_200
    assert not index.duplicated(["Metadata_Plate", "Metadata_Well", "Metadata_Site"]).any()
    assert index["Metadata_Site"].isin(["1", "2", "3", "4"]).all()
    # every row of the mechanisms is found among the images, under either way to write its dose
    known = pd.read_csv(mechanisms)
    found = index[index["MOA"] != ""].drop_duplicates(["Compound", "Concentration"])
    assert len(found) == len(known)


def test_the_preset_finds_the_published_treatments(shared: Path, tmp_path: Path) -> None:
    images = tmp_path / "images.csv"
    images.write_bytes(gzip.decompress((shared / "reference/BBBC021_v1_image.csv.gz").read_bytes()))
    plates = bbbc021_plates(images)
    index = bbbc021_index(images, shared / "reference/BBBC021_v1_moa.csv", plates)
    table = pa.Table.from_pandas(index.add_prefix("Metadata_").rename(columns=lambda n: n.replace(*TWICE)))
    protocol = PRESETS["bbbc021"]
    roles = with_roles(table, protocol.columns, labelled_only=protocol.labelled_only).table.to_pandas()
    treated = roles[roles["Metadata_Control"] == "false"]
    assert (len(plates), roles["Metadata_Batch"].nunique()) == (55, 10)
    assert treated["Metadata_Treatment"].nunique() == protocol.expected.treatments == 103
    assert treated["Metadata_MOA"].nunique() == protocol.expected.labels == 12
    assert treated["Metadata_Compound"].nunique() == 38
    assert set(roles.loc[roles["Metadata_Control"] == "true", "Metadata_Compound"]) == {"DMSO"}
    controls = roles[roles["Metadata_Control"] == "true"].drop_duplicates(["Metadata_Plate", "Metadata_Well"])
    assert controls["Metadata_Plate"].value_counts().reindex(plates).min() >= 2


def test_columns_of_bbbc013_are_found_without_configuration() -> None:
    table = pa.Table.from_pandas(
        bbbc013_index().add_prefix("Metadata_").rename(columns=lambda n: n.replace(*TWICE))
    )
    columns = PRESETS["custom"].columns.model_copy(
        update={"treatment": ("Treatment",), "control": ("Treatment",), "control_values": ("untreated@0",)}
    )
    roles = with_roles(table, columns).table.to_pandas()
    assert set(roles.loc[roles["Metadata_Control"] == "true", "Metadata_Compound"]) == {"untreated"}
    assert (roles["Metadata_Control"] == "true").sum() == 16
    treated = roles[roles["Metadata_Control"] == "false"]
    assert treated["Metadata_Treatment"].nunique() == 19
    assert set(treated["Metadata_MOA"]) == {"PI3K inhibitor"}
    assert set(treated["Metadata_Replicate"]) == {"1", "2", "3", "4"}


# the example --------------------------------------------------------------------------


def test_the_example_is_unpacked_and_named(shelf: Shelf, tmp_path: Path) -> None:
    config = json.dumps({"dataset": {}}).encode()
    shelf.files["example-data.tar.gz"] = tarred(
        {"example-data/inputs/config/config.json": config, "example-data/outputs/none": b""}
    )
    result = call("example", "--to", str(tmp_path / "set"), "--mirror", shelf.url)
    assert result.exit_code == 0, result.output
    project = tmp_path / "set" / "example-data"
    assert (project / "inputs/config/config.json").read_bytes() == config
    assert str(project) in result.output.replace("\n", "")


def test_an_archive_without_a_project_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["example-data.tar.gz"] = tarred({"readme": b"x"})
    result = call("example", "--to", str(tmp_path / "set"), "--mirror", shelf.url)
    assert result.exit_code == 1
    assert "no folder named inputs" in result.output


def test_without_a_network_the_message_says_what_to_do(tmp_path: Path) -> None:
    result = call("example", "--to", str(tmp_path / "set"), "--mirror", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "put it at" in result.output


# archives -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    hostile = tmp_path / "hostile.zip"
    hostile.write_bytes(zipped({name: b"x"}))
    with pytest.raises(ProjectError, match="leads out"):
        list(zip_members(hostile))
    hostile = tmp_path / "hostile.tar.gz"
    hostile.write_bytes(tarred({name: b"x"}))
    folder = tmp_path / "inside"
    if name.startswith("/"):
        # a leading slash is taken away
        assert unpack_tar(hostile, folder) == [folder / "etc/outside"]
    else:
        with pytest.raises(ProjectError, match="cannot be unpacked"):
            unpack_tar(hostile, folder)
    assert not (tmp_path / "outside").exists()


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "a.zip"
    damaged.write_bytes(zipped({"a.bin": np.random.default_rng(0).bytes(1000)})[:-200])
    with pytest.raises(ProjectError, match="delete it and download it again"):
        list(zip_members(damaged))
    damaged = tmp_path / "a.tar.gz"
    damaged.write_bytes(tarred({"a.bin": np.random.default_rng(0).bytes(1000)})[:-200])
    with pytest.raises(ProjectError, match="delete it and download it again"):
        unpack_tar(damaged, tmp_path / "inside")


@pytest.mark.parametrize("place", range(100, 900, 97))
def test_damage_inside_compressed_data_is_named(tmp_path: Path, place: int) -> None:
    content = np.random.default_rng(0).integers(0, 4, 4000, dtype=np.uint8).tobytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", content)
    tars = [io.BytesIO(), io.BytesIO()]
    for sink, mode in zip(tars, ("w:gz", "w:xz"), strict=True):
        with tarfile.open(fileobj=sink, mode=mode) as archive:  # type: ignore[call-overload]
            member = tarfile.TarInfo("a.bin")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    for number, sink in enumerate((packed, *tars)):
        data = bytearray(sink.getvalue())
        data[place : place + 20] = bytes(20)
        damaged = tmp_path / "damaged"
        damaged.write_bytes(data)
        with pytest.raises(ProjectError, match="cannot be unpacked"):
            list(zip_members(damaged)) if number == 0 else unpack_tar(damaged, tmp_path / "inside")


def test_a_file_that_was_changed_is_unpacked_again(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(tarred({"a.bin": b"right"}))
    (target,) = unpack_tar(tmp_path / "a.tar.gz", tmp_path / "inside")
    before = target.stat().st_mtime_ns
    unpack_tar(tmp_path / "a.tar.gz", tmp_path / "inside")
    assert target.stat().st_mtime_ns == before
    target.write_bytes(b"wrong")
    unpack_tar(tmp_path / "a.tar.gz", tmp_path / "inside")
    assert target.read_bytes() == b"right"


def test_files_larger_than_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 999)
    for name, data in (("a.zip", zipped({"a.bin": bytes(1000)})), ("a.tar", tarred({"a.bin": bytes(1000)}))):
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ProjectError, match=r"'a\.bin' claims 1,000 bytes"):
        list(zip_members(tmp_path / "a.zip"))
    with pytest.raises(ProjectError, match=r"'a\.bin' claims 1,000 bytes"):
        unpack_tar(tmp_path / "a.tar", tmp_path / "inside")


def test_a_flipped_bit_in_an_archive_is_found(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.bin": bytes(1000)}))
    data[500] ^= 1
    damaged = tmp_path / "a.zip"
    damaged.write_bytes(data)
    with pytest.raises(ProjectError, match="CRC"):
        list(zip_members(damaged))
