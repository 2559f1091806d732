"""What a model is: its network, what it was made of, and how the crops are made that it takes."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dp_assets.config.stages import CropSettings

COMPRESSED_BITS = 8
CROP_FIELDS = (
    "channels",
    "box_size",
    "bits",
    "normalization",
    "sampling",
    "mode",
    "view_size",
    "mask_objects",
    "masks",
    "repeats_channels",
)


class ModelCard(BaseModel):
    """The card of a model; profiling checks its crops against it (`card_check`).

    Attributes
    ----------
    network : architecture and size, e.g. "efficientnet" with `conv_blocks` 0 for B0.
    channels : channel names in the order of the network's input.
    box_size : rows and columns of a crop, in samples.
    bits : bit depth of the grey levels that crops were cut from: 8 for stretched compressed images.
    normalization, sampling : how crops are normalised and cut.
    mode, view_size : single cells, or views of the image with so many pixels of it along a side.
    mask_objects, masks : whether other cells are blanked, and how masks are sampled.
    input_size : rows and columns of the network's input; crops of another size are resized to it.
    repeats_channels : the network takes three equal channels; each channel of a crop goes through it alone.
    augmented : trained with augmentation.
    devices : how many devices shared every batch of the training.
    classes : names in the order of the network's (first) output; empty when unknown (imported checkpoints).
    heads : label column -> class names, in the order of the network's outputs; empty when unknown.
    source : "train", "checkpoint" or "imagenet".
    trained_on : fingerprint of cells, crops and settings; None for imported checkpoints.
    """

    model_config = ConfigDict(frozen=True)

    network: str
    conv_blocks: int
    layers: tuple[str, ...]
    channels: tuple[str, ...]
    box_size: int
    bits: int
    normalization: str
    sampling: str
    mode: str = "single_cells"
    view_size: int | None = None
    mask_objects: bool = False
    masks: str = "nearest"
    input_size: int
    repeats_channels: bool = False
    augmented: bool = False
    precision: str
    devices: int = 1
    classes: tuple[str, ...] = ()
    heads: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    source: str = "train"
    checkpoint: str | None = None
    plates: tuple[str, ...] = ()
    trained_on: str | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def crops(self) -> dict[str, Any]:
        """How the crops are made that the model takes, by field."""
        return self.model_dump(include=set(CROP_FIELDS))


def crop_facts(settings: CropSettings) -> dict[str, Any]:
    """How an experiment makes its crops, by the names of the card's fields."""
    locations, cells = settings.locations, settings.single_cells
    return {
        "channels": settings.images.channels,
        "box_size": locations.box_size,
        "bits": crop_bits(settings),
        "normalization": cells.normalization,
        "sampling": cells.sampling,
        "mode": locations.mode,
        "view_size": locations.view_size if locations.mode == "full_image" else None,
        "mask_objects": locations.mask_objects,
        "masks": cells.masks,
    }


def crop_bits(settings: CropSettings) -> int:
    """Bit depth of the grey levels that crops are cut from: stretching makes 8 bits of any image."""
    compression = settings.compression
    if compression is not None and compression.implement and compression.stretch != "none":
        return COMPRESSED_BITS
    return settings.images.bits
