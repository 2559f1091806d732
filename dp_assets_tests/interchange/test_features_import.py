"""DeepProfiler's feature files as our tables: recorded files, round trips, and files that do not fit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dp_assets.config.errors import StoreError
from dp_assets.interchange import features_import
from dp_assets.interchange.features_export import FeatureExport, export_features
from dp_assets.interchange.features_import import ImportedPlate, import_plate
from dp_assets.interchange.legacy_folder import plan_import, read_legacy_features
from dp_assets.interchange.legacy_npz import write_legacy_npz
from dp_assets.storage.schemas import CELL_FEATURES, CELL_KEY, CELL_LOCATIONS
from dp_assets.storage.tables import read_provenance, read_table
from dp_assets_tests.interchange import made_features as made

KEY = list(CELL_KEY)
PLATES = ("Week1_22123", "Week1_22141")


def recorded_index(shared: Path) -> tuple[Path, pa.Table]:
    folder = shared / "reference/deepprofiler_outputs/bbbc021_week1_small"
    frame = pd.read_csv(folder / "derived/index_from_npz_metadata.csv", dtype=str, keep_default_na=False)
    return folder, pa.Table.from_pandas(frame, preserve_index=False)


def test_recorded_features(shared: Path, tmp_path: Path) -> None:
    folder, index = recorded_index(shared)
    features = folder / "outputs/results/features"
    plan = plan_import(features, index, workers=2)
    assert (plan.plates, plan.model, plan.dimension) == (list(PLATES), "cnn", 50)
    for plate in PLATES:
        done = import_plate(plan, plate, tmp_path, workers=2)
        table = read_table(tmp_path / f"cell_features/{plate}.parquet")
        places = read_table(tmp_path / f"cell_locations/{plate}.parquet")
        CELL_FEATURES.enforce(table)
        CELL_LOCATIONS.enforce(places)
        assert done.cells == len(table) == len(places)
        assert (done.sites, done.without_locations) == (6, ())
        cells = table.to_pandas().merge(places.to_pandas(), on=KEY, validate="one_to_one")
        names = [f"cnn_{number}" for number in range(50)]
        for path in sorted((features / plate).iterdir()):
            well, site = path.stem.split("_")
            rows = cells[(cells["Metadata_Well"] == well) & (cells["Metadata_Site"] == site)]
            with np.load(path, allow_pickle=True) as recorded:
                np.testing.assert_array_equal(rows[names].to_numpy(), recorded["features"])
                found = rows[["Nuclei_Location_Center_X", "Nuclei_Location_Center_Y"]].to_numpy()
                np.testing.assert_array_equal(found, recorded["locations"])
            assert rows["Metadata_Cell"].tolist() == [str(row) for row in range(len(rows))]


def test_recorded_sites_one_by_one(shared: Path) -> None:
    folder, index = recorded_index(shared)
    sites = list(read_legacy_features(folder / "outputs/results/features", index))
    assert len(sites) == 12
    assert [(s.plate, s.well, s.site) for s in sites[:2]] == [
        (PLATES[0], "B02", "s1"),
        (PLATES[0], "B02", "s2"),
    ]
    assert sites[0].features.shape == (206, 50)
    assert sites[0].locations is not None
    assert sites[0].metadata["compound"] == "DMSO"


def exported(tmp_path: Path, naming: str = "plate/well/site", *, text: bool = False) -> np.ndarray:
    stored, features = made.write_features(tmp_path / "features.parquet")
    plan = FeatureExport(made.PLATE, stored, made.locations(text=text), made.index(), naming)  # type: ignore[arg-type]
    export_features(plan, tmp_path / "npz", workers=1)
    return features


@pytest.mark.parametrize("naming", ["plate/well/site", "plate/well_site"])
@pytest.mark.parametrize("text", [False, True])
def test_what_was_exported_comes_back(tmp_path: Path, naming: str, text: bool) -> None:
    exported(tmp_path, naming, text=text)
    plan = plan_import(tmp_path / "npz", made.index(), workers=2)
    assert import_plate(plan, "P1", tmp_path / "in", workers=2) == ImportedPlate(8, 3, ())
    table = read_table(tmp_path / "in/cell_features/P1.parquet")
    assert table.equals(read_table(tmp_path / "features.parquet"))
    assert table.schema.equals(read_table(tmp_path / "features.parquet").schema)
    places = read_table(tmp_path / "in/cell_locations/P1.parquet")
    expected = made.locations(text=text)
    assert places.rename_columns(expected.column_names).equals(expected)
    facts = read_provenance(table.schema)
    assert facts["network"] == "cnn"
    assert facts["imported_from"] == str(tmp_path / "npz")
    assert facts["sites_without_cells"] == ["P1/B02/1"]
    again = import_plate(
        plan_import(tmp_path / "npz", made.index(), workers=1), "P1", tmp_path / "in2", workers=1
    )
    assert again.cells == 8
    other = read_provenance(read_table(tmp_path / "in2/cell_features/P1.parquet").schema)
    assert other["fingerprint"] == facts["fingerprint"]


def test_row_groups_end_with_a_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported(tmp_path)
    monkeypatch.setattr(features_import, "CELLS_PER_ROW_GROUP", 2)
    import_plate(plan_import(tmp_path / "npz", made.index(), workers=1), "P1", tmp_path / "in", workers=1)
    file = pq.ParquetFile(tmp_path / "in/cell_features/P1.parquet")
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [7, 1]


def test_sites_that_pandas_renamed(tmp_path: Path) -> None:
    """The index says 01, file and metadata say 1."""
    index = made.index({("A01", "01"): 2})
    metadata = {"Metadata_Plate": "P1", "Metadata_Well": "A01", "Metadata_Site": 1, "Metadata_Model": "dense"}
    write_legacy_npz(tmp_path / "npz/P1/A01/1.npz", made.values(2), metadata, np.array([[5, 6], [7, 8]]))  # type: ignore[arg-type]
    plan = plan_import(tmp_path / "npz", index, workers=1)
    import_plate(plan, "P1", tmp_path / "in", xy_columns=(1, 0), workers=1)
    table = read_table(tmp_path / "in/cell_features/P1.parquet")
    assert table["Metadata_Site"].to_pylist() == ["01", "01"]
    assert table.column_names[4] == "dense_0"
    places = read_table(tmp_path / "in/cell_locations/P1.parquet")
    assert places["Nuclei_Location_Center_X"].to_pylist() == [6.0, 8.0]
    assert places["Nuclei_Location_Center_Y"].to_pylist() == [5.0, 7.0]


def test_old_files_without_metadata_and_locations(tmp_path: Path) -> None:
    (tmp_path / "npz").mkdir()
    np.savez(tmp_path / "npz/P1_A01_1.npz", f=made.values(4))
    plan = plan_import(tmp_path / "npz", made.index(), workers=1)
    done = import_plate(plan, "P1", tmp_path / "in", workers=1)
    assert done == ImportedPlate(4, 1, ("P1/A01/1",))
    assert read_table(tmp_path / "in/cell_features/P1.parquet").column_names[4] == "DP_0"
    assert len(read_table(tmp_path / "in/cell_locations/P1.parquet")) == 0


def test_every_file_that_does_not_fit_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    exported(tmp_path)
    folder = tmp_path / "npz/P1"
    (folder / "A01/02.npz").write_bytes((folder / "A01/02.npz").read_bytes()[:200])
    (folder / "B02").mkdir()
    (folder / "B02/1.npz").write_bytes((folder / "A01/1.npz").read_bytes())
    write_legacy_npz(
        folder / "C03/1.npz", np.zeros((1, 7), np.float32), {"Metadata_Model": "cnn"}, np.zeros((1, 2))
    )
    with pytest.raises(StoreError) as caught:
        plan_import(tmp_path / "npz", made.index(), workers=2)
    told = {Path(p.where).relative_to(folder).as_posix(): p.what for p in caught.value.problems}
    assert set(told) == {"A01/02.npz", "B02/1.npz", "C03/1.npz"}
    assert "cut off or damaged" in told["A01/02.npz"]
    assert "of site P1/A01/1, its name that it is of P1/B02/1" in told["B02/1.npz"]
    assert "7 features of cnn; 1.npz of P1/A01/1 holds 5 of cnn" in told["C03/1.npz"]


def test_damage_found_while_reading_publishes_nothing(tmp_path: Path) -> None:
    exported(tmp_path)
    plan = plan_import(tmp_path / "npz", made.index(), workers=1)
    path = tmp_path / "npz/P1/C03/1.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match="C03"):
        import_plate(plan, "P1", tmp_path / "in", workers=1)
    assert not list((tmp_path / "in").rglob("*.parquet"))


def test_locations_that_cannot_be_used(tmp_path: Path) -> None:
    exported(tmp_path)
    path = tmp_path / "npz/P1/C03/1.npz"
    write_legacy_npz(path, made.values(1), {"Metadata_Model": "cnn"}, np.array([[np.nan, 1.0]]))
    done = import_plate(
        plan_import(tmp_path / "npz", made.index(), workers=1), "P1", tmp_path / "in", workers=1
    )
    assert done == ImportedPlate(8, 3, ("P1/C03/1",))
    assert len(read_table(tmp_path / "in/cell_locations/P1.parquet")) == 7


def test_a_column_that_is_text_at_one_site(tmp_path: Path) -> None:
    exported(tmp_path)
    mixed = np.array([[1.0, 2.0, "late"]], object)
    write_legacy_npz(tmp_path / "npz/P1/C03/1.npz", made.values(1), {"Metadata_Model": "cnn"}, mixed)
    import_plate(plan_import(tmp_path / "npz", made.index(), workers=1), "P1", tmp_path / "in", workers=1)
    column = read_table(tmp_path / "in/cell_locations/P1.parquet")["location_2"].to_pylist()
    assert column == ["0", "10", "20", "30", "40", "50", "60", "late"]
