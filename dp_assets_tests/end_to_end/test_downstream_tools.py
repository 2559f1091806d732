"""Well profiles go straight into the programs that people use next, here the real pycytominer and copairs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dp_assets_tests.orchestration.materializing import Workshop

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
