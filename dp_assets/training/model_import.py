"""Bringing a checkpoint from elsewhere into a model folder with a card, to be profiled like any model."""

from pathlib import Path

import keras

from dp_assets.config.errors import ModelError
from dp_assets.networks.architecture import HEAD_NAME
from dp_assets.networks.checkpoints import LoadReport, load_weights_by_name
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets.networks.weight_files import open_weights
from dp_assets.storage.folders import FolderWriter
from dp_assets.storage.model_folder import NETWORK_FILE, ModelCard, card_facts, write_card
from dp_assets.training.model_card_making import card_of
from dp_assets.training.model_plan import ImportPlan


def import_checkpoint(plan: ImportPlan) -> tuple[FolderWriter, LoadReport]:
    """Build the network, load the checkpoint by layer name, and return the model folder to publish.

    Raises
    ------
    ModelError : the file cannot be read, or holds another network or another number of channels.
    """
    architecture = plan.settings.network
    if architecture is None:
        raise ModelError(
            "the configuration does not say which network the checkpoint is for",
            where="train.model",
            remedy="give train.model.name and train.model.params.conv_blocks",
        )
    box = plan.settings.locations.box_size
    network = build_network(
        NetworkRequest(
            name=architecture.name,
            input_shape=(box, box, len(plan.settings.images.channels)),
            classes=_stored_classes(plan.checkpoint),
            conv_blocks=architecture.params.conv_blocks,
            feature_dim=architecture.params.feature_dim,
            dtype_policy=plan.precision,
        )
    )
    report = load_weights_by_name(network, plan.checkpoint)
    card = card_of(
        network,
        plan.settings,
        name=architecture.name,
        conv_blocks=architecture.params.conv_blocks,
        precision=plan.precision,
        source="checkpoint",
        checkpoint=plan.checkpoint.name,
    )
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


def _stored_classes(path: Path) -> int | None:
    """The number of classes of the stored head; None when the file has no head of a known name."""
    with open_weights(path) as layers:
        head = layers.get(HEAD_NAME)
        return int(head[-1].shape[-1]) if head else None


def _fill(folder: Path, network: keras.Model, card: ModelCard) -> None:
    network.save(folder / NETWORK_FILE)
    write_card(folder, card)
