"""Opening an experiment's model to extract features; the device is set up before Keras is imported."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from dp_assets.config.stages import ProfilingSettings
from dp_assets.orchestration.accelerator_resource import AcceleratorResource
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.model_folder import ModelFolder

if TYPE_CHECKING:
    from dp_assets.profiling.plate_features import Extractor

MODELS_OPEN = 4
"""Most networks that are open at once: those of one pass, which are wanted again for the next plate."""


def extractor_loader(
    context: dg.AssetExecutionContext,
    model: ModelFolder,
    checkpoint: str | None,
    settings: ProfilingSettings,
    project: ProjectResource,
    accelerator: AcceleratorResource,
) -> Callable[[], "Extractor"]:
    """A function that sets up the device, opens the model and returns the feature extractor."""

    def load() -> "Extractor":
        accelerator.apply(context)
        return _extractor(
            model.local_path(project.layout.work / "models"),
            model.fingerprint,
            checkpoint,
            model.card.network,
            settings.profile.feature_layer,
            settings.profile.batch_size,
            settings.locations.box_size,
            len(settings.images.channels) if model.card.repeats_channels else None,
            project.layout.root / "plugins",
            accelerator.xla,
        )

    return load


@lru_cache(maxsize=MODELS_OPEN)
def _extractor(
    folder: Path,
    fingerprint: str,  # noqa: ARG001 (a model made again under the same path is another one)
    checkpoint: str | None,
    network_name: str,
    layer: str,
    batch_size: int,
    crop_size: int,
    repeated_channels: int | None,
    plugins: Path,
    xla: bool,
) -> "Extractor":
    """The extractor, kept for the next step or plate of this process: it is opened and compiled once."""
    from dp_assets.networks.plugins import load_project_plugins
    from dp_assets.networks.registry import feature_layer_name
    from dp_assets.profiling.extraction import FeatureExtractor
    from dp_assets.profiling.repeated_channels import RepeatedChannelExtractor
    from dp_assets.training.model_loading import load_trained_network

    load_project_plugins(plugins)
    network = load_trained_network(folder, checkpoint)
    layer = feature_layer_name(network_name, layer)
    if repeated_channels is not None:
        return RepeatedChannelExtractor(network, layer, batch_size, crop_size, repeated_channels, xla=xla)
    return FeatureExtractor(network, layer, batch_size, crop_size=crop_size, xla=xla)
