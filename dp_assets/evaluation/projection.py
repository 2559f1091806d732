"""Maps of profiles: many features squeezed into two coordinates, for the eye only."""

import sys
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from dp_assets.evaluation.similarity import cosine_similarity

MOST_ROWS = 20_000  # both methods take minutes beyond
MOST_COMPAT_ROWS = 5_000  # a matrix of distances as features
LEAST_ROWS = 4  # neither method is defined on fewer
_TENSORFLOW_PART = "umap.parametric_umap"


@dataclass(frozen=True)
class Projection:
    """Two maps of the same rows.

    Attributes
    ----------
    umap, tsne : (rows, 2) float32, without unit; NaN for rows that were not drawn (see `notes`).
    notes : what a reader of the maps must know, such as a smaller perplexity than asked for.
    """

    umap: np.ndarray
    tsne: np.ndarray
    notes: tuple[str, ...] = ()


def project(
    features: np.ndarray,
    *,
    perplexity: float = 30.0,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    seed: int = 0,
    compat: bool = False,
) -> Projection:
    """UMAP (McInnes 2018) and t-SNE (van der Maaten 2008) of profiles by cosine distance.

    The same arguments give the same maps. Of more than 20,000 rows a seeded sample of that many is drawn and
    the others are NaN. Fewer than four rows are placed by their principal components.

    Parameters
    ----------
    features : (rows, features), finite.
    perplexity : of t-SNE; never more than (rows - 1) / 3.
    n_neighbors, min_dist : of UMAP; never more neighbours than other rows.
    seed : of the sample, of t-SNE's random start and of UMAP.
    compat : give t-SNE the matrix of cosine distances as features, as the original notebook does; of up to
        5,000 rows.

    Raises
    ------
    ValueError : features are not a matrix of finite numbers, or there are no rows.
    """
    if features.ndim != 2 or len(features) == 0 or not np.isfinite(features).all():
        raise ValueError(
            "Expected finite features of shape (rows, features) with at least one row. "
            f"Received shape {features.shape}, finite: {bool(np.isfinite(features).all())}."
        )
    rows = np.arange(len(features))
    notes: list[str] = []
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False))
        notes.append(
            f"{MOST_ROWS} of {len(features)} rows were drawn at random (seed {seed}); others have no place"
        )
    drawn = np.asarray(features[rows], np.float64)
    if len(drawn) < LEAST_ROWS:
        places = _principal_components(drawn)
        notes.append(f"{len(drawn)} rows are too few for UMAP and t-SNE: principal components are shown")
        return Projection(places, places.copy(), tuple(notes))
    notes += _reductions(len(drawn), perplexity, n_neighbors)
    as_features = compat and len(drawn) <= MOST_COMPAT_ROWS
    if compat and not as_features:
        notes.append(f"compat: more than {MOST_COMPAT_ROWS} rows, t-SNE is of cosine distances all the same")
    return Projection(
        _spread(_umap(drawn, min(n_neighbors, len(drawn) - 1), min_dist, seed), rows, len(features)),
        _spread(
            _tsne(drawn, min(perplexity, (len(drawn) - 1) / 3), seed, compat=as_features),
            rows,
            len(features),
        ),
        tuple(notes),
    )


def _reductions(rows: int, perplexity: float, n_neighbors: int) -> list[str]:
    notes = []
    if perplexity > (rows - 1) / 3:
        notes.append(f"t-SNE: perplexity {(rows - 1) / 3:.3g} in place of {perplexity:g}, for {rows} rows")
    if n_neighbors > rows - 1:
        notes.append(f"UMAP: {rows - 1} neighbours in place of {n_neighbors}, for {rows} rows")
    return notes


def _tsne(features: np.ndarray, perplexity: float, seed: int, *, compat: bool) -> np.ndarray:
    from sklearn.manifold import TSNE

    if compat:
        distances = 1 - cosine_similarity(features)
        mapper = TSNE(init="random", perplexity=perplexity, random_state=seed)
        return np.asarray(mapper.fit_transform(distances), np.float32)
    # Equal to metric="precomputed" on the cosine distances, without holding rows x rows numbers.
    mapper = TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=seed)
    return np.asarray(mapper.fit_transform(features), np.float32)


def _umap(features: np.ndarray, n_neighbors: int, min_dist: float, seed: int) -> np.ndarray:
    umap = _import_umap()
    mapper = umap.UMAP(
        n_neighbors=n_neighbors, min_dist=min_dist, metric="cosine", random_state=seed, n_jobs=1
    )
    with warnings.catch_warnings():
        # Alike rows: UMAP falls back to a random start and says so; few rows: to a dense solver.
        warnings.simplefilter("ignore")
        return np.asarray(mapper.fit_transform(features.astype(np.float32)), np.float32)


def _import_umap() -> Any:
    """UMAP without its neural variant, which would import TensorFlow before its device has been set up."""
    if "umap" in sys.modules or _TENSORFLOW_PART in sys.modules:
        import umap

        return umap
    sys.modules[_TENSORFLOW_PART] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import umap
    finally:
        del sys.modules[_TENSORFLOW_PART]
    return umap


def _principal_components(features: np.ndarray) -> np.ndarray:
    """(rows, 2) of unit-length rows, so that directions count as they do in a cosine; 0 where undefined."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(lengths > 0, lengths, 1)
    left, scale, _ = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    found = (left * scale)[:, :2]
    # The sign of a component is arbitrary: the largest coordinate is made positive.
    largest = found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])]
    places = np.zeros((len(features), 2), np.float32)
    places[:, : found.shape[1]] = found * np.where(largest < 0, -1, 1)
    return places


def _spread(places: np.ndarray, rows: np.ndarray, total: int) -> np.ndarray:
    """Places of some rows among NaN for the others."""
    spread = np.full((total, 2), np.nan, np.float32)
    spread[rows] = places
    return spread
