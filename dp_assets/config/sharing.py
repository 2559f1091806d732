"""What the experiments of a project have in common, and where two of them contradict each other.

Images are indexed, corrected and compressed once per plate, and sets of crops are shared by name: experiments
that describe these differently cannot be in one project.
"""

from typing import Any

from pydantic import BaseModel

from dp_assets.config.errors import Problem
from dp_assets.config.experiment import Experiment
from dp_assets.config.validation import Reading, show

# These are held against the image files and change nothing else, so leaving one out is no conflict.
_CHECKS = frozenset({"dataset.images.file_format", "dataset.images.width", "dataset.images.height"})


def disagreements(experiment: Experiment, reference: Experiment) -> list[Problem]:
    """Every shared setting that differs from the reference experiment's.

    Settings that are left out here are taken over from the reference, except that without
    ``prepare.compression`` the original images are used.
    """
    ours, theirs = _shared_settings(experiment), _shared_settings(reference)
    stated = _checks_stated(experiment) & _checks_stated(reference)
    problems = []
    for key, value in ours.items():
        other = theirs.get(key)
        if other == value or (key in _CHECKS and key not in stated):
            continue
        there = "missing" if other is None else show(other)
        problems.append(
            Problem(
                f"{key} is {show(value)} in {experiment.path.name}, but {there} in {reference.path.name}",
                f"{experiment.path}: {key}",
                f"Experiments of one project share this setting: make it equal in {experiment.path} and "
                f"{reference.path}, or move one of them to a project of its own.",
            )
        )
    return problems


def crop_set_conflict(experiment: Experiment, other: Experiment) -> Problem | None:
    """Two experiments that give one name to different sets of crops; None when they do not."""
    ours, theirs = experiment.crops(), other.crops()
    if ours.set_name != theirs.set_name:
        return None
    first, second = _stored_geometry(experiment), _stored_geometry(other)
    different = [key for key in first if first[key] != second[key]]
    if not different:
        return None
    values = "; ".join(f"{key} is {show(first[key])} here and {show(second[key])} there" for key in different)
    return Problem(
        f'the set of crops "{ours.set_name}" is also made by {other.path.name}, differently: {values}',
        f"{experiment.path}: single_cells.name",
        f"Write another single_cells.name, or the same settings as in {other.path}.",
    )


def _shared_settings(experiment: Experiment) -> dict[str, Any]:
    sections = experiment.sections
    values = {
        **_flat("dataset.metadata", sections.metadata),
        **_flat("dataset.images", sections.images),
        **_flat("prepare.illumination_correction", sections.illumination),
        **_flat("prepare.compression", sections.compression),
    }
    values.setdefault("prepare.compression.implement", False)
    return values


def _checks_stated(experiment: Experiment) -> set[str]:
    settings = experiment.sections.images.settings
    stated = settings.model_fields_set if settings is not None else set()
    return {f"dataset.images.{key}" for key in stated}


def _flat(section: str, reading: Reading[Any]) -> dict[str, Any]:
    settings: BaseModel | None = reading.settings
    values = settings.model_dump() if settings is not None else {}
    return {f"{section}.{key}": value for key, value in values.items() if value is not None}


def _stored_geometry(experiment: Experiment) -> dict[str, Any]:
    # normalisation happens after the store, so sets that differ only in it are the same
    crops = experiment.crops()
    locations = crops.locations.model_dump(include={"mode", "box_size", "mask_objects"})
    view = crops.locations.view_size if crops.locations.mode == "full_image" else None
    cells = crops.single_cells
    masks = cells.masks if crops.locations.mask_objects else None
    return {
        **locations,
        "view_size": view,
        "margin": crops.margin,
        "sampling": cells.sampling,
        "masks": masks,
    }
