"""Whether an experiment's crops are what a model takes: the model card enforced."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dp_assets.config.errors import ModelError, Problem
from dp_assets.config.stages import ProfilingSettings
from dp_assets.storage.model_card import crop_facts

REPEATING_GENERATOR = "repeat_channel_crop_generator"

_DEPTH_MATTERS = ("none", "plate")
"""Normalizations that keep grey levels; the others forget how many of them there were."""


def repeats_channels(settings: ProfilingSettings) -> bool:
    """Whether each channel of a crop goes through the network on its own, as a grey RGB image."""
    return settings.network is not None and settings.network.crop_generator == REPEATING_GENERATOR


def card_problems(wanted: Mapping[str, Any], settings: ProfilingSettings, where: str) -> list[Problem]:
    """What keeps an experiment's crops from being what a model takes; nothing is opened.

    Parameters
    ----------
    wanted : facts of a `ModelCard` or `CheckpointCard`, by field; what is not there is not checked.
    where : the experiment's file, for messages.
    """
    return [*_crop_problems(wanted, settings, where), *_channel_problems(wanted, settings, where)]


def require_card(wanted: Mapping[str, Any], settings: ProfilingSettings, where: str) -> tuple[int, ...]:
    """The position in `dataset.images.channels` of each channel that the model takes, in its order.

    Parameters
    ----------
    wanted, where : as for `card_problems`.

    Raises
    ------
    ModelError : the experiment makes its crops otherwise. Both sides are in the message.
    """
    problems = card_problems(wanted, settings, where)
    if problems:
        raise ModelError(problems)
    offered = settings.images.channels
    ours = wanted.get("channels", offered)
    if repeats_channels(settings) or _same(ours, offered):
        return tuple(range(len(offered)))
    return tuple(number for name in ours if (number := _position(name, offered)) is not None)


def _crop_problems(wanted: Mapping[str, Any], settings: ProfilingSettings, where: str) -> list[Problem]:
    ours = {**crop_facts(settings), "repeats_channels": repeats_channels(settings)}
    if settings.network is not None:
        ours |= {"network": settings.network.name, "conv_blocks": settings.network.params.conv_blocks}
    unchecked = {"channels"}
    if wanted.get("normalization", ours["normalization"]) not in _DEPTH_MATTERS:
        unchecked.add("bits")
    if not ours["mask_objects"]:
        unchecked.add("masks")
    different = [
        f"the model has {name} {_shown(wanted[name])}, the configuration {_shown(value)}"
        for name, value in ours.items()
        if name in wanted and name not in unchecked and wanted[name] != value
    ]
    if not different:
        return []
    remedy = "make the crops as the model takes them, or make the model again with this configuration"
    return [Problem("; ".join(different), where, remedy)]


def _channel_problems(wanted: Mapping[str, Any], settings: ProfilingSettings, where: str) -> list[Problem]:
    offered = settings.images.channels
    ours = tuple(wanted.get("channels", offered))
    missing = [name for name in ours if _position(name, offered) is None]
    mapped = settings.model.allow_channel_mapping and not missing
    if repeats_channels(settings) or _same(ours, offered) or mapped:
        return []
    what = f"the model takes channels {', '.join(ours)}, in this order; the images offer {', '.join(offered)}"
    if missing:
        remedy = (
            f"the images have no {' and no '.join(missing)}: call the columns of the image index as the "
            "model does, or tell the model your names in a card beside its weights (docs/configuration.md, "
            "Where the weights come from)"
        )
    else:
        remedy = (
            "list dataset.images.channels as the model does, or let it take its channels by name: "
            '"allow_channel_mapping": true in the section model'
        )
    return [Problem(what, f"{where}: dataset.images.channels", remedy)]


def _same(ours: Sequence[str], offered: Sequence[str]) -> bool:
    return [name.casefold() for name in ours] == [name.casefold() for name in offered]


def _position(name: str, offered: Sequence[str]) -> int | None:
    """Where the images offer a channel: by its very name, else by the only one that differs in case alone."""
    if name in offered:
        return list(offered).index(name)
    alike = [number for number, other in enumerate(offered) if other.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def _shown(value: object) -> str:
    """A value as a configuration file would have it."""
    return json.dumps(value).strip('"')
