"""Feed plugins: found by name, reproducible, and checked."""

from typing import Any

import numpy as np
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.training.feed import CropFeed
from dp_assets.training.feeds import BUILT_IN, FeedPlugin, feed_plugin
from dp_assets.training.targets import Goal, targets_of
from dp_assets_tests.training.synthetic import HEADS, labelled_cells, pixels

CROPS = np.random.default_rng(0).random((5, 4, 4, 2), np.float32)
LABELS = np.arange(5)


def noisy(crops: np.ndarray, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Noise, and brighter by the label."""
    crops += labels[:, None, None, None]
    return crops + generator.normal(size=crops.shape)


@pytest.mark.parametrize("name", BUILT_IN)
def test_generators_of_this_package_change_nothing(name: str) -> None:
    assert feed_plugin(name, 0, {name: noisy}) is None


def test_a_plugin_depends_on_seed_epoch_and_batch_only() -> None:
    first, again, other = (feed_plugin("noisy", seed, {"noisy": noisy}) for seed in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    result = first.in_epoch(3)(7, CROPS, LABELS)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, again.in_epoch(3)(7, CROPS, LABELS))
    for changed in (first.in_epoch(3)(8, CROPS, LABELS), first.in_epoch(4)(7, CROPS, LABELS)):
        assert np.abs(result - changed).max() > 0.1
    assert np.abs(result - other.in_epoch(3)(7, CROPS, LABELS)).max() > 0.1


def test_a_plugin_may_write_into_its_argument() -> None:
    before = CROPS.copy()
    FeedPlugin("noisy", noisy, 0).in_epoch(0)(0, CROPS, LABELS)
    np.testing.assert_array_equal(CROPS, before)


def test_every_batch_of_the_feed_is_changed_and_asked_back() -> None:
    cells = labelled_cells()
    seen: list[np.ndarray] = []

    def brighter(crops: np.ndarray, labels: np.ndarray, _: np.random.Generator) -> np.ndarray:
        seen.append(labels)
        return crops + 10

    rows = np.arange(20)[::-1]
    with CropFeed(
        cells,
        rows,
        targets=targets_of(cells, HEADS, Goal.RECONSTRUCTION),
        batch_size=8,
        workers=1,
        transform=FeedPlugin("brighter", brighter, 0).in_epoch(0),
    ) as feed:
        batches = [feed[i] for i in range(3)]
    np.testing.assert_array_equal(np.concatenate([crops for crops, _ in batches]), pixels(cells)[rows] + 10)
    np.testing.assert_array_equal(np.concatenate([target for _, target in batches]), pixels(cells)[rows] + 10)
    np.testing.assert_array_equal(np.concatenate(seen), cells.labels[rows])


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (CROPS[:4], r"crops of shape \(4, 4, 4, 2\); expected .* \(5, 4, 4, 2\)"),
        (CROPS[..., :1], r"shape \(5, 4, 4, 1\)"),
        (None, "returned a NoneType"),
        (CROPS.astype(str), "values of type"),
        (CROPS * np.nan, "not a number"),
    ],
    ids=["cells", "channels", "nothing", "text", "nan"],
)
def test_results_are_checked(result: Any, message: str) -> None:
    plugin = FeedPlugin("mine", lambda *_: result, 0)
    with pytest.raises(ModelError, match=rf"crop_generator: 'mine'.*{message}"):
        plugin.in_epoch(0)(0, CROPS, LABELS)


def test_a_plugin_that_fails_is_named_with_its_batch() -> None:
    def broken(*_: Any) -> np.ndarray:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(ModelError, match=r"epoch 3, batch 5: ZeroDivisionError: division by zero"):
        FeedPlugin("broken", broken, 0).in_epoch(2)(4, CROPS, LABELS)


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(
        ModelError, match=r"'nosy' \(did you mean 'noisy'\?\)[\s\S]*sampled_crop_generator[\s\S]*noisy"
    ):
        feed_plugin("nosy", 0, {"noisy": noisy})
    with pytest.raises(ModelError, match="for profiling with ImageNet weights"):
        feed_plugin("repeat_channel_crop_generator", 0, {})
