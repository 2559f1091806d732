"""Profiles go straight into the programs that people use next: the real pycytominer, copairs, anndata."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dp_assets_tests.orchestration.materializing import INDEX, Workshop, call

pycytominer = pytest.importorskip("pycytominer")
copairs_map = pytest.importorskip("copairs.map")


@pytest.fixture(scope="module")
def profiles(finished_template: Path) -> pd.DataFrame:
    """The well profiles of both plates as pandas reads them."""
    paths = sorted((finished_template / "outputs" / "cnn" / "well_profiles").glob("*.parquet"))
    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)


def features_of(profiles: pd.DataFrame) -> list[str]:
    """Everything that is not metadata is a feature: the whole convention."""
    return [name for name in profiles.columns if not name.startswith("Metadata_")]


def test_metadata_are_strings_and_features_float32(profiles: pd.DataFrame) -> None:
    features = features_of(profiles)
    assert features[:2] == ["cnn_0", "cnn_1"]
    assert set(profiles[features].dtypes) == {np.dtype(np.float32)}
    metadata = profiles.drop(columns=features)
    assert all(pd.api.types.is_string_dtype(kind) for kind in metadata.dtypes)
    assert {"Metadata_Plate", "Metadata_Well", "Metadata_Treatment"} <= set(metadata.columns)


def test_pycytominer_normalizes_selects_and_aggregates(profiles: pd.DataFrame) -> None:
    features = features_of(profiles)
    normalized = pycytominer.normalize(
        profiles,
        features=features,
        meta_features=[name for name in profiles.columns if name.startswith("Metadata_")],
        samples="Metadata_Treatment == 'DMSO'",
        method="standardize",
    )
    controls = normalized.loc[normalized["Metadata_Treatment"] == "DMSO", features]
    alive = controls.std(ddof=0) > 0
    assert alive.sum() > 10
    np.testing.assert_allclose(controls.mean(), 0, atol=1e-4)
    np.testing.assert_allclose(controls.loc[:, alive].std(ddof=0), 1, atol=1e-3)

    selected = pycytominer.feature_select(
        normalized, features=features, operation=["variance_threshold", "drop_na_columns"]
    )
    assert 0 < len(features_of(selected)) <= len(features)
    assert len(selected) == len(profiles)

    consensus = pycytominer.aggregate(
        selected, strata=["Metadata_Treatment"], features=features_of(selected), operation="median"
    )
    assert set(consensus["Metadata_Treatment"]) == set(profiles["Metadata_Treatment"])
    expected = selected.groupby("Metadata_Treatment")[features_of(selected)].median()
    found = consensus.set_index("Metadata_Treatment").loc[expected.index, features_of(selected)]
    np.testing.assert_allclose(found.to_numpy(float), expected.to_numpy(float), rtol=1e-5)


def test_pycytominer_reads_the_file_itself(finished_template: Path) -> None:
    path = finished_template / "outputs" / "cnn" / "well_profiles" / "TINY00001.parquet"
    loaded = pycytominer.cyto_utils.load.load_profiles(str(path))
    assert len(loaded) == 4
    assert features_of(loaded)[0] == "cnn_0"


def test_copairs_scores_the_profiles(profiles: pd.DataFrame) -> None:
    metadata = profiles[[name for name in profiles.columns if name.startswith("Metadata_")]]
    values = profiles[features_of(profiles)].to_numpy()
    scores = copairs_map.average_precision(
        metadata,
        values,
        pos_sameby=["Metadata_Treatment"],
        pos_diffby=["Metadata_Plate"],
        neg_sameby=["Metadata_Plate"],
        neg_diffby=["Metadata_Treatment"],
    )
    assert len(scores) == len(profiles)
    assert scores["average_precision"].between(0, 1).all()
    summary = copairs_map.mean_average_precision(
        scores, sameby=["Metadata_Treatment"], null_size=100, threshold=0.05, seed=0
    )
    assert set(summary["Metadata_Treatment"]) == set(profiles["Metadata_Treatment"])
    assert summary["mean_average_precision"].between(0, 1).all()


def test_cell_features_are_rows_with_identity(finished: Workshop) -> None:
    cells = pd.read_parquet(finished.root / "outputs" / "cnn" / "features" / "TINY00001.parquet")
    identity = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Cell"]
    assert list(cells.columns[:4]) == identity
    assert not cells.duplicated(identity).any()
    assert np.isfinite(cells[features_of(cells)].to_numpy()).all()


# corrected profiles -------------------------------------------------------------------


@pytest.fixture(scope="module")
def corrected(finished_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the profiles of wells and treatments of all its plates; not to be changed."""
    root = shutil.copytree(finished_template, tmp_path_factory.mktemp("corrected") / "project")
    workshop = Workshop(root)
    assert workshop.make(*INDEX).succeeded
    ran = workshop.make("cnn/profiles", "cnn/treatment_profiles")
    assert ran.succeeded, ran.failures
    return root


@pytest.fixture(scope="module")
def corrected_profiles(corrected: Path) -> pd.DataFrame:
    """Their well profiles as pandas reads them."""
    return pd.read_parquet(corrected / "outputs" / "cnn" / "profiles.parquet")


def test_pycytominer_takes_corrected_profiles_as_they_are(corrected_profiles: pd.DataFrame) -> None:
    features = features_of(corrected_profiles)
    metadata = [name for name in corrected_profiles if name.startswith("Metadata_")]
    assert set(corrected_profiles[features].dtypes) == {np.dtype(np.float32)}
    scaled = pycytominer.normalize(
        corrected_profiles,
        features=features,
        meta_features=metadata,
        samples="Metadata_Control == 'true'",
        method="mad_robustize",
    )
    medians = scaled.loc[scaled["Metadata_Control"] == "true", features].median()
    np.testing.assert_allclose(medians.dropna(), 0, atol=1e-4)
    selected = pycytominer.feature_select(
        corrected_profiles, features=features, operation=["correlation_threshold", "drop_na_columns"]
    )
    kept = features_of(selected)
    assert 0 < len(kept) <= len(features)
    # it looks at positive correlations, and leaves dead features in
    correlations = selected[kept].corr().to_numpy(copy=True)
    np.fill_diagonal(correlations, 0)
    assert np.nanmax(correlations) <= 0.9
    consensus = pycytominer.aggregate(
        corrected_profiles,
        strata=["Metadata_Plate", "Metadata_Treatment"],
        features=features,
        operation="mean",
    )
    expected = corrected_profiles.groupby(["Metadata_Plate", "Metadata_Treatment"])[features].mean()
    found = consensus.set_index(["Metadata_Plate", "Metadata_Treatment"]).loc[expected.index, features]
    np.testing.assert_allclose(found.to_numpy(float), expected.to_numpy(float), rtol=1e-4, atol=1e-5)


def test_copairs_scores_corrected_profiles_against_controls(corrected_profiles: pd.DataFrame) -> None:
    metadata = corrected_profiles[[name for name in corrected_profiles if name.startswith("Metadata_")]]
    scores = copairs_map.average_precision(
        metadata,
        corrected_profiles[features_of(corrected_profiles)].to_numpy(),
        pos_sameby=["Metadata_Treatment"],
        pos_diffby=["Metadata_Plate"],
        neg_sameby=[],
        neg_diffby=["Metadata_Control"],
    )
    assert len(scores) == len(corrected_profiles)
    assert scores["average_precision"].dropna().between(0, 1).all()


def test_anndata_takes_corrected_profiles_and_gives_them_back(
    corrected: Path, corrected_profiles: pd.DataFrame, tmp_path: Path
) -> None:
    anndata = pytest.importorskip("anndata")
    features = features_of(corrected_profiles)
    held = anndata.AnnData(
        corrected_profiles[features].to_numpy(),
        obs=corrected_profiles.drop(columns=features).astype("object"),
    )
    assert held.shape == (len(corrected_profiles), len(features))
    path = tmp_path / "cnn.h5ad"
    result = call(corrected, "export", "profiles", "--experiment", "cnn", str(path))
    assert result.exit_code == 0, result.output
    read = anndata.read_h5ad(path)
    np.testing.assert_array_equal(read.X, held.X)
    assert list(read.var_names) == features
    assert read.obs["Metadata_Treatment"].tolist() == corrected_profiles["Metadata_Treatment"].tolist()


@pytest.mark.parametrize("level", ["well", "treatment"])
def test_every_format_holds_the_same_numbers(corrected: Path, tmp_path: Path, level: str) -> None:
    asset = {"well": "profiles", "treatment": "treatment_profiles"}[level]
    table = pd.read_parquet(corrected / "outputs" / "cnn" / f"{asset}.parquet")
    features = features_of(table)
    for name in ("a.csv.gz", "a.parquet", "a.gct"):
        path = tmp_path / name
        arguments = ("export", "profiles", "--experiment", "cnn", "--level", level, str(path))
        result = call(corrected, *arguments)
        assert result.exit_code == 0, result.output
        if name.endswith("gct"):
            # below two lines of sizes and the metadata; first the feature's name and its description
            lines = pd.read_csv(path, sep="\t", skiprows=2, index_col=0, dtype=str)
            found = lines.loc[features].iloc[:, 1:].T.astype(np.float32)
        else:
            found = pycytominer.cyto_utils.load.load_profiles(str(path))[features]
        np.testing.assert_allclose(found.to_numpy(float), table[features].to_numpy(float), rtol=1e-6)


def test_jump_files_of_a_project_are_read_plate_by_plate(corrected: Path, tmp_path: Path) -> None:
    result = call(
        corrected, "export", "profiles", "--experiment", "cnn", "--source", "source_1", str(tmp_path)
    )
    assert result.exit_code == 0, result.output
    files = sorted(tmp_path.glob("profiles/*/*/*.parquet"))
    assert [path.stem for path in files] == ["TINY00001", "TINY00002"]
    for path in files:
        frame = pycytominer.cyto_utils.load.load_profiles(path)
        features = [name for name in frame if not name.startswith("Meta")]
        assert set(frame[features].dtypes) == {np.dtype(np.float32)}
        normalized = pycytominer.normalize(
            frame,
            features=features,
            meta_features=[name for name in frame if name.startswith("Meta")],
            samples="Metadata_pert_type == 'negcon'",
        )
        assert len(normalized) == len(frame)
