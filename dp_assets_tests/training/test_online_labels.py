"""Labels that follow predictions, against the formula cell by cell."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.config.errors import StoreError
from dp_assets.training import online_labels
from dp_assets.training.online_labels import OnlineLabels, remove_labels


@given(smoothing=st.floats(0, 0.99), classes=st.integers(2, 7), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_labels_start_softened(smoothing: float, classes: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, 9)
    soft = OnlineLabels.start(labels, classes, smoothing).soft
    expected = [
        [smoothing / classes + (1 - smoothing if c == label else 0) for c in range(classes)]
        for label in labels
    ]
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft, expected, atol=1e-6)
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-5)


def predictions(cells: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).random((cells, 3), np.float32)
    return values / values.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("batch", [1, 4, 11, 50])
def test_labels_move_towards_predictions(batch: int) -> None:
    labels = np.array([0, 1, 2, 1, 1, 0, 2, 2, 0, 1, 2])
    online = OnlineLabels.start(labels, 3, 0.1)
    expected = online.soft.astype(np.float64)
    for epoch in range(3):
        said = predictions(11, epoch)
        online.update((said[start : start + batch] for start in range(0, 11, batch)), 0.2)
        for cell in range(11):
            expected[cell] = 0.8 * expected[cell] + 0.2 * said[cell]
    np.testing.assert_allclose(online.soft, expected, atol=1e-6)


def test_every_cell_needs_a_prediction() -> None:
    online = OnlineLabels.start(np.zeros(5, np.int64), 3, 0.1)
    with pytest.raises(ValueError, match=r"5 cells\. Received 4"):
        online.update([predictions(4, 0)], 0.1)


def test_state_is_exact_and_table_is_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online_labels, "ROWS_AT_ONCE", 4)
    soft = predictions(11, 7)
    OnlineLabels(soft).save(tmp_path, 12)
    OnlineLabels(soft).write_table(tmp_path, 12, ("DMSO", "a, b", 'c "d"'))
    np.testing.assert_array_equal(OnlineLabels.read(tmp_path, 12, (11, 3)).soft, soft)
    table = pd.read_csv(tmp_path / "soft_labels" / "0012.csv")
    assert list(table.columns) == ["row", "DMSO", "a, b", 'c "d"']
    assert table["row"].tolist() == list(range(11))
    np.testing.assert_allclose(table.iloc[:, 1:], soft, rtol=1e-5)


def test_files_of_other_epochs_are_removed(tmp_path: Path) -> None:
    online = OnlineLabels(predictions(2, 0))
    for epoch in (1, 2, 3):
        online.save(tmp_path, epoch)
        online.write_table(tmp_path, epoch, ("a", "b", "c"))
    remove_labels(tmp_path, tables={1, 3}, state=3)
    names = {path.name for path in (tmp_path / "soft_labels").iterdir()}
    assert names == {"0001.csv", "0003.csv", "state_0003.npy"}
    remove_labels(tmp_path, tables=set(), state=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["missing", "cut", "other cells"])
def test_damaged_state_names_the_file(tmp_path: Path, kind: str) -> None:
    OnlineLabels(predictions(11, 7)).save(tmp_path, 3)
    path = tmp_path / "soft_labels" / "state_0003.npy"
    if kind == "missing":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    shape = (12, 3) if kind == "other cells" else (11, 3)
    with pytest.raises(StoreError, match=r"state_0003\.npy.*cannot be read[\s\S]*resume\.npz"):
        OnlineLabels.read(tmp_path, 3, shape)
