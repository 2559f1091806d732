"""Keys nobody asked for: typing errors, with the name that was probably meant, and keys without effect."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from dp_assets.config.errors import Problem
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
    CompressionSettings,
    IlluminationSettings,
    ImagesSettings,
    LocationsSettings,
    LoggingSettings,
    MetadataSettings,
    ModelSettings,
    NetworkParameters,
    NetworkSettings,
    PartitionSettings,
    ProfileSettings,
    SamplingSettings,
    SingleCellsSettings,
    StepSchedule,
    ValidationSettings,
)
from dp_assets.config.spellings import OLDER_SPELLINGS, WITHOUT_EFFECT
from dp_assets.config.validation import nearest_name

SECTIONS: dict[str, type[BaseModel]] = {
    "dataset.metadata": MetadataSettings,
    "dataset.images": ImagesSettings,
    "dataset.locations": LocationsSettings,
    "prepare.illumination_correction": IlluminationSettings,
    "prepare.compression": CompressionSettings,
    "single_cells": SingleCellsSettings,
    "model": ModelSettings,
    "logging": LoggingSettings,
    "train": RetrainingSettings,
    "train.partition": PartitionSettings,
    "train.model": NetworkSettings,
    "train.model.params": NetworkParameters,
    "train.model.lr_schedule": StepSchedule,
    "train.sampling": SamplingSettings,
    "train.validation": ValidationSettings,
    "profile": ProfileSettings,
    "features": FeaturesSettings,
    "profiles": ProfilesSettings,
    "profiles.normalization": NormalizationSettings,
    "profiles.correction": CorrectionSettings,
    "profiles.feature_selection": FeatureSelectionSettings,
    "profiles.regularization_sweep": RegularizationSweepSettings,
    "evaluation": EvaluationSettings,
    "evaluation.projections.tsne": TsneSettings,
    "evaluation.projections.umap": UmapSettings,
}


def _known_keys() -> dict[str, list[str]]:
    known: dict[str, list[str]] = {section: list(model.model_fields) for section, model in SECTIONS.items()}
    for section in SECTIONS:
        parent, _, key = section.rpartition(".")
        while True:
            names = known.setdefault(parent, [])
            if key not in names:
                names.append(key)
            if not parent:
                break
            parent, _, key = parent.rpartition(".")
    return known


KNOWN_KEYS = _known_keys()


def unknown_keys(data: Mapping[str, Any], file: str) -> tuple[Problem, ...]:
    """Every key of a file that no setting reads, with the nearest known name.

    Parameters
    ----------
    data : the whole file.
    file : the file, for messages.
    """
    problems = []
    for section, key in _other_keys(data):
        if key not in WITHOUT_EFFECT.get(section, {}):
            path = f"{section}.{key}".lstrip(".")
            where = f"in {section}" if section else "at the top level"
            what = f'unknown key "{key}" {where}; it is ignored'
            problems.append(Problem(what, f"{file}: {path}", _meant(section, key)))
    return tuple(problems)


def keys_without_effect(data: Mapping[str, Any], file: str) -> tuple[Problem, ...]:
    """Every key of a file that older programs read and this one does not need; parameters as above."""
    problems = []
    for section, key in _other_keys(data):
        instead = WITHOUT_EFFECT.get(section, {}).get(key)
        if instead is not None and not _stands_in_for_locations(data, section, key):
            path = f"{section}.{key}".lstrip(".")
            what = f'"{key}" has no effect here: {instead}'
            problems.append(Problem(what, f"{file}: {path}", "Nothing needs to be done; it may be removed."))
    return tuple(problems)


def _stands_in_for_locations(data: Mapping[str, Any], section: str, key: str) -> bool:
    dataset = data.get("dataset")
    missing = not (isinstance(dataset, Mapping) and dataset.get("locations") is not None)
    return missing and section == "train.sampling" and key in ("box_size", "mask_objects")


def _other_keys(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for section, known in KNOWN_KEYS.items():
        node: Any = data
        for part in section.split(".") if section else ():
            node = node.get(part) if isinstance(node, Mapping) else None
        if isinstance(node, Mapping):
            read = {*known, *OLDER_SPELLINGS.get(section, {})}
            found += [(section, str(key)) for key in node if str(key) not in read]
    return sorted(found)


def _meant(section: str, key: str) -> str:
    others = [
        other or "the top level" for other, names in KNOWN_KEYS.items() if key in names and other != section
    ]
    near = nearest_name(key, KNOWN_KEYS[section])
    if others:
        meant = f'Did you mean "{near}"? ' if near is not None else ""
        return f"{meant}It belongs in {' or '.join(others)}."
    if near is not None:
        return f'Did you mean "{near}"?'
    return f"Known here: {', '.join(sorted(KNOWN_KEYS[section]))}."
