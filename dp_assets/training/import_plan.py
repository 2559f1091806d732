"""What a model from elsewhere is made from, known before any network is built; imports no Keras."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from dp_assets.config.digest import settings_digest
from dp_assets.config.stages import ProfilingSettings
from dp_assets.storage.card_check import repeats_channels
from dp_assets.storage.checkpoint_card import CheckpointCard
from dp_assets.storage.fingerprints import fingerprint, fingerprint_bytes
from dp_assets.storage.model_card import crop_facts

VERSION = "2"
RGB = 3
PRETRAINED_SIZE = 224
PRETRAINED_SIZES = {"inception_resnet_v2": 299}
"""Sides of the images that networks were trained on with ImageNet (handbook, `use_pretrained_input_size`)."""


@dataclass(frozen=True)
class ImportPlan:
    """A model to be brought in: a checkpoint file, or the weights of ImageNet.

    Attributes
    ----------
    settings : the experiment's profiling stage, with the architecture in `network`.
    checkpoint : the weight file; None for ImageNet.
    precision : dtype policy of the network.
    imagenet_weights : local file with the weights of ImageNet; None for Keras' cache or download.
    card : what is known of the checkpoint besides its weights.
    plugins : the project's folder of plugins.
    """

    settings: ProfilingSettings
    checkpoint: Path | None
    precision: str = "float32"
    imagenet_weights: Path | None = None
    card: CheckpointCard | None = None
    plugins: Path | None = None

    @property
    def source(self) -> str:
        """Where the weights come from, as in `model.source`."""
        return "imagenet" if self.checkpoint is None else "checkpoint"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(rows, cols, channels) of the network's input.

        Each channel alone goes through a network of RGB images, in the size that ImageNet networks are
        trained on. Otherwise the input is a crop, or a crop resized where the configuration gives a size.
        """
        asked = self.settings.profile.use_pretrained_input_size
        if repeats_channels(self.settings):
            name = self.settings.network.name if self.settings.network is not None else ""
            side = asked or PRETRAINED_SIZES.get(name, PRETRAINED_SIZE)
            return side, side, RGB
        side = asked or self.settings.locations.box_size
        channels = self.settings.images.channels
        if self.card is not None and self.card.channels is not None:
            channels = self.card.channels
        return side, side, len(channels)

    @property
    def fingerprint(self) -> str:
        """What the model is made from: weights, network, card, crops, precision, this code's version."""
        network = self.settings.network
        return fingerprint(
            "import",
            VERSION,
            self._weights_fingerprint,
            None if network is None else [network.name, settings_digest(network.params)],
            crop_facts(self.settings),
            None if self.card is None else self.card.facts,
            [*self.input_shape, repeats_channels(self.settings)],
            self.precision,
        )

    @property
    def _weights_fingerprint(self) -> str:
        file = self.checkpoint or self.imagenet_weights
        if file is not None:
            return fingerprint_bytes(file.read_bytes())
        # Keras pins its files, so its version says which they are.
        return f"keras imagenet {version('keras')}"
