"""What a network is to learn, and from which cells: checked as a whole before anything is built."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dp_assets.config.errors import ModelError
from dp_assets.config.stages import TrainingSettings
from dp_assets.networks.plugins import ProjectPlugins, load_project_plugins, project_plugins
from dp_assets.networks.registry import reconstructs
from dp_assets.storage.fingerprints import fingerprint, fingerprint_bytes
from dp_assets.training.cells import LabelledCells
from dp_assets.training.feeds import FeedPlugin, feed_plugin
from dp_assets.training.identity import plugin_files_content, training_identity
from dp_assets.training.metrics import MetricFactory
from dp_assets.training.normalized_crops import normalized_cells
from dp_assets.training.plugin_tables import feed_plugins, metric_plugins
from dp_assets.training.request_checks import check_request, goal_of
from dp_assets.training.targets import Goal
from dp_assets.training.training_set import Heads

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lesson:
    """What a network is to learn.

    Attributes
    ----------
    settings : the training stage of an experiment.
    heads : target column and class names of each head.
    goal : classes, or what else.
    training, validation : the cells; None for no validation. What is left to do to their crops is the same.
    feed : changes the crops of every training batch; None for a generator of this package.
    metrics : metrics that plugins add.
    plugin_content : fingerprint of the plugin files, where some of them take part; else "".
    """

    settings: TrainingSettings
    heads: Heads
    goal: Goal
    training: LabelledCells
    validation: LabelledCells | None = None
    feed: FeedPlugin | None = None
    metrics: dict[str, MetricFactory] = field(default_factory=dict)
    plugin_content: str = ""

    def identity(
        self,
        dtype_policy: str,
        content: str,
        start_from: Path | None = None,
        imagenet_weights: Path | None = None,
    ) -> str:
        """Fingerprint of everything that decides the loss curve; parameters as for `train_network`.

        Raises
        ------
        ModelError : the file to start from cannot be read.
        """
        imagenet = imagenet_weights if self.settings.network.initialization == "imagenet" else None
        first = start_from or imagenet
        where = "model.start_from" if start_from else "model.imagenet_weights"
        return training_identity(
            self.settings,
            self.heads,
            self.training,
            self.validation,
            dtype_policy,
            fingerprint(content, self.plugin_content),
            "" if first is None else _weights_content(first, where),
        )

    def parameters(self, dtype_policy: str) -> dict[str, Any]:
        """What services that follow the training are told about it."""
        settings = self.settings
        return {
            **settings.network.model_dump(mode="json", exclude={"callbacks"}),
            "callbacks": [callback.name for callback in settings.network.callbacks],
            "targets": [column for column, _ in self.heads],
            "classes": [len(names) for _, names in self.heads],
            "channels": list(settings.images.channels),
            "crop_shape": list(self.training.crops.shape),
            "normalization": settings.single_cells.normalization,
            "training_cells": len(self.training),
            "validation_cells": 0 if self.validation is None else len(self.validation),
            "precision": dtype_policy,
        }


def plan_lesson(
    settings: TrainingSettings,
    heads: Heads,
    training: LabelledCells,
    validation: LabelledCells | None,
    plugins: Path | None,
) -> Lesson:
    """Find out what is to be learnt, and whether that can be done; parameters as for `train_network`.

    Raises
    ------
    ModelError, TrainingDataError : as `train_network`.
    """
    found = project_plugins() if plugins is None else load_project_plugins(plugins)
    feeds, metrics = feed_plugins(found), metric_plugins(found)
    validation = validation if validation is not None and len(validation) else None
    network = settings.network
    goal = goal_of(settings, reconstructs=reconstructs(network.name))
    feed = feed_plugin(network.crop_generator, network.seed, feeds)
    check_request(settings, heads, goal, training, validation)
    if feed is not None:
        # Plugins are promised normalised crops.
        training = normalized_cells(training)
        validation = None if validation is None else normalized_cells(validation)
    if validation is not None and validation.crops.normalization != training.crops.normalization:
        raise ValueError(
            f"Expected validation cells that need {training.crops.normalization!r} like those of training. "
            f"Received {validation.crops.normalization!r}."
        )
    _note_what_has_no_effect(settings, goal)
    return Lesson(
        settings=settings,
        heads=heads,
        goal=goal,
        training=training,
        validation=validation,
        feed=feed,
        metrics=metrics,
        plugin_content=_content(settings, found),
    )


def _note_what_has_no_effect(settings: TrainingSettings, goal: Goal) -> None:
    smoothing = settings.network.params.label_smoothing
    if goal is Goal.ONLINE_LABELS and smoothing:
        logger.warning(
            "train.model.params.label_smoothing (%g) has no effect: online labels are softened by "
            "online_label_smoothing (%g)",
            smoothing,
            settings.network.params.online_label_smoothing,
        )


def _weights_content(path: Path, where: str) -> str:
    try:
        return fingerprint_bytes(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"the weights to start from cannot be read: {error.strerror or error}",
            where=f"{where}: {path}",
            remedy=f"put the file there, or take {where} out",
        ) from error


def _content(settings: TrainingSettings, plugins: ProjectPlugins) -> str:
    """A plugin file that changes makes another training of those that use it, and of no others."""
    network = settings.network
    used = {network.name, network.crop_generator, *network.metrics}
    own = {
        *plugins.networks,
        *feed_plugins(plugins, installed=False),
        *metric_plugins(plugins, installed=False),
    }
    if not used & own:
        return ""
    return plugin_files_content(Path(str(plugins.modules[0].__file__)).parent)
