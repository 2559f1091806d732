"""Bringing weights from elsewhere into a model folder with a card, to be profiled like any model."""

from dataclasses import replace
from pathlib import Path

import keras

from dp_assets.config.errors import ModelError
from dp_assets.networks.architecture import HEAD_NAME
from dp_assets.networks.checkpoints import LoadReport, load_weights_by_name
from dp_assets.networks.layer_matching import is_counted, layers_with_weights
from dp_assets.networks.plugins import load_project_plugins
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets.networks.weight_files import open_weights
from dp_assets.storage.card_check import repeats_channels
from dp_assets.storage.folders import FolderWriter
from dp_assets.storage.model_card import ModelCard
from dp_assets.storage.model_folder import NETWORK_FILE, card_facts, write_card
from dp_assets.training.import_plan import ImportPlan
from dp_assets.training.model_card_making import card_of
from dp_assets.training.network_archive import save_network

NO_HEADS = frozenset({"features", "encoded", "predictions"})
"""Dense layers of known networks that are no heads of the original program."""


def import_model(plan: ImportPlan) -> tuple[FolderWriter, LoadReport]:
    """Build the network, put the weights into it, and return the model folder to publish.

    The network gets the heads that the checkpoint has, so that class probabilities can be had too; their
    classes have no names. The head of ImageNet is left out.

    Raises
    ------
    ModelError : the weights cannot be had, or are those of another network or another number of channels.
    """
    if plan.plugins is not None:
        load_project_plugins(plan.plugins)
    request = _request(plan)
    if plan.checkpoint is None:
        network = build_network(replace(request, initialization="imagenet"))
        names = tuple(layer.name for layer in layers_with_weights(network))
        report = LoadReport(loaded=names, skipped=(), missing=())
    else:
        network, report = _with_checkpoint(request, plan.checkpoint)
    card = _card(plan, network)
    writer = FolderWriter(
        fingerprint=plan.fingerprint,
        facts={
            "card": card_facts(card),
            "layers_loaded": len(report.loaded),
            "layers_skipped": list(report.skipped),
        },
        fill=lambda folder: _fill(folder, network, card),
    )
    return writer, report


def _request(plan: ImportPlan) -> NetworkRequest:
    architecture = plan.settings.network
    if architecture is None:
        raise ModelError(
            "the configuration does not say which network the weights are for",
            where="train.model",
            remedy="give train.model.name and train.model.params.conv_blocks",
        )
    return NetworkRequest(
        name=architecture.name,
        input_shape=plan.input_shape,
        classes=None,
        conv_blocks=architecture.params.conv_blocks,
        feature_dim=architecture.params.feature_dim,
        dtype_policy=plan.precision,
        imagenet_weights=plan.imagenet_weights,
    )


def _with_checkpoint(request: NetworkRequest, path: Path) -> tuple[keras.Model, LoadReport]:
    """The network with the weights of a file, and with its heads if all of them can be filled."""
    heads = _stored_heads(path)
    if heads:
        (target, classes), *more = heads
        network = build_network(replace(request, classes=classes, target=target, more_heads=tuple(more)))
        report = load_weights_by_name(network, path)
        if not report.skipped and not report.missing:
            return network, report
    # A head with weights of its own would give probabilities that mean nothing.
    network = build_network(request)
    return network, load_weights_by_name(network, path)


def _stored_heads(path: Path) -> list[tuple[str, int]]:
    """(label column, number of classes) of the heads in a file: its dense layers, `ClassProb` first."""
    with open_weights(path) as layers:
        dense = {
            name: int(arrays[0].shape[1])
            for name, arrays in layers.items()
            if len(arrays[0].shape) == 2 and name not in NO_HEADS and not is_counted(name)
        }
    if HEAD_NAME not in dense:
        return list(dense.items())
    further = {name: classes for name, classes in dense.items() if name.startswith(f"{HEAD_NAME}_")}
    return [
        (HEAD_NAME, dense[HEAD_NAME]),
        *((name.removeprefix(f"{HEAD_NAME}_"), classes) for name, classes in further.items()),
    ]


def _card(plan: ImportPlan, network: keras.Model) -> ModelCard:
    architecture = plan.settings.network
    assert architecture is not None
    known = {} if plan.card is None else plan.card.facts
    return card_of(
        network,
        plan.settings,
        name=architecture.name,
        conv_blocks=architecture.params.conv_blocks,
        precision=plan.precision,
        source=plan.source,
        checkpoint=None if plan.checkpoint is None else plan.checkpoint.name,
        repeats_channels=repeats_channels(plan.settings),
        **{name: value for name, value in known.items() if name not in ("network", "conv_blocks")},
    )


def _fill(folder: Path, network: keras.Model, card: ModelCard) -> None:
    save_network(folder / NETWORK_FILE, network)
    write_card(folder, card)
