"""`dp-assets export` and `dp-assets import`: results as DeepProfiler's files, and back into projects."""

import shutil
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from dagster import AssetKey, DagsterInstance

from dp_assets.orchestration.exporting import PublishedResults
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.tables import read_table
from dp_assets_tests.orchestration.materializing import Workshop, call, contents

FIRST, SECOND = "TINY00001", "TINY00002"


def cells_of(root: Path, *plates: str) -> int:
    return sum(len(read_table(root / f"outputs/metadata/cell_locations/{plate}.parquet")) for plate in plates)


def wells_of(root: Path) -> pd.DataFrame:
    paths = sorted((root / "outputs/cnn/well_profiles").glob("*.parquet"))
    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)


# features -----------------------------------------------------------------------------


def test_features_read_by_pycytominer_are_the_well_profiles(finished: Workshop) -> None:
    processing = pytest.importorskip("pycytominer.cyto_utils.DeepProfiler_processing")
    result = call(finished.root, "export", "features", "--experiment", "cnn")
    assert result.exit_code == 0, result.output
    folder = finished.root / "outputs/cnn/features_npz"
    assert f"{folder}: 8 files, {cells_of(finished.root, FIRST, SECOND)} cells" in result.output
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = processing.DeepProfilerData(
            finished.root / "inputs/metadata/index.csv", folder, filename_delimiter="/"
        )
        found = processing.AggregateDeepProfiler(data, "mean", "well").aggregate_deep()
    assert not [w for w in caught if issubclass(w.category, UserWarning)]
    key = ["Metadata_Plate", "Metadata_Well"]
    expected = wells_of(finished.root).set_index(key)
    names = [name for name in expected if not name.startswith("Metadata_")]
    found = found.set_index(key).loc[expected.index]
    np.testing.assert_allclose(found[names].to_numpy(float), expected[names], rtol=1e-5, atol=1e-6)
    assert list(found["Metadata_Treatment"]) == list(expected["Metadata_Treatment"])


def test_features_there_and_back(finished: Workshop, tmp_path: Path) -> None:
    output = tmp_path / "npz"
    options = ("--plates", SECOND, "--output", str(output), "--naming", "plate/well_site")
    assert call(finished.root, "export", "features", "--experiment", "cnn", *options).exit_code == 0
    assert sorted(path.name for path in output.rglob("*.npz")) == [f"A0{n}_1.npz" for n in (1, 2, 3, 4)]
    again = call(finished.root, "export", "features", "--experiment", "cnn", *options)
    assert f"4 files, {cells_of(finished.root, SECOND)} cells (unchanged)" in again.output
    (output / "P9").mkdir()
    shutil.copy(output / SECOND / "A01_1.npz", output / "P9" / "A01_1.npz")
    result = call(finished.root, "import", "features", str(output), "--experiment", "From-elsewhere")
    assert result.exit_code == 0, result.output
    assert "1 files of sites that the index does not list" in result.output
    folder = finished.root / "outputs/from_elsewhere/imported_features"
    table = read_table(folder / f"cell_features/{SECOND}.parquet")
    assert table.equals(read_table(finished.root / f"outputs/cnn/features/{SECOND}.parquet"))
    places = read_table(folder / f"cell_locations/{SECOND}.parquet").select([*range(6)])
    expected = read_table(finished.root / f"outputs/metadata/cell_locations/{SECOND}.parquet").select(
        [*range(6)]
    )
    assert places.equals(expected)


def test_views_of_whole_images_have_the_grid_as_locations(finished: Workshop) -> None:
    finished.configure(lambda data: data["dataset"]["locations"].update(mode="full_image", view_size=64))
    plan = PublishedResults(finished.root).feature_export("cnn", FIRST, "plate/well/site")
    site = plan.locations.to_pandas().query("Metadata_Well == 'A02'")
    assert site["Metadata_Cell"].tolist() == ["0", "1", "2", "3"]
    assert site["Nuclei_Location_Center_X"].tolist() == [32.0, 96.0, 32.0, 96.0]
    assert site["Nuclei_Location_Center_Y"].tolist() == [32.0, 32.0, 96.0, 96.0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("features", "--experiment", "other"), "other/cell_features is not there"),
        (
            ("features", "--experiment", "cnn", "--plates", "P9"),
            f"for P9; plates that have it: {FIRST}, {SECOND}",
        ),
        (("crops", "--set", "box99"), "single_cells/box99 is not there"),
        (("crops", "--set", "box32", "--label", "Drug"), "no column Drug"),
        (("checkpoint", "--experiment", "other", "--output", "x.hdf5"), "experiment other has no model"),
    ],
)
def test_exports_of_what_is_not_there(finished: Workshop, arguments: tuple[str, ...], said: str) -> None:
    before = contents(finished.root / "outputs")
    result = call(finished.root, "export", *arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "->" in result.stderr
    assert contents(finished.root / "outputs") == before


def test_imports_of_what_cannot_be_used(finished: Workshop, tmp_path: Path) -> None:
    for arguments, said in (
        (("features", str(tmp_path), "--experiment", "x"), "no feature file of a site of the index"),
        (("features", str(tmp_path), "--experiment", "metadata"), "reserved for shared results"),
        (("crops", str(tmp_path), "--set", "a-b"), "no name for a set"),
        (("crops", str(tmp_path), "--set", "box32"), "there is no sc-metadata.csv"),
    ):
        result = call(finished.root, "import", *arguments)
        assert result.exit_code == 1
        assert said in result.stderr


# crops --------------------------------------------------------------------------------


def test_crops_train_in_a_project_without_images(finished: Workshop, tmp_path: Path) -> None:
    """A lab's exported dataset, an index and a configuration are all that training needs."""
    first, both = cells_of(finished.root, FIRST), cells_of(finished.root, FIRST, SECOND)
    assert call(finished.root, "export", "crops", "--set", "box32", "--plates", FIRST).exit_code == 0
    result = call(finished.root, "export", "crops", "--set", "box32")
    assert result.exit_code == 0, result.output
    assert f"✓ {FIRST}: {first} cells (unchanged)" in result.output
    dataset = finished.root / "outputs/single_cells_png/box32"
    assert f"{dataset}: sc-metadata.csv lists {both} cells in 2 classes" in result.output
    listed = pd.read_csv(dataset / "sc-metadata.csv", dtype=str)
    assert all((dataset / name).exists() for name in listed["Image_Name"])

    lab = project_with_imported_crops(finished, tmp_path / "lab")
    refused = call(lab.root, "import", "crops", str(dataset), "--set", "lab_crops")
    assert refused.exit_code == 1
    assert "cut in another way than those of the dataset" in refused.stderr
    lab.configure(lambda data: data["single_cells"].update(sampling="exact", margin=0))
    for note in ("", " (unchanged)"):
        result = call(lab.root, "import", "crops", str(dataset), "--set", "lab_crops")
        assert result.exit_code == 0, result.output
        assert f"✓ {SECOND}: {both - first} cells{note}\n" in result.output
    stores = {
        plate: CropStore.open(lab.root / f"outputs/single_cells/lab_crops/{plate}")
        for plate in (FIRST, SECOND)
    }
    require_events(lab, stores)

    result = call(lab.root, "run", "train")
    assert result.exit_code == 0, result.output
    members = read_table(lab.root / "outputs/cnn/training_set.parquet")
    assert len(members) == both
    there = read_table(finished.root / "outputs/cnn/training_set.parquet")
    for name in ("Metadata_Well", "Metadata_Cell", "target", "split", "store_row"):
        assert members[name].to_pylist() == there[name].to_pylist()
    assert (lab.root / "outputs/cnn/trained_model/model.keras").exists()


def project_with_imported_crops(finished: Workshop, root: Path) -> Workshop:
    """A project with the same index and experiment, but no images and nothing made."""
    shutil.copytree(finished.root / "inputs/config", root / "inputs/config")
    shutil.copytree(finished.root / "inputs/metadata", root / "inputs/metadata")
    lab = Workshop(root)

    def change(data: dict) -> None:
        data.pop("prepare", None)
        data["single_cells"] = {"name": "lab_crops"}

    lab.configure(change)
    return lab


def require_events(lab: Workshop, stores: dict[str, CropStore]) -> None:
    """The project's Dagster instance knows the imported crops and their versions."""
    with DagsterInstance.from_config(str(lab.root / ".dagster")) as instance:
        key = AssetKey(["single_cells", "lab_crops"])
        found = [record.asset_materialization for record in instance.fetch_materializations(key, 10).records]
    versions = {event.partition: event.tags["dagster/data_version"] for event in found if event is not None}
    assert len(found) == 2
    assert versions == {plate: store.fingerprint for plate, store in stores.items()}


# checkpoint ---------------------------------------------------------------------------


def test_a_checkpoint_for_deepprofiler(
    finished: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command asks for the CPU; this process has its devices already.
    monkeypatch.setattr("dp_assets.networks.accelerator.configure_accelerator", lambda _: None)
    output = tmp_path / "given" / "cnn.hdf5"
    command = ("export", "checkpoint", "--experiment", "cnn", "--output", str(output))
    result = call(finished.root, *command, "--epoch", "1")
    assert result.exit_code == 0, result.output
    assert f"wrote {output}" in result.output
    from dp_assets.training.model_loading import load_trained_network

    network = load_trained_network(finished.root / "outputs/cnn/trained_model", "checkpoint_0001")
    kernel, bias = network.get_layer("features").get_weights()
    found: dict[tuple[int, ...], np.ndarray] = {}
    with h5py.File(output) as file:
        file["features"].visititems(
            lambda _, item: found.update({item.shape: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    np.testing.assert_array_equal(found[kernel.shape], kernel)
    np.testing.assert_array_equal(found[bias.shape], bias)
    result = call(finished.root, *command, "--epoch", "7")
    assert result.exit_code == 1
    assert "checkpoint_0007" in result.stderr


def test_some_plates_and_other_columns(finished: Workshop, tmp_path: Path) -> None:
    source, target = str(tmp_path / "npz"), tmp_path / "in"
    call(finished.root, "export", "features", "--experiment", "cnn", "--output", source)
    options = ("--output", str(target), "--plates", FIRST, "--xy", "1", "0")
    result = call(finished.root, "import", "features", source, "--experiment", "back", *options)
    assert result.exit_code == 0, result.output
    assert [path.stem for path in (target / "cell_features").iterdir()] == [FIRST]
    swapped = read_table(target / f"cell_locations/{FIRST}.parquet")
    original = read_table(finished.root / f"outputs/metadata/cell_locations/{FIRST}.parquet")
    assert swapped["Nuclei_Location_Center_X"].equals(original["Nuclei_Location_Center_Y"])
