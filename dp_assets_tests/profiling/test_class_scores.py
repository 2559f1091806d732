"""Accuracy of class probabilities over plates: by hand, without the images that were trained on."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.evaluation.score import ScoreResult
from dp_assets.profiling.class_scores import TrainingImages, class_scores
from dp_assets.storage.schemas import SITE, WELL
from dp_assets.storage.tables import StoredTable
from dp_assets_tests.evaluation.profile_sets import evaluation, score
from dp_assets_tests.profiling.cell_tables import stored_cells

_A, _B, _C = [0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.0, 0.2, 0.8]


@pytest.fixture
def cells(tmp_path: Path) -> StoredTable:
    """Right: 2 of 3 cells of A01 (site 2: 1 of 1), 1 of 2 of B01, and all of C01, which is trained on."""
    sites = [("p", "A01", "1"), ("p", "A01", "1"), ("p", "A01", "2"), ("p", "B01", "1"), ("p", "B01", "1")]
    return stored_cells(
        tmp_path, [*sites, *[("p", "C01", "1")] * 3], np.array([_A, _B, _A, _B, _A, _C, _C, _C], np.float32)
    )


@pytest.fixture
def annotations() -> pa.Table:
    return pa.table(
        {
            WELL: ["A01", "A01", "B01", "C01"],
            SITE: ["1", "2", "1", "1"],
            "Metadata_Drug": ["a", "a", "b", "c"],
            "Metadata_Split": ["v", "v", "v", "t"],
        }
    )


def _found(cells: StoredTable, annotations: pa.Table, **options: object) -> ScoreResult:
    settings = {"column": "Metadata_Drug", "classes": ("a", "b", "c"), "training": None, **options}
    return class_scores({"p": cells}, {"p": annotations}, protocol=evaluation(), **settings)


def test_all_images_count_where_it_is_not_known_what_was_trained_on(
    cells: StoredTable, annotations: pa.Table
) -> None:
    found = _found(cells, annotations)
    assert (score(found, "accuracy_cells").value, score(found, "accuracy_cells").n) == (6 / 8, 8)
    assert score(found, "accuracy_cells").excluded == {}
    assert score(found, "accuracy_wells").n == 3


def test_images_that_were_trained_on_do_not_count(cells: StoredTable, annotations: pa.Table) -> None:
    found = _found(cells, annotations, training=TrainingImages("Metadata_Split", ("t",)))
    assert (score(found, "accuracy_cells").value, score(found, "accuracy_cells").n) == (3 / 5, 5)
    # The mean of A01's first site is a by 0.5 to 0.425; of B01 a by 0.5 as well, which is wrong.
    assert (score(found, "accuracy_sites").value, score(found, "accuracy_sites").n) == (2 / 3, 3)
    assert (score(found, "accuracy_wells").value, score(found, "accuracy_wells").n) == (1 / 2, 2)
    for one in found.scores:
        assert one.excluded == {"cells of images that the model was trained on": 3}


def test_with_nothing_but_training_images_there_is_no_accuracy(
    cells: StoredTable, annotations: pa.Table
) -> None:
    found = _found(cells, annotations, training=TrainingImages("Metadata_Split", ("t", "v")))
    reason = "no cell has a known class (cells of images that the model was trained on: 8)"
    assert {one.reason for one in found.scores} == {reason}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"classes": ()}, "does not say which classes"),
        ({"classes": ("a", "b")}, "there are 3 features, but the model has 2 classes"),
        ({"column": "Metadata_MOA"}, "no column Metadata_MOA"),
    ],
)
def test_what_cannot_be_held_against_classes_says_why(
    cells: StoredTable, annotations: pa.Table, options: dict[str, object], reason: str
) -> None:
    found = _found(cells, annotations, **options)
    assert all(reason in one.reason and not one.n for one in found.scores)


def test_other_features_are_no_probabilities(tmp_path: Path, annotations: pa.Table) -> None:
    cells = stored_cells(tmp_path, [("p", "A01", "1")], np.array([[0.5, 2, -1]], np.float32))
    assert "no class probabilities" in _found(cells, annotations).scores[0].reason
