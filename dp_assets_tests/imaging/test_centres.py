"""The brightness rank of cell centres, against a loop."""

import numpy as np
import pytest

from dp_assets.imaging.centres import centre_rank


def spots(centres: np.ndarray, shape: tuple[int, int] = (120, 150)) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    image = rng.normal(100, 5, shape)
    for row, col in centres:
        image += 900 * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / 18)
    return image.astype(np.uint16)


CENTRES = np.random.default_rng(1).uniform(10, 110, (15, 2))


def test_a_loop_finds_the_same() -> None:
    image = spots(CENTRES)
    padded = np.pad(image.astype(float), 2, mode="symmetric")
    means = np.array(
        [
            [padded[row : row + 5, col : col + 5].mean() for col in range(image.shape[1])]
            for row in range(image.shape[0])
        ],
        np.float32,
    )
    others = means[::3, ::3].ravel()
    ranks = []
    for row, col in np.rint(CENTRES).astype(int):
        ranks.append((others < means[row, col]).mean() / 2 + (others <= means[row, col]).mean() / 2)
    assert centre_rank(image, CENTRES) == pytest.approx(np.mean(ranks), abs=0.002)


def test_centres_on_spots_are_bright_and_others_are_not() -> None:
    image = spots(CENTRES)
    assert centre_rank(image, CENTRES) > 0.95
    elsewhere = np.random.default_rng(2).uniform(0, 119, (200, 2))
    assert 0.4 < centre_rank(image, elsewhere) < 0.6
    assert centre_rank(np.full((20, 20), 7, np.uint8), CENTRES[:3] / 10) == 0.5


def test_centres_outside_count_at_the_border_and_no_cells_say_nothing() -> None:
    assert 0 <= centre_rank(spots(CENTRES), np.array([[-50.0, 1e6]])) <= 1
    assert np.isnan(centre_rank(spots(CENTRES), np.empty((0, 2))))
