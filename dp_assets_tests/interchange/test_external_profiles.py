"""Another program's features as our tables: levels, order, missing values, and what does not fit."""

import gzip
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pycytominer.cyto_utils import output

from dp_assets.config.errors import StoreError
from dp_assets.interchange.annotation_tables import read_annotation
from dp_assets.interchange.legacy_npz import write_legacy_npz
from dp_assets.interchange.table_batches import TableFileError
from dp_assets.storage.schemas import CELL_FEATURES, PLATE_ANNOTATIONS, SITE_PROFILES, WELL_PROFILES
from dp_assets_tests.interchange.made_tables import FEATURES, cells, read, wells, write

KEY = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]


def test_wells_of_cellprofiler(tmp_path: Path) -> None:
    frame = wells(("P1", "P2")).assign(Image_Metadata_Compound="x", Cells_Location_Center_X=1.0)
    write(frame, tmp_path / "profiles.csv")
    found = read(tmp_path, "profiles.csv")
    assert (found.level, found.plates, found.cell_features) == ("well", ("P1", "P2"), None)
    WELL_PROFILES.enforce(found.table)
    assert found.table.column_names == ["Metadata_Plate", "Metadata_Well", "Metadata_Compound", *FEATURES]
    np.testing.assert_array_equal(found.table.to_pandas()[list(FEATURES)], frame[list(FEATURES)])
    assert found.annotations.equals(found.table.drop_columns(list(FEATURES)))
    assert found.sources == (tmp_path / "profiles.csv",)
    positions = {"columns of positions, counts and object numbers, which are no features": 1}
    assert (found.dropped, found.notes) == (positions, ())
    write(frame.assign(Image_Granularity_1_DNA=1.0), tmp_path / "more.csv")
    more = read(tmp_path, "more.csv")
    assert more.dropped == {"columns of numbers that are no features by their names": 1, **positions}
    assert more.table.equals(found.table)


def test_one_file_per_plate_takes_its_name(tmp_path: Path) -> None:
    for plate in ("P1", "P2"):
        frame = wells((plate,)).drop(columns="Image_Metadata_Plate")
        write(frame, tmp_path / f"cp/{plate}.csv.gz")
    found = read(tmp_path, "cp/*.csv.gz")
    assert found.plates == ("P1", "P2")
    assert found.table["Metadata_Plate"].to_pylist() == ["P1"] * 3 + ["P2"] * 3
    assert "the names of 2 files are taken, such as P1" in found.notes[0]


def test_sites_by_their_column_and_by_image_number(tmp_path: Path) -> None:
    frame = pd.concat([wells(), wells()]).assign(Metadata_Site=["01"] * 3 + ["02"] * 3)
    write(frame, tmp_path / "named.csv")
    named = read(tmp_path, "named.csv")
    assert named.level == "site"
    SITE_PROFILES.enforce(named.table)
    assert named.table["Metadata_Site"].to_pylist() == ["01"] * 3 + ["02"] * 3
    numbered = frame.drop(columns="Metadata_Site").assign(ImageNumber=range(11, 17), TableNumber=3)
    write(numbered, tmp_path / "numbered.csv")
    found = read(tmp_path, "numbered.csv")
    assert (found.level, found.table["Metadata_Site"].to_pylist()[:2]) == ("site", ["3_11", "3_12"])
    write(numbered.iloc[:3], tmp_path / "means.csv")
    assert read(tmp_path, "means.csv").level == "well"


def test_cells_are_brought_together_by_well(tmp_path: Path) -> None:
    order = [(image, f"A0{1 + image % 3}", number) for image in range(6) for number in range(1, 5)]
    shuffled = random.Random(0).sample(order, len(order))
    frames = [cells(shuffled, plate).assign(Cells_AreaShape_Area=np.arange(24.0)) for plate in ("P1", "P/2")]
    # All plates in one file, rows of one well all over it, as Windows writes it.
    mixed = pd.concat(frames).sample(frac=1, random_state=1)
    path = tmp_path / "cells.csv"
    path.write_bytes(b"\xef\xbb\xbf" + mixed.to_csv(index=False, lineterminator="\r\n").encode())
    found = read(tmp_path, "cells.csv")
    assert (found.level, found.table) == ("cell", None)
    assert set(found.plates) == {"P1", "P/2"}
    PLATE_ANNOTATIONS.enforce(found.annotations)
    # What differs within a site is not there; what cells share is.
    assert found.annotations.column_names == [*KEY, "Metadata_ImageNumber", "Metadata_Compound"]
    for plate in ("P1", "P/2"):
        table = CELL_FEATURES.enforce(found.cell_features(plate).read())
        assert table.column_names[4:] == list(FEATURES)
        got = table.to_pandas()
        wells_in_order = got["Metadata_Well"].to_list()
        assert len(set(wells_in_order)) == 1 + sum(one != other for one, other in pairwise(wells_in_order))
        assert (
            got.groupby("Metadata_Site")["Metadata_Cell"]
            .apply(list)
            .map(lambda n: n == ["0", "1", "2", "3"])
            .all()
        )
        expected = mixed[mixed["Metadata_Plate"] == plate]
        expected = expected.assign(Metadata_Site=expected["ImageNumber"].astype(str))
        by_site = got.groupby("Metadata_Site")["Cells_AreaShape_Area"].apply(list)
        assert (
            by_site.to_dict()
            == expected.groupby("Metadata_Site")["Cells_AreaShape_Area"].apply(list).to_dict()
        )


def test_cells_in_many_small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = cells([(image, "A01", number) for number in range(1, 100) for image in (1, 2)])
    write(frame, tmp_path / "cells.csv")
    write(frame, tmp_path / "cells.parquet")
    whole = read(tmp_path, "cells.csv").cell_features("P1").read()
    monkeypatch.setattr("dp_assets.interchange.csv_tables._BLOCK_BYTES", 64)
    monkeypatch.setattr("dp_assets.interchange.parquet_tables._VALUES_AT_ONCE", 30)
    monkeypatch.setattr("dp_assets.interchange.spilled_plate._MOST_CELLS_AT_ONCE", 7)
    found = read(tmp_path, "cells.csv").cell_features("P1")
    assert max(len(group) for group in found.row_groups()) == 7
    assert found.read().equals(whole)
    assert read(tmp_path, "cells.parquet").cell_features("P1").read().equals(whole)


def test_cells_without_site_lie_in_one(tmp_path: Path) -> None:
    frame = cells([(1, "A01", 1), (1, "A01", 2), (2, "A02", 1), (2, "A02", 2)]).drop(columns="ImageNumber")
    write(frame, tmp_path / "cells.csv")
    with pytest.raises(TableFileError, match="well P1/A01 has 2 rows") as caught:
        read(tmp_path, "cells.csv")
    assert "features.site_field" in caught.value.problems[0].remedy
    found = read(tmp_path, "cells.csv", level="cell")
    assert found.annotations["Metadata_Site"].to_pylist() == ["1", "1"]
    with pytest.raises(TableFileError, match="no column tells the site"):
        read(tmp_path, "cells.csv", level="site")


def test_the_same_cell_twice(tmp_path: Path) -> None:
    frame = cells([(1, "A01", 1), (1, "A01", 2)])
    write(frame, tmp_path / "Cells.csv")
    write(frame.iloc[1:], tmp_path / "Nuclei.csv")
    with pytest.raises(
        TableFileError, match=r"object 2 of P1/A01/1 .*Cells.csv, row 2 and .*Nuclei.csv, row 1"
    ):
        read(tmp_path, "*.csv")


def test_wells_of_images_from_an_image_table(tmp_path: Path) -> None:
    frame = cells([(1, "A01", 1), (1, "A01", 2), (2, "A02", 1), (2, "A02", 2), (9, "X", 1), (9, "X", 2)])
    bare = frame.drop(columns=["Metadata_Plate", "Metadata_Well"]).assign(TableNumber=4)
    write(bare, tmp_path / "cells.csv")
    images = pd.DataFrame(
        {
            "TableNumber": [4, 4, 5],
            "ImageNumber": [1, 2, 1],
            "Image_FileName_DAPI": list("abc"),
            "Image_Metadata_Plate_DAPI": ["P7", "P7", "P8"],
            "Image_Metadata_Well_DAPI": ["A01", "A02", "H12"],
        }
    )
    images_path = write(images, tmp_path / "metadata/images.csv")
    with pytest.raises(TableFileError, match="no column tells the well; columns are: ImageNumber"):
        read(tmp_path, "cells.csv")
    found = read(tmp_path, "cells.csv", annotations=(read_annotation(images_path),))
    assert (found.level, found.plates) == ("cell", ("P7",))
    assert found.annotations.select(KEY).to_pylist() == [
        {"Metadata_Plate": "P7", "Metadata_Well": "A01", "Metadata_Site": "4_1"},
        {"Metadata_Plate": "P7", "Metadata_Well": "A02", "Metadata_Site": "4_2"},
    ]
    assert found.dropped["rows of images that no annotation table lists"] == 2
    assert "wells come from images.csv" in found.notes[0]
    write(images.assign(TableNumber=1), images_path)
    with pytest.raises(TableFileError, match="ImageNumber 1 is P7/A01 in one row and P8/H12 in another"):
        read(tmp_path, "cells.csv", annotations=(read_annotation(images_path),))
    write(images.assign(TableNumber=[1, 2, 3]), images_path)
    with pytest.raises(TableFileError, match=r"no row is of an image that images.csv lists \(6 rows"):
        read(tmp_path, "cells.csv", annotations=(read_annotation(images_path),))


@pytest.mark.parametrize("name", ["out.csv.gz", "out.csv", "out.parquet"])
def test_what_pycytominer_writes(tmp_path: Path, name: str) -> None:
    frame = wells().rename(columns=lambda column: column.replace("Image_Metadata", "Metadata"))
    frame = frame.assign(Metadata_pert_type="trt", Metadata_dose=0.5)
    kinds = {
        "out.csv.gz": ("csv", {"method": "gzip"}),
        "out.csv": ("csv", None),
        "out.parquet": ("parquet", None),
    }
    kind, compression = kinds[name]
    how = {} if kind == "parquet" else {"compression_options": compression}
    output(df=frame, output_filename=str(tmp_path / name), output_type=kind, **how)
    found = read(tmp_path, name)
    assert found.level == "well"
    assert found.table["Metadata_dose"].to_pylist() == ["0.5"] * 3
    np.testing.assert_allclose(found.table.to_pandas()[list(FEATURES)], frame[list(FEATURES)], rtol=1e-6)


def test_jump_profiles_with_categories(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "Metadata_Source": pd.Categorical(["source_4"] * 2),
            "Metadata_Plate": pd.Categorical(["BR001"] * 2),
            "Metadata_Well": pd.Categorical(["A01", "A02"]),
            "Metadata_JCP2022": pd.Categorical(["JCP2022_1", None]),
            "X_1": np.array([1, 2], np.float32),
            "X_2": [True, False],
        }
    )
    write(frame, tmp_path / "profiles/B1/BR001/BR001.parquet")
    found = read(tmp_path, "profiles")
    assert found.table.to_pylist() == [
        {
            "Metadata_Plate": "BR001",
            "Metadata_Well": "A01",
            "Metadata_Source": "source_4",
            "Metadata_JCP2022": "JCP2022_1",
            "X_1": 1.0,
            "X_2": 1.0,
        },
        {
            "Metadata_Plate": "BR001",
            "Metadata_Well": "A02",
            "Metadata_Source": "source_4",
            "Metadata_JCP2022": "",
            "X_1": 2.0,
            "X_2": 0.0,
        },
    ]


def test_jump_embeddings(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=(2, 16)).astype(np.float32)
    for place, (well, site) in enumerate([("A01", "1"), ("A01", "2")]):
        folder = tmp_path / f"embeddings/B1/P1/P1-{well}-{site}"
        folder.mkdir(parents=True)
        columns = {
            "source": ["s"],
            "plate": ["P1"],
            "well": [well],
            "site": [site],
            "all_emb": [numbers[place]],
        }
        pq.write_table(pa.table(columns), folder / "embedding.parquet")
    found = read(tmp_path, "embeddings/**/*.parquet")
    assert found.level == "site"
    assert found.table.column_names == [*KEY, "Metadata_source", *(f"all_emb_{place}" for place in range(16))]
    np.testing.assert_array_equal(found.table.to_pandas().iloc[:, 4:].to_numpy(), numbers)


def _npz(path: Path, plate: str, well: str, site: str, rows: int) -> np.ndarray:
    features = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
    metadata = {
        "Metadata_Plate": plate,
        "Metadata_Well": well,
        "Metadata_Site": site,
        "Compound": "x",
        "Metadata_Model": "cnn",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_legacy_npz(path, features, metadata, np.zeros((rows, 2)))
    return features


def test_npz_files_with_and_without_an_index(tmp_path: Path) -> None:
    made = [_npz(tmp_path / f"dp/P1/A01/{site}.npz", "P1", "A01", str(site), 2 + site) for site in (1, 2)]
    bare = read(tmp_path, "dp")
    assert (bare.level, bare.plates) == ("cell", ("P1",))
    assert "no image index" in bare.notes[0]
    assert bare.annotations["Metadata_Compound"].to_pylist() == ["x", "x"]
    table = CELL_FEATURES.enforce(bare.cell_features("P1").read())
    np.testing.assert_array_equal(table.to_pandas().iloc[:, 4:].to_numpy(), np.concatenate(made))
    assert table.column_names[4:] == [f"cnn_{place}" for place in range(4)]
    index = pd.DataFrame([["P1", "A01", "1", "P1/a.tif", "y"]], columns=[*KEY, "DNA", "Treatment"])
    write(index, tmp_path / "metadata/index.csv")
    indexed = read(tmp_path, "dp")
    assert indexed.annotations.to_pylist() == [
        {"Metadata_Plate": "P1", "Metadata_Well": "A01", "Metadata_Site": "1", "Metadata_Treatment": "y"}
    ]
    assert indexed.cell_features("P1").row_count() == 3
    assert indexed.dropped == {"files of sites that the index does not list": 1}


def test_npz_files_beside_tables(tmp_path: Path) -> None:
    _npz(tmp_path / "P1/A01/1.npz", "P1", "A01", "1", 2)
    write(wells(), tmp_path / "t.csv")
    with pytest.raises(TableFileError, match="both tables"):
        read(tmp_path, "t.csv", "P1")
    (tmp_path / "P1/A01/1.npz").write_bytes(b"PK nothing")
    with pytest.raises(StoreError, match="damaged"):
        read(tmp_path, "P1/**/*.npz")


def test_recorded_npz_files(shared: Path, tmp_path: Path) -> None:
    folder = shared / "reference/deepprofiler_outputs/bbbc021_week1_small/outputs/results/features"
    found = read(tmp_path, str(folder))
    assert found.plates == ("Week1_22123", "Week1_22141")
    assert len(found.annotations) == 12
    for plate in found.plates:
        rows = 0
        table = found.cell_features(plate).read().to_pandas()
        for path in (folder / plate).glob("*.npz"):
            well, site = path.stem.split("_")
            with np.load(path, allow_pickle=True) as recorded:
                of_site = table[(table["Metadata_Well"] == well) & (table["Metadata_Site"] == site)]
                np.testing.assert_array_equal(of_site.iloc[:, 4:].to_numpy(), recorded["features"])
                rows += len(of_site)
        assert rows == len(table)


def test_missing_values_of_wells(tmp_path: Path) -> None:
    frame = wells(names=("A01", "A02", "A03", "A04")).astype(dict.fromkeys(FEATURES, float))
    frame.loc[1, FEATURES[0]] = np.nan
    frame.loc[2, FEATURES[2]] = np.inf
    frame.loc[3, list(FEATURES)] = np.nan
    write(frame, tmp_path / "t.csv")
    found = read(tmp_path, "t.csv")
    assert found.table.column_names[2:] == [FEATURES[1]]
    assert found.dropped_features == (FEATURES[0], FEATURES[2])
    assert found.dropped == {"features with missing values": 2, "rows without any value": 1}
    rows = read(tmp_path, "t.csv", missing_values="drop_rows")
    assert rows.table["Metadata_Well"].to_pylist() == ["A01"]
    assert rows.dropped == {"rows with missing values": 2, "rows without any value": 1}
    with pytest.raises(TableFileError, match=rf"row 2, column {FEATURES[0]}: the value is missing"):
        read(tmp_path, "t.csv", missing_values="fail")
    write(frame.assign(**{FEATURES[1]: [np.nan, 1, 2, 3]}), tmp_path / "t.csv")
    with pytest.raises(TableFileError, match="every feature misses values"):
        read(tmp_path, "t.csv")
    with pytest.raises(TableFileError, match="every one of the 4 rows misses a value"):
        read(tmp_path, "t.csv", missing_values="drop_rows")


def test_wells_without_cells_do_not_take_the_features_with_them(tmp_path: Path) -> None:
    frame = wells(names=("A01", "A02", "A03")).astype(dict.fromkeys(FEATURES, float))
    frame = frame.assign(Cells_Neighbors_Count_5=0.0, Cells_Texture_Never=np.nan)
    frame.loc[1, list(FEATURES)] = np.nan
    write(frame, tmp_path / "t.csv")
    found = read(tmp_path, "t.csv")
    assert found.table["Metadata_Well"].to_pylist() == ["A01", "A03"]
    assert found.table.column_names[2:] == [*FEATURES, "Cells_Neighbors_Count_5"]
    assert found.annotations["Metadata_Well"].to_pylist() == ["A01", "A03"]
    assert found.dropped == {
        "features with missing values": 1,
        "rows that miss more than half of the features": 1,
    }
    with pytest.raises(TableFileError, match="the value is missing"):
        read(tmp_path, "t.csv", missing_values="fail")


def test_missing_values_of_cells(tmp_path: Path) -> None:
    frame = cells([(1, "A01", number) for number in range(1, 101)]).astype(dict.fromkeys(FEATURES, float))
    frame.loc[:49, FEATURES[0]] = np.nan
    frame.loc[:3, FEATURES[1]] = np.nan
    frame.loc[99, list(FEATURES)] = np.nan
    write(frame, tmp_path / "t.csv")
    found = read(tmp_path, "t.csv")
    # Half of the cells miss the first feature, 4 of 99 the second.
    table = found.cell_features("P1").read()
    assert table.column_names[4:] == list(FEATURES[1:])
    np.testing.assert_array_equal(
        table.to_pandas()[list(FEATURES[1:])], frame.loc[4:98, list(FEATURES[1:])].astype(np.float32)
    )
    assert found.dropped_features == (FEATURES[0],)
    assert found.dropped == {
        "columns of positions, counts and object numbers, which are no features": 3,
        "features with missing values": 1,
        "rows with missing values": 4,
        "rows without any value": 1,
    }
    assert read(tmp_path, "t.csv", missing_values="drop_rows").cell_features("P1").row_count() == 49
    with pytest.raises(TableFileError, match=rf"row 1, column {FEATURES[0]}"):
        read(tmp_path, "t.csv", missing_values="fail")


def test_wells_that_come_twice(tmp_path: Path) -> None:
    write(wells(), tmp_path / "a.csv")
    write(wells(names=("B01", "B02")), tmp_path / "b.csv")
    with pytest.raises(TableFileError, match=r"P1/B01 \(a.csv, row 3; b.csv, row 1\)"):
        read(tmp_path, "*.csv")


def test_files_with_different_features(tmp_path: Path) -> None:
    write(wells(("P1",)), tmp_path / "a.csv")
    other = wells(("P2",)).drop(columns=FEATURES[0]).assign(Cells_More=1.0)
    write(other[other.columns[::-1]], tmp_path / "b.csv")
    found = read(tmp_path, "*.csv")
    assert found.table.column_names[2:] == list(FEATURES[1:])
    assert found.dropped == {"features that are not in every file": 2}
    np.testing.assert_array_equal(
        found.table.to_pandas().loc[3:, list(FEATURES[1:])], other[list(FEATURES[1:])].to_numpy()
    )
    with pytest.raises(TableFileError, match=r"b.csv: its features differ from those of a.csv in 2 columns"):
        read(tmp_path, "*.csv", missing_values="fail")


def test_empty_names_and_empty_rows(tmp_path: Path) -> None:
    header = "Metadata_Plate,Metadata_Well,Cells_a,Cells_b\n"
    (tmp_path / "t.csv").write_text(header + "P1,A01,1,2\n,,,\nP1,A02,3,4\n")
    found = read(tmp_path, "t.csv")
    assert found.table["Metadata_Well"].to_pylist() == ["A01", "A02"]
    assert found.dropped == {"empty rows": 1}
    (tmp_path / "t.csv").write_text(header + "P1,A01,1,2\nP1,,3,4\n")
    with pytest.raises(TableFileError, match="row 2, column Metadata_Well: the well is empty"):
        read(tmp_path, "t.csv")
    (tmp_path / "t.csv").write_text(header + 'P1,A01,1,2\n"P1\n2",A02,3,4\n')
    with pytest.raises(
        TableFileError, match=r"row 2, column Metadata_Plate: the plate is 'P1\\n2', with a line break"
    ):
        read(tmp_path, "t.csv")
    (tmp_path / "t.csv").write_text(header)
    with pytest.raises(TableFileError, match="no rows with features"):
        read(tmp_path, "t.csv")


def test_a_value_that_is_no_number(tmp_path: Path) -> None:
    frame = wells().astype(object)
    frame.loc[2, FEATURES[1]] = "#REF!"
    write(frame, tmp_path / "t.csv")
    with pytest.raises(TableFileError) as caught:
        read(tmp_path, "t.csv")
    (problem,) = caught.value.problems
    assert problem.where == f"{tmp_path / 't.csv'}, line 4, column {FEATURES[1]}"
    assert "'#REF!'" in problem.what
    assert "features.feature_columns" in problem.remedy


def test_cell_counts_are_taken_over(tmp_path: Path) -> None:
    write(wells().assign(Image_Count_Nuclei=[10, 20, 30]), tmp_path / "t.csv")
    assert read(tmp_path, "t.csv").table["Metadata_Cell_Count"].to_pylist() == ["10", "20", "30"]


def test_hostile_names(tmp_path: Path) -> None:
    frame = wells(("../../P1",), ("A01", "A02")).rename(columns={FEATURES[0]: "Cells_a\nb\x1b[31m"})
    path = write(frame, tmp_path / "t.csv")
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    found = read(tmp_path, "t.csv.gz")
    assert found.plates == ("../../P1",)
    assert "Cells_a\nb\x1b[31m" in found.table.column_names
    with pytest.raises(TableFileError) as caught:
        read(tmp_path, "t.csv.gz", feature_columns="nothing")
    assert "\x1b" not in str(caught.value)
    order = [(1, "A01", 1), (1, "A01", 2)]
    write(cells(order, "../../P1"), tmp_path / "cells.csv")
    stored = read(tmp_path, "cells.csv").cell_features("../../P1")
    assert stored.path.is_relative_to(tmp_path)
    assert ".." not in stored.path.parts
