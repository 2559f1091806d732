"""Crop generators by name: how an epoch is drawn, and plugins that change the crops of every batch."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches

import numpy as np

from dp_assets.config.errors import ModelError
from dp_assets.training.feed import BatchTransform

ONLINE_LABELS = "online_labels_cropgen"
BUILT_IN = ("sampled_crop_generator", "crop_generator", ONLINE_LABELS, "full_image_crop_generator")
PROFILING_ONLY = "repeat_channel_crop_generator"
WHERE = "train.model.crop_generator"

FeedTransform = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""What a feed plugin is: (crops, labels, generator) -> crops.

Crops are float32 (n, rows, cols, channels), labels int64 (n,), the classes of the first target. The generator
depends on the seed, the epoch and the batch only. The function is called from several threads.
"""


class FeedPlugin:
    """A feed plugin whose results are checked.

    Parameters
    ----------
    name : name in the configuration.
    transform : the plugin.
    seed : `train.model.seed`.
    """

    def __init__(self, name: str, transform: FeedTransform, seed: int) -> None:
        self._name = name
        self._transform = transform
        self._seed = seed

    def in_epoch(self, epoch: int) -> BatchTransform:
        """The change of the batches of a 0-based epoch: (number of the batch, crops, labels) -> crops.

        Raises
        ------
        ModelError (when called) : the plugin failed, or returned something else than as many crops.
        """

        def changed(batch: int, crops: np.ndarray, labels: np.ndarray) -> np.ndarray:
            generator = np.random.default_rng([self._seed % 2**63, epoch, batch])
            try:
                # A copy: the plugin may change it in place, and the crops may be the source's own.
                result = self._transform(crops.copy(), labels.copy(), generator)
            except Exception as error:  # whatever a plugin raises is the plugin's fault
                raise ModelError(
                    f"the feed plugin failed in epoch {epoch + 1}, batch {batch + 1}: "
                    f"{type(error).__name__}: {error}",
                    where=f"{WHERE}: {self._name!r}",
                    remedy="repair the plugin, or use another crop generator",
                ) from error
            return self._checked(result, crops.shape)

        return changed

    def _checked(self, result: object, shape: tuple[int, ...]) -> np.ndarray:
        what = None
        if not isinstance(result, np.ndarray):
            what = f"a {type(result).__name__}"
        elif result.shape != shape:
            what = f"crops of shape {result.shape}"
        elif not np.issubdtype(result.dtype, np.number) or np.iscomplexobj(result):
            what = f"values of type {result.dtype}"
        elif not np.isfinite(result).all():
            what = "values that are infinite or not a number"
        if what is not None or not isinstance(result, np.ndarray):
            raise ModelError(
                f"the feed plugin returned {what}; expected finite numbers of shape {shape}",
                where=f"{WHERE}: {self._name!r}",
                remedy="return as many crops of the same size and channels as were given",
            )
        return result.astype(np.float32, copy=False)


def feed_plugin(name: str, seed: int, plugins: Mapping[str, FeedTransform]) -> FeedPlugin | None:
    """The plugin that a crop generator's name stands for; None for the generators of this package.

    Raises
    ------
    ModelError : a name that stands for nothing, or for a generator that does not train.
    """
    if name in BUILT_IN:
        return None
    if name in plugins:
        return FeedPlugin(name, plugins[name], seed)
    known = (*BUILT_IN, *plugins)
    if name == PROFILING_ONLY:
        raise ModelError(
            f"the crop generator {name!r} is for profiling with ImageNet weights, not for training",
            where=WHERE,
            remedy=f"use one of: {', '.join(known)}",
        )
    near = get_close_matches(name, known, n=1)
    raise ModelError(
        f"there is no crop generator {name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""),
        where=WHERE,
        remedy=f"use one of: {', '.join(known)}; or put a file with FEEDS into the project's folder plugins",
    )
