"""Maps keep neighbours together, repeat themselves, and work on any number of rows."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.metrics.pairwise import cosine_distances

from dp_assets.evaluation import projection
from dp_assets.evaluation.projection import project


def groups(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows around four directions; lengths vary a hundredfold, so only a cosine finds the groups."""
    rng = np.random.default_rng(seed)
    group = np.arange(rows) % 4
    features = np.eye(4, 30)[group] * 4 + rng.normal(size=(rows, 30)) * 0.4
    return features * rng.uniform(0.1, 10, (rows, 1)), group


def test_groups_by_direction_are_groups_on_both_maps() -> None:
    features, group = groups(120)
    found = project(features, perplexity=20)
    assert silhouette_score(features, group) < 0.4
    for places in (found.umap, found.tsne):
        assert places.shape == (120, 2)
        assert places.dtype == np.float32
        assert silhouette_score(places, group) > 0.7
    assert found.notes == ()


def test_tsne_is_that_of_the_precomputed_cosine_distances() -> None:
    features, _ = groups(90)
    oracle = TSNE(metric="precomputed", init="random", perplexity=89 / 3, random_state=5)
    expected = oracle.fit_transform(np.clip(cosine_distances(features), 0, None))
    np.testing.assert_allclose(project(features, perplexity=40, seed=5).tsne, expected, atol=1e-3)


def test_the_same_seed_gives_the_same_maps_and_another_seed_others() -> None:
    features, _ = groups(40)
    first, again, other = project(features), project(features), project(features, seed=1)
    for name in ("umap", "tsne"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.allclose(getattr(first, name), getattr(other, name))


def test_too_large_settings_are_reduced_and_said() -> None:
    features, _ = groups(13)
    assert project(features, perplexity=4, n_neighbors=12).notes == ()
    tsne, umap = project(features, perplexity=30, n_neighbors=15).notes
    assert "perplexity 4 in place of 30" in tsne
    assert "12 neighbours in place of 15" in umap


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7])
def test_few_rows_have_a_place(rows: int) -> None:
    found = project(groups(rows)[0])
    assert np.isfinite(found.umap).all()
    assert np.isfinite(found.tsne).all()
    assert found.umap.shape == found.tsne.shape == (rows, 2)
    assert any("principal components" in note for note in found.notes) == (rows < 4)


def test_three_rows_keep_the_distances_of_their_directions() -> None:
    features = np.array([[2.0, 0, 0], [0, 5, 0], [0, 0, 0.1]])
    places = project(features).umap
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.testing.assert_allclose(distances, np.sqrt(2) * (1 - np.eye(3)), atol=1e-6)


@pytest.mark.parametrize("features", [np.ones((9, 3)), np.zeros((6, 5)), np.ones((2, 1)), np.zeros((1, 4))])
def test_rows_that_are_all_alike_have_a_place(features: np.ndarray) -> None:
    found = project(features)
    assert np.isfinite(found.umap).all()
    assert np.isfinite(found.tsne).all()


def test_of_very_many_rows_a_sample_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "MOST_ROWS", 30)
    found = project(groups(50)[0])
    drawn = np.isfinite(found.umap).all(axis=1)
    assert drawn.sum() == 30
    np.testing.assert_array_equal(drawn, np.isfinite(found.tsne).all(axis=1))
    assert "30 of 50 rows" in found.notes[0]


@pytest.mark.parametrize("features", [np.full((5, 2), np.nan), np.zeros((0, 3)), np.zeros(4)])
def test_what_is_no_matrix_of_numbers_is_refused(features: np.ndarray) -> None:
    with pytest.raises(ValueError, match="Expected finite features"):
        project(features)


def test_tensorflow_is_not_imported() -> None:
    program = (
        "import sys; from dp_assets.evaluation.projection import _import_umap; "
        "assert callable(_import_umap().UMAP); "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'umap.parametric_umap')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_compat_gives_tsne_the_distances_as_features() -> None:
    features = np.random.default_rng(3).normal(size=(30, 6))
    compat = project(features, perplexity=5, compat=True)
    distances = cosine_distances(features)
    expected = TSNE(init="random", perplexity=5, random_state=0).fit_transform(distances)
    np.testing.assert_allclose(compat.tsne, expected, atol=1e-3)
    assert not np.allclose(compat.tsne, project(features, perplexity=5).tsne)
