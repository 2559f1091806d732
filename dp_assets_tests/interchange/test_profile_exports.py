"""Profiles in the formats of other programs, read back by those programs."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dp_assets.config.errors import ProjectError
from dp_assets.interchange.profile_export_gct import export_gct
from dp_assets.interchange.profile_export_h5ad import export_h5ad, row_names
from dp_assets.interchange.profile_export_jump import export_jump
from dp_assets.interchange.profile_export_table import export_csv, export_parquet
from dp_assets.storage.schemas import SCHEMAS
from dp_assets_tests.interchange.made_profiles import PLATES, WELLS, made_treatments, made_wells

FEATURES = [f"cnn_{number}" for number in range(8)]
ONE_FILE: dict[str, Callable[..., Path]] = {
    "a.csv": export_csv,
    "a.csv.gz": export_csv,
    "a.parquet": export_parquet,
    "a.h5ad": export_h5ad,
    "a.gct": export_gct,
}


def values_of(table: pa.Table) -> np.ndarray:
    return table.select(FEATURES).to_pandas().to_numpy()


def metadata_of(table: pa.Table) -> pd.DataFrame:
    return table.drop_columns(FEATURES).to_pandas()


def test_the_made_tables_are_those_of_the_project() -> None:
    assert SCHEMAS["profiles"].problems(made_wells()) == ()
    assert SCHEMAS["treatment_profiles"].problems(made_treatments()) == ()


# every format -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ONE_FILE)
def test_what_is_there_is_overwritten_only_when_asked(tmp_path: Path, name: str) -> None:
    path = tmp_path / "further" / name
    path.parent.mkdir()
    path.write_bytes(b"mine")
    with pytest.raises(ProjectError, match=r"there already\n.*--force"):
        ONE_FILE[name](made_wells(), path)
    assert path.read_bytes() == b"mine"
    ONE_FILE[name](made_wells(), path, overwrite=True)
    assert path.stat().st_size > 500
    assert list(path.parent.iterdir()) == [path], "nothing is left beside the file"


# pyarrow takes its own tables only, so its file cannot be made to fail like this
@pytest.mark.parametrize("name", [name for name in ONE_FILE if not name.endswith("parquet")])
def test_a_file_that_fails_is_not_there(tmp_path: Path, name: str) -> None:
    class BrokenError(Exception):
        pass

    class Broken:
        def __init__(self, table: pa.Table) -> None:
            self._table = table

        def to_pandas(self) -> pd.DataFrame:
            raise BrokenError

        def __getattr__(self, name: str) -> object:
            return getattr(self._table, name)

        def __getitem__(self, name: str) -> object:
            if name == FEATURES[-1]:
                raise BrokenError
            return self._table[name]

    with pytest.raises(BrokenError):
        ONE_FILE[name](Broken(made_wells()), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# JUMP ---------------------------------------------------------------------------------


def test_jump_files_lie_by_batch_and_plate_and_hold_what_they_should(tmp_path: Path) -> None:
    table = made_wells()
    written = export_jump(table, tmp_path, source="source_4", with_csv=True)
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        f"profiles/{batch}/{plate}/{plate}{ending}"
        for batch, plate in (("Week1", "Week1_1"), ("Week2", "Week2_1"))
        for ending in (".parquet", ".csv.gz")
    ]
    for number, plate in enumerate(PLATES):
        frame = pd.read_parquet(written[2 * number])
        metadata = [name for name in frame if name.startswith("Meta")]
        assert metadata[:4] == [
            "Metadata_Source",
            "Metadata_Plate",
            "Metadata_Well",
            "Metadata_pert_type",
        ]
        assert list(frame.columns) == metadata + FEATURES
        assert all(isinstance(kind, pd.CategoricalDtype) for kind in frame[metadata].dtypes)
        assert set(frame[FEATURES].dtypes) == {np.dtype(np.float32)}
        assert set(frame["Metadata_Source"]) == {"source_4"}
        assert set(frame["Metadata_Plate"]) == {plate}
        assert list(frame["Metadata_Well"]) == list(WELLS)
        assert list(frame["Metadata_pert_type"]) == ["negcon"] * 2 + ["trt"] * 4
        rows = slice(number * len(WELLS), (number + 1) * len(WELLS))
        np.testing.assert_array_equal(frame[FEATURES].to_numpy(), values_of(table)[rows])
        assert list(frame["Metadata_MOA"]) == metadata_of(table)["Metadata_MOA"][rows].tolist()


def test_pycytominer_reads_jump_files(tmp_path: Path) -> None:
    load = pytest.importorskip("pycytominer.cyto_utils.load")
    parquet, text = export_jump(made_wells(), tmp_path, with_csv=True)[:2]
    expected = made_wells().to_pandas()[: len(WELLS)]
    for path, tolerance in ((parquet, 0.0), (text, 5e-5)):
        frame = load.load_profiles(path)
        assert set(frame["Metadata_Source"]) == {"dp_assets"}
        assert [name for name in frame if not name.startswith("Meta")] == FEATURES
        np.testing.assert_allclose(frame[FEATURES], expected[FEATURES], rtol=tolerance)


def test_numbers_of_jump_text_have_five_digits(tmp_path: Path) -> None:
    table = made_wells()
    path = export_jump(table, tmp_path, with_csv=True)[1]
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["cnn_0"] for row in rows] == [f"{value:.5g}" for value in values_of(table)[: len(WELLS), 0]]


def test_jump_keeps_what_the_table_says_itself(tmp_path: Path) -> None:
    said = {"Metadata_Source": "source_9", "Metadata_pert_type": "poscon", "Metadata_JCP2022": "JCP_1"}
    table = made_wells()
    for name, value in said.items():
        table = table.append_column(name, pa.array([value] * len(table), pa.string()))
    table = table.append_column("Location_Center_X", pa.array(np.zeros(len(table), np.float32)))
    frame = pd.read_parquet(export_jump(table, tmp_path)[0])
    assert {name: frame[name].unique().tolist() for name in said} == {k: [v] for k, v in said.items()}
    assert "Location_Center_X" not in frame
    frame = pd.read_parquet(export_jump(table, tmp_path, source="mine", overwrite=True)[0])
    assert set(frame["Metadata_Source"]) == {"mine"}


def test_jump_overwrites_all_or_nothing(tmp_path: Path) -> None:
    first, second = export_jump(made_wells(), tmp_path)
    first.unlink()
    second.write_bytes(b"mine")
    with pytest.raises(ProjectError, match=rf"{PLATES[1]}\.parquet: the file is there already"):
        export_jump(made_wells(), tmp_path)
    assert not first.exists()
    assert second.read_bytes() == b"mine"


def test_jump_is_for_wells(tmp_path: Path) -> None:
    sites = made_wells().append_column("Metadata_Site", pa.array(["1"] * 12, pa.string()))
    for table in (made_treatments(), sites):
        with pytest.raises(ProjectError, match="profiles of wells"):
            export_jump(table, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_names_of_plates_and_batches_stay_inside_the_folder(tmp_path: Path) -> None:
    table = made_wells()
    batch = table.column_names.index("Metadata_Batch")
    outside = table.set_column(batch, "Metadata_Batch", pa.array(["../../up"] * 12, pa.string()))
    written = export_jump(outside, tmp_path / "out")
    assert {path.parents[1].name for path in written} == {"__.._up"}
    assert all(path.resolve().is_relative_to(tmp_path / "out") for path in written)
    assert set(pd.read_parquet(written[0])["Metadata_Batch"]) == {"../../up"}
    alike = ["a/b", "a_b"] * 6
    doubled = table.set_column(0, "Metadata_Plate", pa.array(["P"] * 12, pa.string())).set_column(
        batch, "Metadata_Batch", pa.array(alike, pa.string())
    )
    with pytest.raises(ProjectError, match="two plates would have this place"):
        export_jump(doubled, tmp_path / "two")


# one file -----------------------------------------------------------------------------


@pytest.mark.parametrize("table", [made_wells(), made_treatments()], ids=["wells", "treatments"])
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_text_holds_every_digit(tmp_path: Path, table: pa.Table, ending: str) -> None:
    path = export_csv(table, tmp_path / f"a.{ending}")
    frame = pd.read_csv(path, dtype=dict.fromkeys(metadata_of(table), str), keep_default_na=False)
    pd.testing.assert_frame_equal(frame[list(metadata_of(table))], metadata_of(table))
    np.testing.assert_array_equal(frame[FEATURES].to_numpy(np.float32), values_of(table))
    first = path.read_bytes()
    assert export_csv(table, path, overwrite=True).read_bytes() == first


def test_parquet_is_the_table(tmp_path: Path) -> None:
    assert pq.read_table(export_parquet(made_wells(), tmp_path / "a.parquet")).equals(made_wells())


# AnnData ------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [made_wells(), made_treatments()], ids=["wells", "treatments"])
def test_h5ad_has_features_only_in_x(tmp_path: Path, table: pa.Table) -> None:
    anndata = pytest.importorskip("anndata")
    data = anndata.read_h5ad(export_h5ad(table, tmp_path / "a.h5ad"))
    assert data.X.dtype == np.float32
    np.testing.assert_array_equal(data.X, values_of(table))
    assert list(data.var_names) == FEATURES
    assert data.obs_names.is_unique
    expected = metadata_of(table)
    assert list(data.obs.columns) == list(expected.columns)
    for name in expected:
        assert isinstance(data.obs[name].dtype, pd.CategoricalDtype), name
        assert data.obs[name].tolist() == expected[name].tolist()


def test_h5ad_works_as_scanpy_uses_it(tmp_path: Path) -> None:
    """Subsets, views, groups, new columns and writing again; what scanpy does is done on these."""
    anndata = pytest.importorskip("anndata")
    table = made_wells()
    data = anndata.read_h5ad(export_h5ad(table, tmp_path / "a.h5ad"))
    plate = data[data.obs["Metadata_Plate"] == PLATES[1], FEATURES[:3]].copy()
    assert plate.shape == (len(WELLS), 3)
    assert list(plate.obs_names) == [f"{PLATES[1]}_{well}" for well in WELLS]
    means = data.to_df().groupby(data.obs["Metadata_Compound"], observed=True).mean()
    expected = table.to_pandas().groupby("Metadata_Compound")[FEATURES].mean()
    np.testing.assert_allclose(means.loc[expected.index].to_numpy(), expected.to_numpy(), rtol=1e-5)
    data.obsm["X_umap"] = np.zeros((data.n_obs, 2), np.float32)
    data.obs["score"] = 1.0
    joined = anndata.concat({"a": plate, "b": data[:2, FEATURES[:3]]}, label="part", index_unique="-")
    assert joined.shape == (len(WELLS) + 2, 3)


def test_missing_metadata_stay_missing(tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    table = made_wells().append_column("Metadata_Note", pa.array(["a", None] * 6, pa.string()))
    data = anndata.read_h5ad(export_h5ad(table, tmp_path / "a.h5ad"))
    assert data.obs["Metadata_Note"].isna().tolist() == [False, True] * 6


def test_rows_are_named_by_what_they_are() -> None:
    wells = made_wells()
    assert row_names(wells)[:2] == [f"{PLATES[0]}_A01", f"{PLATES[0]}_A02"]
    assert row_names(made_treatments()) == ["taxol@1", "ALLN@1"]
    sites = wells.append_column("Metadata_Site", pa.array(["s1"] * 12, pa.string()))
    assert row_names(sites)[0] == f"{PLATES[0]}_A01_s1"
    assert len(set(row_names(pa.concat_tables([wells, wells])))) == 24


# GCT ----------------------------------------------------------------------------------


def read_gct(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Metadata (rows: profiles) and features (rows: profiles) of a GCT 1.3 file, by its description."""
    with path.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream, delimiter="\t"))
    assert lines[0] == ["#1.3"]
    rows, columns, row_fields, column_fields = map(int, lines[1])
    body = lines[2:]
    assert len(body) == 1 + column_fields + rows
    assert {len(line) for line in body} == {1 + row_fields + columns}
    start = 1 + row_fields
    names = body[0][start:]
    described = {line[0]: line[start:] for line in body[1 : 1 + column_fields]}
    values = {line[0]: [float(text) for text in line[start:]] for line in body[1 + column_fields :]}
    return pd.DataFrame(described, index=names), pd.DataFrame(values, index=names)


@pytest.mark.parametrize("table", [made_wells(), made_treatments()], ids=["wells", "treatments"])
def test_gct_read_by_its_description_is_the_table(tmp_path: Path, table: pa.Table) -> None:
    pytest.importorskip("pycytominer")
    metadata, features = read_gct(export_gct(table, tmp_path / "a.gct"))
    expected = metadata_of(table)
    assert metadata.index.is_unique
    assert list(metadata.columns) == [name.removeprefix("Metadata_") for name in expected]
    for name in expected:
        assert metadata[name.removeprefix("Metadata_")].tolist() == expected[name].tolist()
    assert list(features.columns) == FEATURES
    np.testing.assert_array_equal(features.to_numpy(np.float32), values_of(table))


def test_gct_refuses_what_would_break_its_lines(tmp_path: Path) -> None:
    table = made_wells().append_column("Metadata_Note", pa.array(["a\tb"] * 12, pa.string()))
    with pytest.raises(ProjectError, match=r"Metadata_Note is 'a\\tb'"):
        export_gct(table, tmp_path / "a.gct")
    assert list(tmp_path.iterdir()) == []
