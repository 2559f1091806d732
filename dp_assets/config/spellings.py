"""Other spellings of keys, and keys that had an effect once (behaviour notes, section 7).

Sections are named by their path in the file; "" is the file itself.
"""

from collections.abc import Mapping
from typing import Any

from dp_assets.config.errors import Problem

# section -> {other spelling: key used here}; those of `profiles` are the ones that papers and notebooks use
OLDER_SPELLINGS: dict[str, dict[str, str]] = {
    "dataset.metadata": {"control_id": "control_value"},
    "train.partition": {"training_values": "training", "validation_values": "validation"},
    "train.model": {"Augmentations": "augmentations"},
    "train.sampling": {"queue_size": "cache_size"},
    "profiles": {"cell_aggregation": "aggregation", "min_cells_per_site": "minimum_cells_per_site"},
    "profiles.correction": {"lambda": "regularization"},
}

_LOGGING = "training curves are always written to log.csv and tensorboard/"
_WORKERS = "reading threads are set with train.sampling.workers"
_SAMPLED = "every epoch draws the same number of cells from each class"

# section -> {key: what happens instead}
WITHOUT_EFFECT: dict[str, dict[str, str]] = {
    "": {
        "paths": "where results lie is fixed (its images, locations and index are read)",
        "queueing": _WORKERS,
        "comet_ml": _LOGGING,
    },
    "dataset.images": {"channel_repeats": "repeat_channel_crop_generator repeats every channel"},
    "prepare": {"outlines": "masks are asked for with dataset.locations.mask_objects"},
    "train": {
        "gpus": "devices are chosen when a run is started",
        "queueing": _WORKERS,
        "comet_ml": _LOGGING,
    },
    "train.model": {"steps": "an epoch has as many steps as its cells fill batches"},
    "train.sampling": {
        "images": _SAMPLED,
        "locations": _SAMPLED,
        "field": _SAMPLED,
        "alpha": _SAMPLED,
        "locations_field": "locations are those of nuclei",
        "box_size": "crops are described in dataset.locations",
        "mask_objects": "crops are described in dataset.locations",
    },
    "profile": {"pretrained": 'ImageNet weights are asked for with "checkpoint": "None"'},
}


def with_current_spelling(
    data: Mapping[str, Any], section: str, file: str
) -> tuple[dict[str, Any], dict[str, str], list[Problem]]:
    """Rename the older keys of one section.

    Parameters
    ----------
    data : the section as it is in the file.
    section : its path in the file, such as "train.partition".
    file : the file, for messages.

    Returns
    -------
    The section under the names used here; for each renamed key, the spelling in the file; and a problem for
    every key that is there in both spellings with different values.
    """
    older = OLDER_SPELLINGS.get(section, {})
    renamed: dict[str, Any] = {key: value for key, value in data.items() if key not in older}
    spelled: dict[str, str] = {}
    problems = []
    for key, current in older.items():
        if key not in data:
            continue
        if current in data and data[current] != data[key]:
            problems.append(
                Problem(
                    f"{key} and {current} are two names of one setting, and their values differ",
                    f"{file}: {section}.{key}",
                    f"Remove {key}.",
                )
            )
        elif current not in data:
            renamed[current] = data[key]
            spelled[current] = key
    return renamed, spelled, problems


def without_other_spellings(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a file without those that ``changes`` gives under another name of the same key.

    For laying one file over another: ``lambda`` in the one and ``regularization`` in the other are one
    setting, and no contradiction.

    Parameters
    ----------
    base, changes : whole files.
    """
    result = dict(base)
    for section, names in OLDER_SPELLINGS.items():
        replaced = {
            other
            for older, current in names.items()
            for name, other in ((older, current), (current, older))
            if name in _at(changes, section)
        }
        if replaced & _at(result, section).keys():
            result = _pruned(result, section.split("."), replaced)
    return result


def _at(data: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    node: Any = data
    for part in section.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def _pruned(node: Mapping[str, Any], path: list[str], keys: set[str]) -> dict[str, Any]:
    if not path:
        return {key: value for key, value in node.items() if key not in keys}
    return {**node, path[0]: _pruned(node[path[0]], path[1:], keys)}
