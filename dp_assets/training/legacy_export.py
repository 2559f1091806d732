"""Handing a trained model on to users of DeepProfiler: its weights as a checkpoint, with a card beside."""

from pathlib import Path

from dp_assets.networks.legacy_checkpoint import write_legacy_checkpoint
from dp_assets.storage.atomic import write_bytes
from dp_assets.storage.checkpoint_card import CheckpointCard, card_path
from dp_assets.storage.model_folder import CARD_FILE, ModelCard, read_card
from dp_assets.training.model_loading import load_trained_network


def export_checkpoint(model_folder: Path, target: Path, checkpoint: str | None = None) -> None:
    """Write the weights of a model as an HDF5 checkpoint of DeepProfiler.

    A card beside it says which crops the weights take; this program enforces it where the file is used again,
    and DeepProfiler does not look at it.

    Parameters
    ----------
    model_folder : local folder of a published model.
    target : the HDF5 file to write.
    checkpoint : which weights, as in `profile.checkpoint`; None for those of the last epoch.

    Raises
    ------
    ModelError : there is no such checkpoint, or DeepProfiler has no such network.
    StoreError : the folder holds no readable model card.
    """
    card = read_card(model_folder / CARD_FILE)
    network = load_trained_network(model_folder, checkpoint)
    write_legacy_checkpoint(network, target, augmented=card.augmented)
    given = exported_card(card).model_dump_json(indent=1, exclude_none=True)
    write_bytes(card_path(target), given.encode())


def exported_card(card: ModelCard) -> CheckpointCard:
    """What goes on from a model's card to the card of its weights."""
    facts = {name: value for name, value in card.crops.items() if name in CheckpointCard.model_fields}
    return CheckpointCard(
        about=f"{card.network}, trained with dp-assets for {card.epochs} epochs" if card.epochs else None,
        network=card.network,
        conv_blocks=card.conv_blocks,
        **facts,
    )
