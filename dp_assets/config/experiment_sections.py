"""All sections of one file, and where its weights come from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dp_assets.config.evaluation_sections import EvaluationSettings, TsneSettings, UmapSettings
from dp_assets.config.profile_sections import (
    CorrectionSettings,
    FeatureSelectionSettings,
    FeaturesSettings,
    NormalizationSettings,
    ProfilesSettings,
    RegularizationSweepSettings,
)
from dp_assets.config.retraining import RetrainingSettings
from dp_assets.config.sections import (
    ArchitectureSettings,
    CheckpointSettings,
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
from dp_assets.config.validation import Reading, check_settings, read_section, section_data

ModelSource = Literal["train", "checkpoint", "imagenet"]


@dataclass(frozen=True)
class ExperimentSections:
    """All sections of a file, each read on its own so that one bad section does not spoil the others.

    ``architecture`` and ``checkpoint`` are the parts of ``network`` and ``profile`` that can be used even
    where the rest of their section is wrong. ``has_train`` tells whether the file has a section ``train``.
    """

    file: str
    has_train: bool
    metadata: Reading[MetadataSettings]
    images: Reading[ImagesSettings]
    locations: Reading[LocationsSettings]
    illumination: Reading[IlluminationSettings]
    compression: Reading[CompressionSettings]
    single_cells: Reading[SingleCellsSettings]
    model: Reading[ModelSettings]
    logging: Reading[LoggingSettings]
    retraining: Reading[RetrainingSettings]
    partition: Reading[PartitionSettings]
    network: Reading[NetworkSettings]
    architecture: Reading[ArchitectureSettings]
    sampling: Reading[SamplingSettings]
    validation: Reading[ValidationSettings]
    profile: Reading[ProfileSettings]
    checkpoint: Reading[CheckpointSettings]
    features: Reading[FeaturesSettings]
    profiles: Reading[ProfilesSettings]
    normalization: Reading[NormalizationSettings]
    correction: Reading[CorrectionSettings]
    feature_selection: Reading[FeatureSelectionSettings]
    regularization_sweep: Reading[RegularizationSweepSettings]
    evaluation: Reading[EvaluationSettings]
    tsne: Reading[TsneSettings]
    umap: Reading[UmapSettings]


def read_sections(data: Mapping[str, Any], file: str) -> ExperimentSections:
    """Read every section of a file; ``file`` is for messages."""
    return ExperimentSections(
        file=file,
        has_train=data.get("train") is not None,
        metadata=read_section(MetadataSettings, data, "dataset.metadata", file),
        images=read_section(ImagesSettings, data, "dataset.images", file),
        locations=_read_locations(data, file),
        illumination=read_section(IlluminationSettings, data, "prepare.illumination_correction", file),
        compression=read_section(CompressionSettings, data, "prepare.compression", file),
        single_cells=read_section(SingleCellsSettings, data, "single_cells", file),
        model=read_section(ModelSettings, data, "model", file),
        logging=read_section(LoggingSettings, data, "logging", file),
        retraining=read_section(RetrainingSettings, data, "train", file),
        partition=read_section(PartitionSettings, data, "train.partition", file),
        network=read_section(NetworkSettings, data, "train.model", file),
        architecture=read_section(ArchitectureSettings, data, "train.model", file),
        sampling=read_section(SamplingSettings, data, "train.sampling", file),
        validation=read_section(ValidationSettings, data, "train.validation", file),
        profile=read_section(ProfileSettings, data, "profile", file),
        checkpoint=read_section(CheckpointSettings, data, "profile", file),
        features=read_section(FeaturesSettings, data, "features", file),
        profiles=read_section(ProfilesSettings, data, "profiles", file),
        normalization=read_section(NormalizationSettings, data, "profiles.normalization", file),
        correction=read_section(CorrectionSettings, data, "profiles.correction", file),
        feature_selection=read_section(FeatureSelectionSettings, data, "profiles.feature_selection", file),
        regularization_sweep=read_section(
            RegularizationSweepSettings, data, "profiles.regularization_sweep", file
        ),
        evaluation=read_section(EvaluationSettings, data, "evaluation", file),
        tsne=read_section(TsneSettings, data, "evaluation.projections.tsne", file),
        umap=read_section(UmapSettings, data, "evaluation.projections.umap", file),
    )


def _read_locations(data: Mapping[str, Any], file: str) -> Reading[LocationsSettings]:
    locations = read_section(LocationsSettings, data, "dataset.locations", file)
    if locations.present:
        return locations
    # files from before dataset.locations described the crops where they were sampled
    sampling, _ = section_data(data, "train.sampling", file)
    keys = {key: value for key, value in (sampling or {}).items() if key in ("box_size", "mask_objects")}
    return (
        check_settings(LocationsSettings, keys, "train.sampling", file) if "box_size" in keys else locations
    )


def model_source(sections: ExperimentSections) -> ModelSource:
    """Where the weights come from: ``model.source``, else what the checkpoint's name says.

    "None" means ImageNet weights, ``checkpoint_NNNN`` a model trained by this experiment, and any other name
    that file. An experiment that names no checkpoint trains its network if it can.
    """
    if sections.model.settings is not None and sections.model.settings.source is not None:
        return sections.model.settings.source
    settings = sections.checkpoint.settings
    if settings is not None and "checkpoint" in settings.model_fields_set:
        if settings.checkpoint is None:
            return "imagenet"
        return "train" if checkpoint_epoch(settings.checkpoint) is not None else "checkpoint"
    return "train" if sections.has_train else "checkpoint"


def checkpoint_epoch(checkpoint: str) -> int | None:
    """The epoch (1-based) in the name of a checkpoint written while training, None for any other name."""
    match = re.fullmatch(r"checkpoint_(\d+)(\..*)?", checkpoint.strip(), re.IGNORECASE)
    return int(match[1]) if match else None
