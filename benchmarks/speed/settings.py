"""What a benchmark measures: the project and how often each process is repeated."""

from dataclasses import dataclass
from typing import Literal

Source = Literal["tiff-zlib", "tiff", "png"]
SOURCES: tuple[Source, ...] = ("tiff-zlib", "tiff", "png")


@dataclass(frozen=True)
class PlatesSettings:
    """The images of a project; equal settings make equal files.

    Attributes
    ----------
    plates : number of plates.
    sites : fields of view, on all plates together.
    channels : 1 to 5.
    rows, cols : size of an image, pixels.
    cells : cells of a control field.
    box : side of a crop, pixels; cells are about as large as two thirds of it.
    source : how the microscope's files are stored: 16-bit TIFF (zlib level 6, or not compressed) or PNG.
    seed : source of all randomness.
    """

    plates: int = 2
    sites: int = 24
    channels: int = 5
    rows: int = 1080
    cols: int = 1080
    cells: int = 60
    box: int = 96
    source: Source = "tiff-zlib"
    seed: int = 1

    def __post_init__(self) -> None:
        if self.plates < 1 or self.sites < self.plates:
            raise ValueError(
                f"Expected at least one site on every plate. Received {self.sites}, {self.plates}."
            )
        if self.sites % self.plates:
            raise ValueError(
                f"Expected as many sites on every plate. Received {self.sites} sites, {self.plates} plates."
            )
        if not 1 <= self.channels <= 5:
            raise ValueError(f"Expected 1 to 5 channels. Received {self.channels}.")

    @property
    def sites_per_plate(self) -> int:
        """Fields of view of each plate."""
        return self.sites // self.plates


@dataclass(frozen=True)
class Settings:
    """One benchmark.

    Attributes
    ----------
    images : the project.
    batch_size : cells that go through the network at once while profiling.
    training_batch_size : cells of a training step.
    steps : training steps of the shorter and the longer measurement of the feed.
    feature_layer : the layer that features are taken from.
    fast_codec : the codec of `prepare.compression.codec` that is measured beside PNG.
    repeats : how often every process runs; medians count.
    """

    images: PlatesSettings = PlatesSettings()
    batch_size: int = 64
    training_batch_size: int = 32
    steps: tuple[int, int] = (15, 45)
    feature_layer: str = "block6a_activation"
    fast_codec: str = "jpegxl"
    repeats: int = 3
