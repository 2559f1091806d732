"""Settings of profiles and scores that do not go together."""

from dataclasses import dataclass

from dp_assets.config.errors import Problem
from dp_assets.config.experiment_sections import ExperimentSections
from dp_assets.config.profile_sections import CorrectionSettings, NormalizationSettings, ProfilesSettings
from dp_assets.config.protocol import ProfileProtocol

# Methods of profiles.correction that are scales (profiles.normalization) under another name.
SCALES = ("standardize", "mad_robustize")


@dataclass(frozen=True)
class Given:
    """What a file says itself, without the preset."""

    profiles: ProfilesSettings
    normalization: NormalizationSettings
    correction: CorrectionSettings


def sections_about_images(sections: ExperimentSections) -> list[Problem]:
    """Sections that an experiment on another program's features cannot have."""
    if not sections.features.present:
        return []
    about_images = {
        "dataset.images": sections.images.present,
        "dataset.locations": sections.locations.present,
        "prepare": sections.illumination.present or sections.compression.present,
        "single_cells": sections.single_cells.present,
        "model": sections.model.present,
        "train": sections.has_train,
        "profile": sections.profile.present,
    }
    found = [name for name, present in about_images.items() if present]
    if not found:
        return []
    return [
        Problem(
            f"features come from tables (section features), but the file also has {', '.join(found)}, "
            "which make features from images",
            f"{sections.file}: features",
            f"Remove {', '.join(found)} (null where another file is extended), or move features to a file of "
            "its own: it becomes an experiment beside this one.",
        )
    ]


def contradictions(protocol: ProfileProtocol, given: Given, file: str) -> list[Problem]:
    """What contradicts each other in the sections about profiles.

    Parameters
    ----------
    protocol : the settings with the preset worked in.
    given : those that the file has.
    file : for messages.
    """
    return [
        *_level_problems(protocol, given, file),
        *_scale_problems(given, file),
        *_control_problems(protocol, given, file),
    ]


def _level_problems(protocol: ProfileProtocol, given: Given, file: str) -> list[Problem]:
    problems = []
    if protocol.level == "well" and protocol.treatments.source == "site":
        problems.append(
            Problem(
                'treatments are made of sites, but profiles are corrected as wells (level "well")',
                f"{file}: profiles.treatment_source",
                'Write "treatment_source": "well", or "level": "site" in profiles.correction.',
            )
        )
    if protocol.level == "site" and given.profiles.well_aggregation == "cells":
        problems.append(
            Problem(
                'wells are made of cells, but profiles are corrected as sites (level "site")',
                f"{file}: profiles.well_aggregation",
                'Write "mean" or "median", or "level": "well" in profiles.correction.',
            )
        )
    return problems


def _scale_problems(given: Given, file: str) -> list[Problem]:
    named, method = given.correction.method, given.normalization.method
    if named not in SCALES or method in (None, named):
        return []
    return [
        Problem(
            f'profiles.correction.method is "{named}", but profiles.normalization.method is "{method}"',
            f"{file}: profiles.correction.method",
            "Write the scale in profiles.normalization only.",
        )
    ]


def _control_problems(protocol: ProfileProtocol, given: Given, file: str) -> list[Problem]:
    columns = protocol.columns
    if columns.names_controls:
        return []
    if given.profiles.control_values:
        return [
            Problem(
                "profiles.control_values is given, but no column that has them",
                f"{file}: profiles.control_field",
                'Write the column, for example "control_field": "Compound", or dataset.metadata.label_field.',
            )
        ]
    if given.profiles.control_field is not None:
        return [
            Problem(
                f'profiles.control_field is "{given.profiles.control_field}", but nothing says which of its '
                "values are controls",
                f"{file}: profiles.control_values",
                'Write the values of control wells, for example "control_values": ["DMSO"].',
            )
        ]
    against = [
        name
        for name, needed in {
            f'profiles.correction.method "{protocol.correction.method}"': protocol.correction.method
            != "none",
            'profiles.normalization.reference "controls"': protocol.normalization.method != "none"
            and protocol.normalization.reference == "controls",
        }.items()
        if needed
    ]
    if not against:
        return []
    return [
        Problem(
            f"{' and '.join(against)} needs control wells, but nothing says which wells these are",
            f"{file}: profiles.control_values",
            'Write dataset.metadata.control_value, or profiles.control_field and "control_values".',
        )
    ]
