"""Balanced epochs against counts taken by hand."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.config.errors import ModelError, TrainingDataError
from dp_assets.training.cells import LabelledCells
from dp_assets.training.request_checks import check_classes, check_request
from dp_assets.training.sampler import BalancedEpochs, BalancedImageEpochs
from dp_assets_tests.training.synthetic import CLASSES, ArrayCrops, labelled_cells, training_settings

counts_of_classes = st.lists(st.integers(0, 30), min_size=2, max_size=6).filter(any)


@settings(max_examples=60, deadline=None)
@given(counts=counts_of_classes, seed=st.integers(0, 2**40), epoch=st.integers(0, 10_000))
def test_every_class_gives_the_median_number_of_cells(counts: list[int], seed: int, epoch: int) -> None:
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    rows = BalancedEpochs(labels, len(counts), seed).draw(epoch)

    present = sorted(count for count in counts if count)
    middle = len(present) // 2
    median = present[middle] if len(present) % 2 else (present[middle - 1] + present[middle]) // 2
    assert Counter(labels[rows].tolist()) == {c: median for c, count in enumerate(counts) if count}
    for label, count in enumerate(counts):
        drawn = Counter(rows[labels[rows] == label].tolist())
        if count >= median:
            assert set(drawn.values()) <= {1}, "cells are repeated only where there are too few"


def test_an_epoch_depends_on_seed_and_number_only() -> None:
    labels = np.repeat([0, 1, 2], [40, 50, 60])
    one, other = BalancedEpochs(labels, 3, seed=5), BalancedEpochs(labels, 3, seed=5)
    for epoch in range(4):
        one.draw(epoch)
    np.testing.assert_array_equal(one.draw(2), other.draw(2))
    assert not np.array_equal(one.draw(2), one.draw(3))
    assert not np.array_equal(one.draw(2), BalancedEpochs(labels, 3, seed=6).draw(2))


def test_epochs_are_shuffled_and_use_all_cells_in_time() -> None:
    labels = np.repeat([0, 1, 2], [10, 20, 200])
    sampler = BalancedEpochs(labels, 3, seed=0)
    drawn = [sampler.draw(epoch) for epoch in range(200)]
    assert len(np.unique(labels[drawn[0]][:20])) == 3
    assert len(np.unique(np.concatenate(drawn))) == len(labels)


@settings(max_examples=30, deadline=None)
@given(
    images_per_class=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    cells_per_image=st.integers(1, 9),
    factor=st.sampled_from([0.3, 0.5, 1.0]),
    batch_size=st.integers(1, 16),
)
def test_images_are_balanced(
    images_per_class: list[int], cells_per_image: int, factor: float, batch_size: int
) -> None:
    image_class = np.repeat(np.arange(len(images_per_class)), images_per_class)
    images = np.repeat(np.arange(len(image_class)), cells_per_image)
    labels = image_class[images]
    sampler = BalancedImageEpochs(
        labels, images, len(images_per_class), seed=3, factor=factor, batch_size=batch_size
    )
    rows = sampler.draw(0)

    expected = max(
        1, int(len(images_per_class) * int(np.median(images_per_class)) * cells_per_image * factor)
    )
    if expected >= batch_size:
        expected -= expected % batch_size
    assert len(rows) == expected
    if factor == 1.0 and batch_size == 1:
        shown = Counter(images[rows].tolist())
        per_class = {c: int(np.median(images_per_class)) for c in range(len(images_per_class))}
        assert Counter(labels[rows].tolist()) == {c: n * cells_per_image for c, n in per_class.items()}
        assert all(count % cells_per_image == 0 for count in shown.values())
    np.testing.assert_array_equal(rows, sampler.draw(0))


def test_classes_without_cells_are_named() -> None:
    cells = labelled_cells((5, 0, 5))
    with pytest.raises(TrainingDataError, match="1 of 3 classes have no training cell: 'left'"):
        check_classes(cells, CLASSES, "Treatment")


def test_one_class_is_not_enough() -> None:
    cells = LabelledCells(ArrayCrops(np.zeros((3, 4, 4, 1), np.float32)), np.zeros(3, np.int64))
    with pytest.raises(TrainingDataError, match=r"one class only \('DMSO'\)"):
        check_classes(cells, ("DMSO",), "Treatment")


def test_no_cells_at_all() -> None:
    cells = LabelledCells(ArrayCrops(np.zeros((0, 4, 4, 1), np.float32)), np.zeros(0, np.int64))
    with pytest.raises(TrainingDataError, match="no cells to train on"):
        check_classes(cells, CLASSES, "Treatment")


def test_best_and_plateau_need_validation_cells() -> None:
    wanted = training_settings(checkpoint_policy="best", lr_schedule="plateau")
    with pytest.raises(TrainingDataError) as caught:
        check_request(wanted, CLASSES, labelled_cells(), None)
    assert [problem.where for problem in caught.value.problems] == [
        "train.model.checkpoint_policy",
        "train.model.lr_schedule",
    ]
    check_request(wanted, CLASSES, labelled_cells(), labelled_cells())


def test_generators_of_later_work_are_refused() -> None:
    with pytest.raises(
        ModelError, match=r"'online_labels_cropgen' is not available[\s\S]*sampled_crop_generator"
    ):
        check_request(
            training_settings(crop_generator="online_labels_cropgen"), CLASSES, labelled_cells(), None
        )


def test_labels_must_belong_to_the_crops() -> None:
    with pytest.raises(ValueError, match="Expected 3 labels"):
        LabelledCells(ArrayCrops(np.zeros((3, 4, 4, 1), np.float32)), np.zeros(4, np.int64))
