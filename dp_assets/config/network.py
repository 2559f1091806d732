"""``train.model``: the network, and how it is trained (handbook, configuration file, section 5.1)."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from dp_assets.config.fields import AnyCase, Name, Names, Number, Section, WholeNumber

# Older names of crop generators and networks, and the name used here.
CROP_GENERATORS = {
    "sampled_crop_generator": "sampled_crop_generator",
    "autoencoder_crop_generator": "sampled_crop_generator",
    "crop_generator": "crop_generator",
    "online_labels_cropgen": "online_labels_cropgen",
    "online_labels_crop_generator": "online_labels_cropgen",
    "repeat_channel_crop_generator": "repeat_channel_crop_generator",
    "full_image_crop_generator": "full_image_crop_generator",
}
NETWORK_NAMES = {"inceptionresnetv2": "inception_resnet_v2"}
# The networks of this package; any other name is a plugin's.
BUILT_IN_NETWORKS = frozenset(
    {"autoencoder", "cnn", "densenet", "efficientnet", "inception_resnet_v2", "resnet"}
)
# Those that learn from crops alone; their targets only balance the epochs.
NETWORKS_WITHOUT_CLASSES = frozenset({"autoencoder"})
NETWORKS_WITHOUT_IMAGENET = frozenset({"autoencoder", "cnn"})
EFFICIENTNET_BLOCKS = range(8)
_PARAMS_EXAMPLE = {"learning_rate": 0.005, "batch_size": 32, "conv_blocks": 0}


class ArchitectureParameters(Section):
    """The keys of ``train.model.params`` that decide the shape of the network."""

    conv_blocks: WholeNumber = Field(
        default=0, ge=0, description="the size of the network (efficientnet: 0-7 for B0-B7)", examples=[0]
    )
    feature_dim: WholeNumber = Field(
        default=256, ge=1, description="the width of the feature layer of cnn and autoencoder", examples=[256]
    )
    latent_dim: WholeNumber = Field(
        default=100, ge=1, description="the width of a variational autoencoder", examples=[100]
    )
    epsilon_std: Number = Field(
        default=1.0, ge=0, description="the noise of a variational autoencoder", examples=[1.0]
    )
    pooling: str = Field(default="avg", description="the pooling before the last layer", examples=["avg"])


class NetworkParameters(ArchitectureParameters):
    """``train.model.params``."""

    learning_rate: Number = Field(gt=0, description="the initial learning rate", examples=[0.005])
    batch_size: WholeNumber = Field(ge=1, description="the number of cells per training step", examples=[32])
    label_smoothing: Number = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="the share of every label given to the other classes",
        examples=[0.0],
    )
    online_label_smoothing: Number = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="the same, when labels are updated while training",
        examples=[0.1],
    )
    online_lambda: Number = Field(
        default=0.01,
        ge=0,
        le=1,
        description="how much a prediction changes a label after an epoch",
        examples=[0.01],
    )


class StepSchedule(Section):
    """``train.model.lr_schedule`` as a table: from epoch ``epoch[i]`` (0-based) on, the rate is ``lr[i]``."""

    epoch: tuple[Annotated[WholeNumber, Field(ge=0)], ...] = Field(
        min_length=1, description="the epochs at which the rate changes, counted from 0", examples=[[0, 20]]
    )
    lr: tuple[Annotated[Number, Field(gt=0)], ...] = Field(
        min_length=1, description="the learning rates from these epochs on", examples=[[0.005, 0.0005]]
    )

    @model_validator(mode="after")
    def _one_rate_per_epoch(self) -> Self:
        if len(self.epoch) != len(self.lr):
            raise ValueError(
                f"epoch and lr must be of equal length, but are {len(self.epoch)} and {len(self.lr)} long"
            )
        if list(self.epoch) != sorted(set(self.epoch)):
            raise ValueError(f"epochs must increase, but are {list(self.epoch)}")
        return self


def _schedule_kind(value: object) -> str:
    return "<table>" if isinstance(value, (dict, StepSchedule)) else "<word>"


# The tags are in angle brackets so that error paths can be told from keys of the file.
Schedule = Annotated[
    Annotated[Literal["constant", "cosine", "plateau"], AnyCase, Tag("<word>")]
    | Annotated[StepSchedule, Tag("<table>")],
    Discriminator(_schedule_kind),
]


class ArchitectureSettings(Section):
    """The keys of ``train.model`` that profiling needs: the network, without how it was trained."""

    name: Name = Field(description="the network", examples=["efficientnet"])
    crop_generator: str = Field(
        default="sampled_crop_generator",
        description=f"one of {', '.join(sorted(set(CROP_GENERATORS.values())))}, or the name of a plugin",
        examples=["sampled_crop_generator"],
    )
    params: ArchitectureParameters = Field(
        default_factory=ArchitectureParameters,
        description="the network's parameters",
        examples=[_PARAMS_EXAMPLE],
    )

    @field_validator("name")
    @classmethod
    def _known_spelling(cls, value: str) -> str:
        return NETWORK_NAMES.get(value.strip().lower(), value.strip().lower())

    @field_validator("crop_generator")
    @classmethod
    def _canonical_generator(cls, value: str) -> str:
        # another name may be that of a plugin, which only the stage that uses it can know
        return CROP_GENERATORS.get(value.strip().lower(), value.strip())

    @field_validator("params")
    @classmethod
    def _possible_size(cls, value: ArchitectureParameters, info: ValidationInfo) -> ArchitectureParameters:
        if info.data.get("name") == "efficientnet" and value.conv_blocks not in EFFICIENTNET_BLOCKS:
            # "key" tells the message which of the parameters it is about
            raise PydanticCustomError(
                "impossible_size", "efficientnet has sizes 0 to 7 (B0 to B7)", {"key": "conv_blocks"}
            )
        return value


class CallbackSettings(Section):
    """One entry of ``train.model.callbacks``: a Keras callback and its arguments."""

    name: Name = Field(description="the name of a Keras callback", examples=["EarlyStopping"])
    params: dict[str, Any] = Field(
        default_factory=dict,
        description="its arguments",
        examples=[{"monitor": "val_loss", "patience": 5}],
    )

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


class NetworkSettings(ArchitectureSettings):
    """``train.model``: the network and how it is trained."""

    augmentations: bool = Field(
        default=False, description="true to vary crops at random while training", examples=[True]
    )
    metrics: Names = Field(
        default=("accuracy",), description="the metrics to record", examples=[["accuracy"]]
    )
    epochs: WholeNumber = Field(ge=1, description="the number of epochs", examples=[30])
    initialization: Annotated[Literal["random", "imagenet"], AnyCase] = Field(
        default="random", description='"Random" or "ImageNet"', examples=["ImageNet"]
    )
    checkpoint_policy: Annotated[int, Field(ge=1)] | Literal["best"] | None = Field(
        default=None,
        description='a number N (a checkpoint every N epochs) or "best"; leave it out for one every epoch',
        examples=[5],
    )
    params: NetworkParameters = Field(description="the network's parameters", examples=[_PARAMS_EXAMPLE])
    lr_schedule: Schedule = Field(
        default="constant",
        description='"constant", "cosine", "plateau" or a table {"epoch": [...], "lr": [...]}',
        examples=["cosine"],
    )
    seed: WholeNumber = Field(default=0, ge=0, description="the seed of everything random", examples=[0])
    devices: WholeNumber = Field(
        default=1, ge=1, description="the number of devices that share every batch", examples=[2]
    )
    callbacks: tuple[CallbackSettings, ...] = Field(
        default=(),
        description='a list of Keras callbacks, each {"name": ..., "params": {...}}',
        examples=[[{"name": "EarlyStopping", "params": {"monitor": "val_loss", "patience": 5}}]],
    )

    @field_validator("checkpoint_policy", mode="before")
    @classmethod
    def _every_or_best(cls, value: object) -> object:
        if isinstance(value, str) and value.strip().lower() in ("best", "none"):
            return "best" if value.strip().lower() == "best" else None
        try:
            number = (
                float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None
            )
        except (ValueError, OverflowError):
            number = None
        if value is not None and (number is None or number < 1 or not number.is_integer()):
            raise ValueError('expected a whole number of at least 1, or "best"')
        return value if number is None else int(number)

    @field_validator("devices")
    @classmethod
    def _equal_shares(cls, value: int, info: ValidationInfo) -> int:
        params = info.data.get("params")
        if params is not None and params.batch_size % value:
            raise ValueError(
                f"params.batch_size ({params.batch_size}) cannot be shared evenly by {value} devices: "
                "it must be a multiple of their number"
            )
        return value

    @field_validator("lr_schedule", mode="before")
    @classmethod
    def _no_schedule(cls, value: Any) -> Any:
        return "constant" if value is None else value
