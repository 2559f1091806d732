"""One experiment: a configuration file, and what each stage needs from it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from dp_assets.config.assembly import (
    crop_settings,
    preparation_settings,
    profiling_settings,
    training_settings,
)
from dp_assets.config.digest import settings_digest
from dp_assets.config.errors import ConfigurationError, Problem
from dp_assets.config.experiment_sections import (
    ExperimentSections,
    ModelSource,
    checkpoint_epoch,
    model_source,
    read_sections,
)
from dp_assets.config.inheritance import read_with_parents
from dp_assets.config.names import lane_name
from dp_assets.config.overrides import Overrides
from dp_assets.config.protocol import ScoringSettings
from dp_assets.config.reading import Document
from dp_assets.config.scoring import scoring_settings
from dp_assets.config.stages import (
    CropSettings,
    PreparationSettings,
    ProfilingSettings,
    Stage,
    TrainingSettings,
)
from dp_assets.config.unknown_keys import keys_without_effect, unknown_keys
from dp_assets.config.validation import Reading, show

__all__ = [
    "CropSettings",
    "Experiment",
    "PreparationSettings",
    "ProfilingSettings",
    "Stage",
    "TrainingSettings",
    "load_experiment",
    "settings_digest",
]

StageT = TypeVar("StageT", bound=BaseModel)

_ASSEMBLE: dict[Stage, Callable[[ExperimentSections], Reading]] = {
    Stage.PREPARATION: preparation_settings,
    Stage.CROPS: crop_settings,
    Stage.TRAINING: training_settings,
    Stage.PROFILING: profiling_settings,
    Stage.SCORING: scoring_settings,
}


@dataclass(frozen=True)
class Experiment:
    """A configuration file whose syntax is right; its sections may still have problems.

    Attributes
    ----------
    name : the lane's name, made from the file's name (``TA-orf.json`` -> ``ta_orf``).
    path : the file.
    document : its plain values.
    sections : its sections, each read on its own.
    strict : whether doubtful keys (unknown, repeated) are problems of every stage instead of warnings.
    """

    name: str
    path: Path
    document: Document
    sections: ExperimentSections
    strict: bool = False

    def preparation(self) -> PreparationSettings:
        """What illumination correction and compression need; raises ConfigurationError with all problems."""
        return self._settings(Stage.PREPARATION, preparation_settings)

    def crops(self) -> CropSettings:
        """What cropping needs; raises ConfigurationError with all problems."""
        return self._settings(Stage.CROPS, crop_settings)

    def training(self) -> TrainingSettings:
        """What training needs; raises ConfigurationError with all problems."""
        return self._settings(Stage.TRAINING, training_settings)

    def profiling(self) -> ProfilingSettings:
        """What profiling needs; raises ConfigurationError with all problems."""
        return self._settings(Stage.PROFILING, profiling_settings)

    def scoring(self) -> ScoringSettings:
        """What profiles and scores need; raises ConfigurationError with all problems."""
        return self._settings(Stage.SCORING, scoring_settings)

    def problems(self, stage: Stage) -> tuple[Problem, ...]:
        """Everything that keeps one stage from running; nothing that only other stages use."""
        return (*_ASSEMBLE[Stage(stage)](self.sections).problems, *(self._doubts() if self.strict else ()))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Keys that are unknown, repeated or without effect, and values that may be a mistake."""
        doubts = () if self.strict else self._doubts()
        return (*doubts, *keys_without_effect(self.document.data, str(self.path)))

    @property
    def model_source(self) -> ModelSource:
        """Where the weights for profiling come from: "train", "checkpoint" or "imagenet"."""
        return model_source(self.sections)

    @property
    def checkpoint_epoch(self) -> int | None:
        """The epoch (1-based) of a checkpoint named ``checkpoint_NNNN``, else None."""
        settings = self.sections.checkpoint.settings
        named = settings.checkpoint if settings is not None else None
        return checkpoint_epoch(named) if named is not None else None

    @property
    def has_preparation(self) -> bool:
        """Whether the file describes illumination correction or compression."""
        return self.sections.illumination.present or self.sections.compression.present

    @property
    def has_crops(self) -> bool:
        """Whether the file describes crops, or a stage that reads them."""
        return self.sections.locations.present or self.sections.has_train or self.has_profile

    @property
    def has_training(self) -> bool:
        """Whether the experiment trains its network: a section ``train``, and no weights from elsewhere."""
        return self.sections.has_train and self.model_source == "train"

    @property
    def least_new_plates(self) -> int | None:
        """How many plates that its model does not know start a training; None when nothing does by itself."""
        settings = self.sections.retraining.settings
        return settings.least_new_plates if settings is not None and self.has_training else None

    @property
    def has_profile(self) -> bool:
        """Whether the file has a section ``profile``."""
        return self.sections.profile.present

    @property
    def has_features(self) -> bool:
        """Whether the features come from another program's tables: a section ``features``."""
        return self.sections.features.present

    @property
    def is_scored(self) -> bool:
        """Whether something in the file says what a treatment is, or how profiles are made and scored.

        A file that only profiles images may know nothing of treatments; then profiles end with wells.
        """
        sections = self.sections
        said = (sections.metadata, sections.profiles, sections.evaluation)
        return self.has_features or (self.has_profile and any(section.present for section in said))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages this file describes, in the order of work.

        An experiment on another program's features has none of the stages that work on images.
        """
        if self.has_features:
            return (Stage.SCORING,)
        described = {
            Stage.PREPARATION: self.has_preparation,
            Stage.CROPS: self.has_crops,
            Stage.TRAINING: self.has_training,
            Stage.PROFILING: self.has_profile,
            Stage.SCORING: self.has_profile,
        }
        return tuple(stage for stage, is_described in described.items() if is_described)

    def _settings(self, stage: Stage, assemble: Callable[[ExperimentSections], Reading[StageT]]) -> StageT:
        settings, problems = assemble(self.sections).settings, self.problems(stage)
        if settings is None or problems:
            raise ConfigurationError(problems)
        return settings

    def _doubts(self) -> tuple[Problem, ...]:
        file = str(self.path)
        return (*self.document.warnings, *unknown_keys(self.document.data, file), *self._leaks(file))

    def _leaks(self, file: str) -> tuple[Problem, ...]:
        partition = self.sections.partition.settings
        both = sorted(set(partition.training) & set(partition.validation)) if partition is not None else []
        if not both:
            return ()
        what = (
            f"the values {', '.join(map(show, both))} are in training and in validation; scores will flatter"
        )
        return (
            Problem(what, f"{file}: train.partition.validation", "Validate on images that do not train."),
        )


def load_experiment(
    path: Path | str, *, strict: bool = False, overrides: Overrides | None = None
) -> Experiment:
    """Read an experiment configuration, and the files it extends.

    Parameters
    ----------
    path : a .json, .yaml or .yml file.
    strict : treat unknown and repeated keys as problems. Keys that older programs knew stay warnings.
    overrides : keys set for this run only.

    Raises
    ------
    ConfigurationError
        The file is missing or its syntax is wrong. Wrong sections are reported by the stages that use them.
    """
    document = read_with_parents(Path(path))
    name = lane_name(document.path.stem)
    document = (overrides or Overrides()).applied(document, name)
    return Experiment(
        name=name,
        path=document.path,
        document=document,
        sections=read_sections(document.data, str(document.path)),
        strict=strict,
    )
