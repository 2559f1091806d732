"""What each stage of the work needs from an experiment: typed, and complete."""

import math
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from dp_assets.config.sections import (
    ArchitectureSettings,
    CompressionSettings,
    IlluminationSettings,
    ImagesSettings,
    LocationsSettings,
    LoggingSettings,
    MetadataSettings,
    ModelSettings,
    NetworkSettings,
    PartitionSettings,
    ProfileSettings,
    SamplingSettings,
    SingleCellsSettings,
    ValidationSettings,
)


class Stage(StrEnum):
    """The stages that read the configuration, in the order of work."""

    PREPARATION = "preparation"
    CROPS = "crops"
    TRAINING = "training"
    PROFILING = "profiling"
    SCORING = "scoring"


class _StageSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PreparationSettings(_StageSettings):
    """Illumination correction and compression.

    ``metadata`` is None in projects without labels, ``compression`` where only illumination is described.
    """

    metadata: MetadataSettings | None = None
    images: ImagesSettings
    illumination: IlluminationSettings
    compression: CompressionSettings | None = None


class CropSettings(_StageSettings):
    """Cropping. ``compression`` is None when the original images are used."""

    images: ImagesSettings
    locations: LocationsSettings
    single_cells: SingleCellsSettings = SingleCellsSettings()
    compression: CompressionSettings | None = None

    @property
    def set_name(self) -> str:
        """Name of the set of crops, made of its geometry unless ``single_cells.name`` gives one.

        "box96", "box96_masked", "box96_exact", and "view512_box96" in full_image mode. Experiments with the
        same geometry share one set.
        """
        if self.single_cells.name is not None:
            return self.single_cells.name
        name = f"box{self.locations.box_size}" + ("_masked" if self.locations.mask_objects else "")
        if self.single_cells.sampling == "exact":
            name += "_exact"
        if self.locations.mask_objects and self.single_cells.masks == "original":
            name += "_parity"
        if self.locations.mode == "full_image":
            return f"view{self.locations.view_size}_{name}"
        return name

    @property
    def margin(self) -> int:
        """Pixels stored around the box: an eighth of the box unless ``single_cells.margin`` is given."""
        given = self.single_cells.margin
        return math.ceil(self.locations.box_size / 8) if given is None else given


class TrainingSettings(CropSettings):
    """Training: the crops it reads, and how the network is trained."""

    partition: PartitionSettings
    network: NetworkSettings
    sampling: SamplingSettings = SamplingSettings()
    validation: ValidationSettings = ValidationSettings()
    model: ModelSettings = ModelSettings()
    logging: LoggingSettings = LoggingSettings()


class ProfilingSettings(CropSettings):
    """Profiling: crops, layer and weights. ``network`` may be None only where the model is trained here."""

    profile: ProfileSettings
    network: ArchitectureSettings | None = None
    model: ModelSettings = ModelSettings()
