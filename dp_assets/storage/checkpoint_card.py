"""What is known of a checkpoint file besides its weights: a card beside it, or one of this package."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from dp_assets.config.errors import ModelError

CARD_ENDING = ".card.json"


class CheckpointCard(BaseModel):
    """How the crops are made that a checkpoint takes. What is None is not known, and not enforced.

    Attributes
    ----------
    about : what the checkpoint is, for people.
    network, conv_blocks : the architecture, as in `train.model`.
    channels : channel names in the order of the network's input.
    box_size, bits, normalization, sampling, mode, view_size, mask_objects, masks : as in the model card.
    feature_layer : the layer that its authors take features from; for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str | None = None
    network: str | None = None
    conv_blocks: int | None = None
    channels: tuple[str, ...] | None = None
    box_size: int | None = None
    bits: Literal[8, 16] | None = None
    normalization: Literal["minmax", "none", "zscore", "plate"] | None = None
    sampling: Literal["original", "exact"] | None = None
    mode: Literal["single_cells", "full_image"] | None = None
    view_size: int | None = None
    mask_objects: bool | None = None
    masks: Literal["nearest", "original"] | None = None
    feature_layer: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What is known and enforced, by field."""
        return self.model_dump(exclude_none=True, exclude={"about", "feature_layer"})


PUBLISHED_CARDS = {
    # Moshkov et al. 2024, Nature Communications 15:1594; the weights lie at zenodo.org/records/7114558.
    "cell_painting_cnn_v1.hdf5": CheckpointCard(
        about="Cell Painting CNN v1 (Moshkov et al. 2024), trained on crops of compressed 8-bit images",
        network="efficientnet",
        conv_blocks=0,
        channels=("DNA", "RNA", "ER", "AGP", "Mito"),
        box_size=128,
        bits=8,
        normalization="minmax",
        sampling="original",
        mode="single_cells",
        mask_objects=False,
        feature_layer="block6a_activation",
    ),
}
"""Cards of published checkpoints, by the file's name in lower case."""


def card_path(checkpoint: Path) -> Path:
    """Where the card of a checkpoint file lies: beside it, `<file name>.card.json`."""
    return checkpoint.with_name(checkpoint.name + CARD_ENDING)


def find_card(checkpoint: Path) -> CheckpointCard | None:
    """The card beside a checkpoint file over that of a published checkpoint of its name; None without either.

    Raises
    ------
    ModelError : the file beside it is no card; fields that are wrong or unknown are named.
    """
    path = card_path(checkpoint)
    published = PUBLISHED_CARDS.get(checkpoint.name.lower())
    if not path.exists():
        return published
    try:
        given = CheckpointCard.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ModelError(
            f"is not the card of a checkpoint: {_reasons(error)}",
            where=str(path),
            remedy=f"it may have the fields {', '.join(CheckpointCard.model_fields)}; correct or remove it",
        ) from error
    return given if published is None else published.model_copy(update=given.model_dump(exclude_none=True))


def _reasons(error: ValidationError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return "; ".join(
        f"{'.'.join(map(str, entry['loc'])) or 'the file'}: {entry['msg']}" for entry in error.errors()
    )
