"""From separately read sections to the settings of one stage, with the checks that span sections.

Every function reports all problems of the sections its stage uses, and none of the others.
"""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from dp_assets.config.errors import Problem
from dp_assets.config.experiment_sections import (
    ExperimentSections,
    ModelSource,
    checkpoint_epoch,
    model_source,
)
from dp_assets.config.sections import (
    IlluminationSettings,
    ImagesSettings,
    LocationsSettings,
    NetworkSettings,
    ProfileSettings,
)
from dp_assets.config.stages import CropSettings, PreparationSettings, ProfilingSettings, TrainingSettings
from dp_assets.config.validation import Reading, show

StageT = TypeVar("StageT", bound=BaseModel)


@dataclass
class _Gathered:
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def need(self, name: str, reading: Reading[Any]) -> None:
        self.problems += reading.problems
        self.values[name] = reading.settings

    def take_if_present(self, name: str, reading: Reading[Any]) -> None:
        if reading.present:
            self.need(name, reading)

    def build(self, model: type[StageT]) -> Reading[StageT]:
        problems = tuple(dict.fromkeys(self.problems))
        return Reading(True, None if problems else model(**self.values), problems)


def preparation_settings(sections: ExperimentSections) -> Reading[PreparationSettings]:
    """Settings of illumination correction and compression."""
    gathered = _Gathered({"illumination": IlluminationSettings()})
    gathered.take_if_present("metadata", sections.metadata)
    gathered.need("images", sections.images)
    gathered.take_if_present("illumination", sections.illumination)
    gathered.take_if_present("compression", sections.compression)
    return gathered.build(PreparationSettings)


def crop_settings(sections: ExperimentSections) -> Reading[CropSettings]:
    """Settings of cropping, with ``view_size`` worked out."""
    return _gather_crops(sections).build(CropSettings)


def training_settings(sections: ExperimentSections) -> Reading[TrainingSettings]:
    """Settings of training."""
    gathered = _gather_crops(sections)
    gathered.need("partition", sections.partition)
    gathered.need("network", sections.network)
    # the size of the network is checked here too when its training parameters are wrong
    gathered.problems += sections.architecture.problems
    gathered.problems += sections.retraining.problems if sections.has_train else ()
    gathered.take_if_present("sampling", sections.sampling)
    gathered.take_if_present("validation", sections.validation)
    gathered.take_if_present("model", sections.model)
    gathered.take_if_present("logging", sections.logging)
    gathered.problems += _without_validation(sections)
    return gathered.build(TrainingSettings)


def profiling_settings(sections: ExperimentSections) -> Reading[ProfilingSettings]:
    """Settings of profiling; of the section ``train`` only the network's name and shape are used."""
    gathered = _gather_crops(sections)
    gathered.need("profile", sections.profile)
    gathered.take_if_present("model", sections.model)
    source = model_source(sections)
    if source != "train":
        gathered.need("network", sections.architecture)
    elif sections.architecture.settings is not None:
        gathered.values["network"] = sections.architecture.settings
    if sections.profile.settings is not None:
        gathered.problems += _weights_problems(sections, sections.profile.settings, source)
    return gathered.build(ProfilingSettings)


def _gather_crops(sections: ExperimentSections) -> _Gathered:
    gathered = _Gathered()
    gathered.need("images", sections.images)
    gathered.need("locations", sections.locations)
    gathered.take_if_present("single_cells", sections.single_cells)
    gathered.take_if_present("compression", sections.compression)
    compression = sections.compression.settings
    if compression is not None and not compression.implement:
        gathered.values["compression"] = None
    images, locations = sections.images.settings, sections.locations.settings
    if images is not None and locations is not None:
        gathered.values["locations"], problems = _with_view_size(locations, images, sections.file)
        gathered.problems += problems
    gathered.problems += _scaled_exact_crops(sections)
    return gathered


def _with_view_size(
    locations: LocationsSettings, images: ImagesSettings, file: str
) -> tuple[LocationsSettings, list[Problem]]:
    if locations.mode != "full_image" or locations.view_size is not None:
        return locations, []
    if locations.area_coverage is not None and images.width is not None:
        view = max(2, round(locations.area_coverage * images.width))
        return locations.model_copy(update={"view_size": view}), []
    what = "dataset.locations.view_size is missing; in full_image mode it is the size of the windows"
    remedy = "Write the side of the square window in pixels, the image width for one window per image."
    if locations.area_coverage is not None:
        what = "area_coverage is a fraction of the image width, but dataset.images.width is missing"
        remedy = "Write dataset.images.width, or dataset.locations.view_size in pixels."
    return locations, [Problem(what, f"{file}: dataset.locations.view_size", remedy)]


def _scaled_exact_crops(sections: ExperimentSections) -> list[Problem]:
    cells, compression = sections.single_cells.settings, sections.compression.settings
    if cells is None or compression is None or cells.sampling != "exact" or not compression.implement:
        return []
    if compression.scaling_factor == 1.0:
        return []
    what = f'sampling is "exact", whole pixels, but images are scaled by {compression.scaling_factor}'
    remedy = 'Write "sampling": "original", or "scaling_factor": 1.0 in prepare.compression.'
    return [Problem(what, f"{sections.file}: single_cells.sampling", remedy)]


def _without_validation(sections: ExperimentSections) -> list[Problem]:
    """Problems of settings that look at the validation set, when there is none."""
    partition, network = sections.partition.settings, sections.network.settings
    if partition is None or network is None or partition.validation:
        return []
    asked = {
        "checkpoint_policy": network.checkpoint_policy == "best",
        "lr_schedule": network.lr_schedule == "plateau",
    }
    return [
        Problem(
            f"train.model.{key} is {show(getattr(network, key))}, but there is no validation set to go by",
            f"{sections.file}: train.model.{key}",
            "Name the validation images in train.partition.validation, or change this setting.",
        )
        for key, needed in asked.items()
        if needed
    ]


def _weights_problems(
    sections: ExperimentSections, profile: ProfileSettings, source: ModelSource
) -> list[Problem]:
    """Contradictions between the source of the weights, the checkpoint named and the training section."""
    where = f"{sections.file}: profile.checkpoint"
    named = show(profile.checkpoint)
    if source == "checkpoint" and profile.checkpoint is None:
        remedy = 'Write a weights file, for example "checkpoint": "Cell_Painting_CNN_v1.hdf5".'
        return [Problem("profile.checkpoint is missing; profiling needs weights", where, remedy)]
    if source == "imagenet" and profile.checkpoint is not None:
        remedy = 'Write "checkpoint": "None", or "source": "checkpoint" in the section model.'
        return [Problem(f'model.source is "imagenet", but profile.checkpoint is {named}', where, remedy)]
    if source == "train" and not sections.has_train:
        what = f"profile.checkpoint is {named}, which training writes, but there is no section train"
        remedy = 'Add the section train; to use an existing file, add "model": {"source": "checkpoint"}.'
        return [Problem(what, where, remedy)]
    if source == "train" and profile.checkpoint is not None and sections.network.settings is not None:
        return _epoch_problems(profile.checkpoint, sections.network.settings, where)
    return []


def _epoch_problems(checkpoint: str, network: NetworkSettings, where: str) -> list[Problem]:
    epoch, policy = checkpoint_epoch(checkpoint), network.checkpoint_policy
    if epoch is None:
        return []
    last = f"checkpoint_{network.epochs:04d}"
    if not 1 <= epoch <= network.epochs:
        what = f"profile.checkpoint is {show(checkpoint)}, but training has {network.epochs} epochs"
        return [Problem(what, where, f"Name a checkpoint up to {last}, or raise train.model.epochs.")]
    # the last epoch is always kept
    if isinstance(policy, int) and epoch % policy and epoch != network.epochs:
        what = f"profile.checkpoint is {show(checkpoint)}, but checkpoints are kept every {policy} epochs"
        return [
            Problem(what, where, f"Name one of those, or {last}, or change train.model.checkpoint_policy.")
        ]
    return []
