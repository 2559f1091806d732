"""What an experiment's features are made from: the inputs of its step, and the plan that comes of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from dp_assets.config.experiment import Experiment
from dp_assets.config.stages import ProfilingSettings
from dp_assets.orchestration.accelerator_resource import AcceleratorResource
from dp_assets.orchestration.crop_inputs import image_inputs, site_crops
from dp_assets.orchestration.grey_levels import ILLUMINATION, plate_range, statistics_inputs
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.profiling.feature_plan import FeaturePlan
from dp_assets.storage.card_check import require_card
from dp_assets.storage.model_folder import ModelFolder
from dp_assets.training.store_crops import PlateRange

MODEL = "trained_model"


def features_key(experiment: Experiment) -> dg.AssetKey:
    """The asset of an experiment's features."""
    return dg.AssetKey([experiment.name, "cell_features"])


def feature_inputs(experiment: Experiment, settings: ProfilingSettings) -> dict[str, dg.AssetIn]:
    """The inputs of `features_key(experiment)`."""
    return {
        **image_inputs(settings),
        **statistics_inputs(settings),
        MODEL: dg.AssetIn([experiment.name, MODEL]),
    }


def feature_plan(
    experiment: Experiment,
    settings: ProfilingSettings,
    plate: str,
    inputs: Mapping[str, Any],
    project: ProjectResource,
    accelerator: AcceleratorResource,
) -> FeaturePlan:
    """What a plate's features are made from. Raises ModelError when model and images do not go together."""
    model: ModelFolder = inputs[MODEL]
    order = require_card(model.card.crops, settings, f"{experiment.path} and {experiment.name}/trained_model")
    return FeaturePlan(
        source=site_crops(settings, plate, inputs, project, order),
        normalization=settings.single_cells.normalization,
        plate_range=_reordered(plate_range(settings, inputs.get(ILLUMINATION)), order),
        model_fingerprint=f"{model.fingerprint} {checkpoint_of(experiment, settings) or 'last'}",
        layer=settings.profile.feature_layer,
        precision=accelerator.precision,
        network=model.card.network,
        batch_size=settings.profile.batch_size,
        repeated_channels=settings.images.channels if model.card.repeats_channels else (),
    )


def checkpoint_of(experiment: Experiment, settings: ProfilingSettings) -> str | None:
    """The checkpoint of a model trained here; an imported model has one set of weights only."""
    return settings.profile.checkpoint if experiment.model_source == "train" else None


def _reordered(grey_levels: PlateRange | None, order: Sequence[int]) -> PlateRange | None:
    """The grey levels of the channels that the model takes, in its order."""
    if grey_levels is None:
        return None
    lower, upper = grey_levels
    return lower[list(order)], upper[list(order)]
