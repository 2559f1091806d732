"""Features as npz files: every value where DeepProfiler puts it, and what running it again changes."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dp_assets.config.errors import StoreError
from dp_assets.interchange.features_export import ExportedFeatures, FeatureExport, export_features
from dp_assets_tests.interchange import made_features as made
from dp_assets_tests.orchestration.materializing import contents


def plan(tmp_path: Path, **changes: Any) -> FeatureExport:
    features = changes.pop("features", None) or made.write_features(tmp_path / "features.parquet")[0]
    facts = {"locations": made.locations(), "index": made.index(), **changes}
    return FeatureExport(made.PLATE, features, **facts)


def read(path: Path) -> tuple[np.ndarray, dict, np.ndarray]:
    with np.load(path, allow_pickle=True) as stored:
        return stored["features"], stored["metadata"].item(), stored["locations"]


@pytest.mark.parametrize("groups", [(100,), (1,), (2,), (5, 1)])
@pytest.mark.parametrize("workers", [1, 3])
def test_every_site_has_its_cells(tmp_path: Path, groups: tuple[int, ...], workers: int) -> None:
    stored, features = made.write_features(tmp_path / "features.parquet", groups=groups)
    seen: list[tuple[int, int]] = []
    done = export_features(
        plan(tmp_path, features=stored),
        tmp_path / "npz",
        workers=workers,
        progress=lambda *now: seen.append(now),
    )
    assert done == ExportedFeatures(files=3, cells=8, sites_without_cells=1, kept=False)
    assert seen[-1] == (4, 4)
    files = sorted(path.relative_to(tmp_path / "npz").as_posix() for path in tmp_path.rglob("*.npz"))
    assert files == ["P1/A01/02.npz", "P1/A01/1.npz", "P1/C03/1.npz"]
    where = made.locations().select(["Nuclei_Location_Center_X", "Nuclei_Location_Center_Y", "Area"])
    places = np.stack([column.to_numpy() for column in where.columns], axis=1)
    for name, rows, well, site in (
        (files[0], slice(4, 7), "A01", "02"),
        (files[1], slice(0, 4), "A01", "1"),
        (files[2], slice(7, 8), "C03", "1"),
    ):
        found, metadata, locations = read(tmp_path / "npz" / name)
        np.testing.assert_array_equal(found, features[rows])
        np.testing.assert_array_equal(locations, places[rows])
        assert (found.dtype, locations.dtype) == (np.float32, np.float64)
        assert metadata == {
            "Metadata_Plate": "P1",
            "Metadata_Well": well,
            "Metadata_Site": site,
            "DNA": f"P1/{well}_{site}.tif",
            "Treatment": "drug" if well == "A01" else "DMSO",
            "Dose": "0.50",
            "Metadata_Model": "cnn",
        }


def test_locations_with_text_are_objects(tmp_path: Path) -> None:
    export_features(plan(tmp_path, locations=made.locations(text=True)), tmp_path / "npz", workers=1)
    *_, locations = read(tmp_path / "npz/P1/A01/02.npz")
    assert locations.dtype == object
    assert locations.tolist() == [[6.0, 96.0, 40.0, "G1"], [7.5, 95.0, 50.0, "G2"], [9.0, 94.0, 60.0, "G0"]]


def test_locations_follow_the_names_of_cells(tmp_path: Path) -> None:
    table = made.locations()
    shuffled = table.take([3, 1, 0, 2, 4, 5, 6, 7])
    export_features(plan(tmp_path, locations=shuffled), tmp_path / "npz", workers=1)
    *_, locations = read(tmp_path / "npz/P1/A01/1.npz")
    np.testing.assert_array_equal(locations[:, 0], [0, 1.5, 3, 4.5])


def test_the_other_naming(tmp_path: Path) -> None:
    export_features(plan(tmp_path, naming="plate/well_site"), tmp_path / "npz", workers=1)
    assert (tmp_path / "npz/P1/A01_02.npz").exists()
    odd = {("A01", "s_1"): 2}
    stored, _ = made.write_features(tmp_path / "odd.parquet", odd)
    names = {"features": stored, "locations": made.locations(odd), "index": made.index(odd)}
    with pytest.raises(StoreError, match="A01_s_1") as caught:
        export_features(plan(tmp_path, naming="plate/well_site", **names), tmp_path / "odd", workers=1)
    assert "--naming plate/well/site" in str(caught.value)
    assert not (tmp_path / "odd").exists()
    assert export_features(plan(tmp_path, **names), tmp_path / "odd", workers=1).files == 1


def test_running_again(tmp_path: Path) -> None:
    folder = tmp_path / "npz"
    export_features(plan(tmp_path), folder, workers=1)
    before = contents(folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}
    assert export_features(plan(tmp_path), folder, workers=1) == ExportedFeatures(3, 8, 1, kept=True)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")} == times

    (folder / "P1/A01/02.npz").unlink()
    assert not export_features(plan(tmp_path), folder, workers=1).kept
    assert contents(folder) == before

    assert not export_features(plan(tmp_path, index=made.index(treatment="other")), folder, workers=1).kept
    assert read(folder / "P1/A01/1.npz")[1]["Treatment"] == "other"


def test_files_of_sites_that_lost_their_cells_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "npz"
    export_features(plan(tmp_path), folder, workers=1)
    (folder / "P1/mine.txt").write_text("kept")
    fewer = {**made.SITES, ("C03", "1"): 0}
    stored, _ = made.write_features(tmp_path / "fewer.parquet", fewer, fingerprint="two")
    done = export_features(plan(tmp_path, features=stored), folder, workers=1)
    assert done == ExportedFeatures(files=2, cells=7, sites_without_cells=2, kept=False, removed=1)
    assert not (folder / "P1/C03/1.npz").exists()
    assert (folder / "P1/mine.txt").exists()
    renamed = export_features(plan(tmp_path, features=stored, naming="plate/well_site"), folder, workers=1)
    assert renamed.removed == 2
    assert sorted(path.name for path in folder.rglob("*.npz")) == ["A01_02.npz", "A01_1.npz"]


def test_a_killed_export_is_not_taken_for_finished(tmp_path: Path) -> None:
    folder = tmp_path / "npz"

    class KilledError(Exception):
        pass

    def kill(done: int, total: int) -> None:
        raise KilledError

    export_features(plan(tmp_path), folder, workers=1)
    changed = plan(tmp_path, index=made.index(treatment="other"))
    with pytest.raises(KilledError):
        export_features(changed, folder, workers=1, progress=kill)
    assert not list(folder.rglob("*.tmp"))
    assert not export_features(plan(tmp_path), folder, workers=1).kept
    assert read(folder / "P1/A01/1.npz")[1]["Treatment"] == "drug"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"locations": made.locations().slice(1)}, "cell 0 of A01/1 has features, but no location"),
        ({"index": made.index().slice(1)}, "A01/1 has features, but the image index does not list it"),
    ],
)
def test_tables_of_other_cells(tmp_path: Path, changes: dict, what: str) -> None:
    with pytest.raises(StoreError, match=what) as caught:
        export_features(plan(tmp_path, **changes), tmp_path / "npz", workers=2)
    assert "materialize cell_locations and cell_features" in str(caught.value)


@pytest.mark.parametrize("naming", ["plate/well/site", "plate/well_site"])
def test_pycytominer_aggregates_them_to_our_profiles(tmp_path: Path, naming: Any) -> None:
    processing = pytest.importorskip("pycytominer.cyto_utils.DeepProfiler_processing")
    stored, features = made.write_features(tmp_path / "features.parquet")
    export_features(plan(tmp_path, features=stored, naming=naming), tmp_path / "npz", workers=2)
    made.index().to_pandas().to_csv(tmp_path / "index.csv", index=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = processing.DeepProfilerData(
            tmp_path / "index.csv", tmp_path / "npz", filename_delimiter="/" if "/site" in naming else "_"
        )
        found = {
            method: processing.AggregateDeepProfiler(data, method, "well").aggregate_deep()
            for method in ("mean", "median")
        }
        cells = processing.SingleCellDeepProfiler(data).get_single_cells(output=True)
    # The site without cells has no file, as with DeepProfiler; other warnings are pycytominer's of itself.
    told = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    assert len(told) == 3
    assert all("B02" in text for text in told)
    names = [f"cnn_{number}" for number in range(made.DIMENSION)]
    wells = np.array([well for (well, _), count in made.SITES.items() for _ in range(count)])
    for method, frame in found.items():
        expected = pd.DataFrame(features, columns=names).groupby(wells).agg(method)
        frame = frame.set_index("Metadata_Well")
        assert list(frame.index) == ["A01", "C03"]
        np.testing.assert_allclose(frame[names].to_numpy(float), expected.to_numpy(float), rtol=1e-5)
        assert list(frame["Metadata_Treatment"]) == ["drug", "DMSO"]
    np.testing.assert_array_equal(cells[names].to_numpy(), features)
    np.testing.assert_array_equal(cells["Location_Center_X"], np.arange(8) * 1.5)
    np.testing.assert_array_equal(cells["Location_Center_Y"], 100 - np.arange(8))
