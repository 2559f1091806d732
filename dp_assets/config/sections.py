"""The sections of an experiment configuration as typed, frozen settings.

One class per section of the file; the handbook (configuration file, section 5.1) defines the keys. Field
descriptions and examples are part of the error messages, so they address the person who edits the file.
Keys of older files with another spelling are renamed before they come here (see ``spellings``).
``train.model`` lies in ``network``.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from dp_assets.config.credentials import holds_credentials
from dp_assets.config.fields import AnyCase, Label, Labels, Name, Names, Number, Section, WholeNumber
from dp_assets.config.network import (
    ArchitectureParameters,
    ArchitectureSettings,
    NetworkParameters,
    NetworkSettings,
    StepSchedule,
)

__all__ = [
    "ArchitectureParameters",
    "ArchitectureSettings",
    "CheckpointSettings",
    "CompressionSettings",
    "IlluminationSettings",
    "ImagesSettings",
    "LocationsSettings",
    "LoggingSettings",
    "MetadataSettings",
    "ModelSettings",
    "NetworkParameters",
    "NetworkSettings",
    "PartitionSettings",
    "ProfileSettings",
    "SamplingSettings",
    "SingleCellsSettings",
    "StepSchedule",
    "ValidationSettings",
]


class MetadataSettings(Section):
    """``dataset.metadata``: which column of the image index says what was done to the cells."""

    label_field: Name = Field(
        description="the column of the image index with the treatments", examples=["Treatment"]
    )
    control_value: Label | None = Field(
        default=None, description="the value of that column for control wells", examples=["DMSO"]
    )


class ImagesSettings(Section):
    """``dataset.images``: channels in order, bit depth and expected size in pixels.

    ``width`` and ``height`` are a check only: the size is taken from the files.
    """

    channels: Names = Field(
        min_length=1,
        description="the image-index columns with the image paths of each channel, in order",
        examples=[["DNA", "ER"]],
    )
    file_format: str = Field(default="tiff", description="the ending of the image files", examples=["tiff"])
    bits: Literal[8, 16] = Field(
        description="8 or 16, the bit depth of the image files (12-bit cameras write 16-bit files)",
        examples=[16],
    )
    width: WholeNumber | None = Field(
        default=None, ge=1, le=2**20, description="the image width in pixels", examples=[1080]
    )
    height: WholeNumber | None = Field(
        default=None, ge=1, le=2**20, description="the image height in pixels", examples=[1080]
    )

    z: Literal["max", "mean"] | Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description='"max" or "mean" to project stacks along z, or the number of a plane, counted from 0',
        examples=["max"],
    )

    @field_validator("z", mode="before")
    @classmethod
    def _projection_or_plane(cls, value: object) -> object:
        text = str(value).strip().lower().removesuffix(".0")
        if value is None or text in ("max", "mean"):
            return value if value is None else text
        if isinstance(value, bool) or not text.isdecimal():
            raise ValueError('expected "max", "mean" or a whole number of at least 0')
        return int(text)

    @field_validator("bits", mode="before")
    @classmethod
    def _whole_bits(cls, value: object) -> object:
        return int(value) if isinstance(value, float) and value.is_integer() else value

    @field_validator("file_format")
    @classmethod
    def _plain_ending(cls, value: str) -> str:
        return value.strip().lower().lstrip(".")


class LocationsSettings(Section):
    """``dataset.locations``: where crops are taken and how large they are, in pixels of the original image.

    In full_image mode ``area_coverage`` (fraction of the image width) is the older way to say ``view_size``;
    the stage views carry the resulting ``view_size``.
    """

    mode: Annotated[Literal["single_cells", "full_image"], AnyCase] = Field(
        default="single_cells", description='"single_cells" or "full_image"', examples=["single_cells"]
    )
    box_size: WholeNumber = Field(ge=2, description="the side of the square crop in pixels", examples=[96])
    view_size: WholeNumber | None = Field(
        default=None, ge=2, description="the side of the full-image window in pixels", examples=[512]
    )
    area_coverage: Number | None = Field(
        default=None,
        gt=0,
        le=1,
        description="the fraction of the image width a window covers",
        examples=[0.5],
    )
    mask_objects: bool = Field(
        default=False, description="true to blank what lies outside the cell's outline", examples=[False]
    )


class IlluminationSettings(Section):
    """``prepare.illumination_correction``: both sizes in pixels, of the image and of its thumbnail."""

    down_scale_factor: Number = Field(
        default=4.0,
        ge=1,
        description="how many times smaller than the image the thumbnails are",
        examples=[4],
    )
    median_filter_size: WholeNumber = Field(
        default=24, ge=1, description="the diameter of the smoothing disk in thumbnail pixels", examples=[24]
    )
    method: Annotated[Literal["original", "basic"], AnyCase] = Field(
        default="original",
        description='"original", the smoothed mean image ("basic", BaSiC, is not available)',
        examples=["original"],
    )


class CompressionSettings(Section):
    """``prepare.compression``: whether later stages use corrected 8-bit (or, unstretched, 16-bit) images."""

    implement: bool = Field(
        description="true to train and profile on the compressed images, false for the originals",
        examples=[True],
    )
    scaling_factor: Number = Field(
        default=1.0,
        gt=0,
        le=1,
        description="the size of the compressed image relative to the original",
        examples=[1.0],
    )
    stretch: Annotated[Literal["image", "plate", "none"], AnyCase] = Field(
        default="image",
        description='"image" (per image, as the original program), "plate" (keeps differences between '
        'wells) or "none" (16 bits, no stretch)',
        examples=["image"],
    )
    codec: Annotated[Literal["png", "jpegxl", "jpegls", "tiff"], AnyCase] = Field(
        default="png",
        description='the lossless format of compressed images: "png", "jpegxl", "jpegls" or "tiff"',
        examples=["png"],
    )


class SingleCellsSettings(Section):
    """``single_cells``: naming, sampling and normalisation of crops; ``margin`` in pixels, or None."""

    name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_]+$",
        description="a name for the set of crops, of letters, digits and underscores",
        examples=["box96"],
    )
    sampling: Annotated[Literal["original", "exact"], AnyCase] = Field(
        default="original",
        description='"original" (resampled as the original program does) or "exact" (whole pixels)',
        examples=["original"],
    )
    normalization: Annotated[Literal["minmax", "none", "zscore", "plate"], AnyCase] = Field(
        default="minmax", description='"minmax", "none", "zscore" or "plate"', examples=["minmax"]
    )
    margin: WholeNumber | None = Field(
        default=None, ge=0, description="extra pixels stored around every crop", examples=[2]
    )
    masks: Annotated[Literal["nearest", "original"], AnyCase] = Field(
        default="nearest",
        description='how masks are sampled: "nearest", or "original" (as the original program: edges erode)',
        examples=["nearest"],
    )


class ModelSettings(Section):
    """``model``: where the network's weights come from; None = as the checkpoint's name says."""

    source: Annotated[Literal["train", "checkpoint", "imagenet"], AnyCase] | None = Field(
        default=None, description='"train", "checkpoint" or "imagenet"', examples=["train"]
    )
    start_from: Name | None = Field(
        default=None,
        description="a weights file that training starts from; layers that match are taken over",
        examples=["Cell_Painting_CNN_v1.hdf5"],
    )
    imagenet_weights: Name | None = Field(
        default=None,
        description="a local file with the ImageNet weights, for machines without internet",
        examples=["efficientnetb0_notop.h5"],
    )
    allow_channel_mapping: bool = Field(
        default=False,
        description="true to give the model its channels by name when the images list them otherwise",
        examples=[True],
    )


class LoggingSettings(Section):
    """``logging``: services that follow a training, besides log.csv and TensorBoard."""

    comet: Name | None = Field(
        default=None,
        description="the file in inputs/config with the key of comet.com",
        examples=["comet.key"],
    )
    mlflow: Name | None = Field(
        default=None, description="the address of an MLflow server, or a folder", examples=["mlruns"]
    )

    @field_validator("mlflow")
    @classmethod
    def _without_password(cls, value: str | None) -> str | None:
        # It would end in manifests, model cards, messages and the logs of servers.
        if value is not None and holds_credentials(value):
            raise ValueError(
                "expected an address without user and password: set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD in the environment instead"
            )
        return value


class PartitionSettings(Section):
    """``train.partition``: classes, and which images train and which validate. Values are text."""

    targets: Names = Field(
        min_length=1,
        description="the image-index columns with the classes; the network gets one head for each",
        examples=[["Treatment"]],
    )
    split_field: Name = Field(
        description="the image-index column that tells the sets apart", examples=["Split"]
    )
    training: Labels = Field(
        min_length=1, description="the values of split_field for training", examples=[["0"]]
    )
    validation: Labels = Field(
        default=(), description="the values of split_field for validation", examples=[["1"]]
    )


class SamplingSettings(Section):
    """``train.sampling``: used by the generator that crops from whole images while training."""

    factor: Number = Field(
        default=1.0, gt=0, le=1, description="the fraction of cells per image", examples=[1.0]
    )
    cache_size: WholeNumber = Field(
        default=10_000, ge=1, description="the cells held in memory", examples=[10000]
    )
    workers: WholeNumber = Field(default=1, ge=1, description="the number of reading threads", examples=[2])


class ValidationSettings(Section):
    """``train.validation``."""

    frequency: WholeNumber = Field(default=1, ge=1, description="validate every so many epochs", examples=[1])
    top_k: WholeNumber = Field(default=5, ge=1, description="the k of the top_k metric", examples=[5])
    batch_size: WholeNumber = Field(
        default=32, ge=1, description="the cells per validation step", examples=[32]
    )
    frame: Annotated[Literal["all", "train", "val"], AnyCase] = Field(
        default="val", description='"all", "train" or "val"', examples=["val"]
    )
    sample_first_crops: bool = Field(
        default=False,
        description="true to validate on the first batch_size cells of each image",
        examples=[False],
    )


class CheckpointSettings(Section):
    """The one key of ``profile`` that tells where the weights come from (see ``Experiment.model_source``)."""

    checkpoint: Name | None = Field(
        default=None,
        description='a weights file, or "None" for ImageNet weights',
        examples=["checkpoint_0030.hdf5"],
    )

    @field_validator("checkpoint", mode="before")
    @classmethod
    def _no_checkpoint(cls, value: object) -> object:
        return None if isinstance(value, str) and value.strip().lower() == "none" else value


class ProfileSettings(CheckpointSettings):
    """``profile``: which layer's output, of which weights, are the features."""

    feature_layer: Name = Field(description="the layer whose output is the features", examples=["pool5"])
    batch_size: WholeNumber = Field(default=32, ge=1, description="the cells per forward pass", examples=[32])
    use_pretrained_input_size: WholeNumber | None = Field(
        default=None,
        ge=1,
        description="the input size in pixels of a network with ImageNet weights",
        examples=[224],
    )

    @field_validator("use_pretrained_input_size", mode="before")
    @classmethod
    def _false_is_none(cls, value: object) -> object:
        return None if value is False else value
