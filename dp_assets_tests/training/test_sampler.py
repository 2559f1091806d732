"""Balanced epochs against counts taken by hand."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_assets.training.cells import LabelledCells
from dp_assets.training.image_cache import CutImage, ImageCache
from dp_assets.training.sampler import (
    BalancedEpochs,
    BalancedImageEpochs,
    training_sampler,
    validation_rows,
)
from dp_assets_tests.training.synthetic import ArrayCrops, labelled_cells, training_settings

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


@settings(max_examples=60, deadline=None)
@given(
    cells_each=st.lists(st.integers(1, 12), min_size=9, max_size=60),
    cells_held=st.integers(130, 300),
    factor=st.sampled_from([0.3, 1.0]),
)
def test_each_image_of_an_epoch_is_read_once(cells_each: list[int], cells_held: int, factor: float) -> None:
    images = np.repeat(np.arange(len(cells_each)), cells_each)
    labels = (images % 3).astype(np.int64)
    sampler, whole = (
        BalancedImageEpochs(labels, images, 3, 11, factor=factor, batch_size=4, cells_held=held)
        for held in (cells_held, None)
    )
    shown = images[sampler.draw(2)]
    np.testing.assert_array_equal(np.bincount(shown), np.bincount(images[whole.draw(2)]))
    cache, read = ImageCache(cells_held, 1), list[int]()
    for image in shown.tolist():
        crops = np.zeros((cells_each[image], 1, 1, 1), np.float32)
        cache.get(image, lambda: (read.append(image), CutImage(crops, crops[:, 0, 0] > 0))[1])  # noqa: B023
    # Images of a class that has fewer than the median are drawn more than once.
    turns = sampler.images_per_class * 3
    assert len(read) <= turns
    if turns == len(cells_each):
        assert len(read) == len(set(read))


@pytest.mark.parametrize("cells_held", [1, 300])
def test_batches_mix_images_and_classes(cells_held: int) -> None:
    images = np.repeat(np.arange(60), 10)
    labels = images // 20
    sampler = BalancedImageEpochs(labels, images, 3, 0, factor=1.0, batch_size=1, cells_held=cells_held)
    drawn = sampler.draw(0)
    assert len(np.unique(drawn)) == len(drawn) == 600
    for start in range(0, 600, 40):
        batch = drawn[start : start + 40]
        assert len(np.unique(images[batch])) >= 5
        assert (np.bincount(labels[batch], minlength=3) >= 4).all()
    first = {image: place for place, image in reversed(list(enumerate(images[drawn].tolist())))}
    if cells_held == 1:
        assert max(first.values()) > 450, "images come one after the other, not all at the beginning"


def test_the_first_cells_of_every_image_validate() -> None:
    labels = np.array([0, 0, 0, 1, 1, 0, 1, 1])
    images = np.array([7, 7, 7, 3, 3, 5, 3, 9])
    crops = ArrayCrops(np.zeros((8, 4, 4, 1), np.float32))
    cells = LabelledCells(crops, labels, images)
    assert validation_rows(cells, 2, 0, first_per_image=2).tolist() == [0, 1, 3, 4, 5, 7]
    assert validation_rows(cells, 2, 0, first_per_image=9).tolist() == list(range(8))
    empty = LabelledCells(ArrayCrops(crops.crops[:0]), labels[:0], images[:0])
    assert validation_rows(empty, 2, 0, first_per_image=2).tolist() == []
    with pytest.raises(ValueError, match="know their images"):
        validation_rows(LabelledCells(crops, labels), 2, 0, first_per_image=2)


def test_validation_is_balanced_and_in_order() -> None:
    cells = labelled_cells((30, 10, 20))
    rows = validation_rows(cells, 3, 4, first_per_image=None)
    np.testing.assert_array_equal(rows, np.sort(BalancedEpochs(cells.labels, 3, 4).draw(0)))
    assert Counter(cells.labels[rows].tolist()) == {0: 20, 1: 20, 2: 20}
    several = LabelledCells(cells.crops, np.stack([cells.labels, 1 - cells.labels % 2], axis=1))
    np.testing.assert_array_equal(validation_rows(several, 3, 4, first_per_image=None), rows)


@pytest.mark.parametrize(
    ("generator", "with_images", "kind"),
    [
        ("crop_generator", True, BalancedImageEpochs),
        ("full_image_crop_generator", True, BalancedImageEpochs),
        ("sampled_crop_generator", True, BalancedEpochs),
        ("online_labels_cropgen", True, BalancedEpochs),
        ("my_plugin", True, BalancedEpochs),
        ("crop_generator", False, BalancedEpochs),
    ],
)
def test_the_generator_decides_what_is_balanced(generator: str, with_images: bool, kind: type) -> None:
    cells = labelled_cells()
    labels = np.stack([cells.labels, cells.labels], axis=1)
    images = np.arange(len(cells)) // 2 if with_images else None
    wanted = training_settings(crop_generator=generator)
    sampler = training_sampler(wanted, LabelledCells(cells.crops, labels, images), 3)
    assert type(sampler) is kind


def test_labels_must_belong_to_the_crops() -> None:
    with pytest.raises(ValueError, match="Expected 3 labels"):
        LabelledCells(ArrayCrops(np.zeros((3, 4, 4, 1), np.float32)), np.zeros(4, np.int64))
