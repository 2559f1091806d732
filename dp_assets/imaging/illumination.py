"""Illumination statistics of a plate and the correction functions made from them.

A microscope lights its field unevenly: brighter in the middle, dimmer towards the corners. Averaged over all
fields of view of a plate the cells vanish and the light remains; that average, smoothed, is what images are
divided by. Method: Singh et al. 2014 (J Microsc 256:231), as DeepProfiler computes it (handbook, `prepare`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from skimage.morphology import disk

from dp_assets.config.errors import ConfigurationError, ImageFileError
from dp_assets.imaging.grey_level_counts import grey_level_counts
from dp_assets.imaging.resizing import PlaneResizer, plane_resizer
from dp_assets.imaging.tail_percentiles import tail_percentiles

_NEIGHBOURS_AT_ONCE = 2**20
_OVERVIEW_STEP = 4
LOWER_QUANTILE = 0.0001
UPPER_QUANTILE = 0.9999
FLOOR_PERCENTILE = 2.0
"""A correction function is one where the smoothed average is at or below this percentile of its values."""


@dataclass(frozen=True)
class SiteStatistics:
    """What one field of view adds to the statistics of its plate.

    Attributes
    ----------
    thumbnail : (rows, cols, channels) float64, the images made smaller, grey levels.
    histogram : (channels, 2**bits) int64, number of pixels of each grey level.
    """

    thumbnail: np.ndarray
    histogram: np.ndarray


@dataclass(frozen=True)
class FunctionOverview:
    """What there is to see of a plate's correction functions.

    Attributes
    ----------
    largest : (channels,) float64, the largest factor.
    finite : (channels,) bool, whether all factors are numbers.
    small : (rows, cols, channels) float32, every fourth pixel along both axes.
    """

    largest: np.ndarray
    finite: np.ndarray
    small: np.ndarray


@dataclass(frozen=True)
class IlluminationFunctions:
    """Illumination statistics of a plate.

    Attributes
    ----------
    channels : channel names, in the order of every array below.
    original_shape : (rows, cols) of the plate's images.
    bits : 8 or 16.
    sites : number of fields of view averaged.
    mean_image : (rows, cols, channels) float64, average thumbnail, grey levels.
    smoothed : same shape, float64: the average cut to whole grey levels and median-filtered.
    histogram : (channels, 2**bits) int64, pixels of each grey level over all images, uncorrected.
    mean_values, lower_quantiles, upper_quantiles : (channels,) float64, mean grey level and the grey levels
        at the 0.0001 and 0.9999 quantiles of the histogram.
    flat_channels : channels too dark to make a function of (its floor would be zero); theirs is one
        everywhere.
    """

    channels: tuple[str, ...]
    original_shape: tuple[int, int]
    bits: int
    sites: int
    mean_image: np.ndarray
    smoothed: np.ndarray
    histogram: np.ndarray
    mean_values: np.ndarray
    lower_quantiles: np.ndarray
    upper_quantiles: np.ndarray
    flat_channels: tuple[str, ...]

    def function(self, channel: int | str) -> np.ndarray:
        """The correction function of a channel: images are divided by it.

        Parameters
        ----------
        channel : its name, or its place in `channels`.

        Returns
        -------
        (rows, cols) of the original images, float64, at least 1 everywhere.
        """
        index = self.channels.index(channel) if isinstance(channel, str) else channel
        surface, floor = _surface(self.smoothed[:, :, index], self.original_shape)
        if floor == 0:
            return np.ones(self.original_shape)
        np.maximum(surface, floor, out=surface)
        surface /= floor
        return surface

    @cached_property
    def overview(self) -> FunctionOverview:
        """What there is to see of the functions; computed once, one channel after the other."""
        largest, finite, small = [], [], []
        for channel in range(len(self.channels)):
            surface = self.function(channel)
            largest.append(surface.max())
            finite.append(np.isfinite(surface).all())
            small.append(surface[::_OVERVIEW_STEP, ::_OVERVIEW_STEP].astype(np.float32))
        return FunctionOverview(np.array(largest), np.array(finite), np.stack(small, axis=-1))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All fields as plain arrays, for an .npz file that needs no pickle."""
        return {
            "channels": np.array(self.channels, dtype=np.str_),
            "original_shape": np.array(self.original_shape, dtype=np.int64),
            "bits": np.array(self.bits, dtype=np.int64),
            "sites": np.array(self.sites, dtype=np.int64),
            "mean_image": self.mean_image,
            "smoothed": self.smoothed,
            "histogram": self.histogram,
            "mean_values": self.mean_values,
            "lower_quantiles": self.lower_quantiles,
            "upper_quantiles": self.upper_quantiles,
            "flat_channels": np.array(self.flat_channels, dtype=np.str_),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The functions that `to_arrays` wrote."""
        rows, cols = arrays["original_shape"].tolist()
        return cls(
            channels=tuple(arrays["channels"].tolist()),
            original_shape=(rows, cols),
            bits=int(arrays["bits"]),
            sites=int(arrays["sites"]),
            mean_image=arrays["mean_image"],
            smoothed=arrays["smoothed"],
            histogram=arrays["histogram"],
            mean_values=arrays["mean_values"],
            lower_quantiles=arrays["lower_quantiles"],
            upper_quantiles=arrays["upper_quantiles"],
            flat_channels=tuple(arrays["flat_channels"].tolist()),
        )


class IlluminationAccumulator:
    """Adds up the images of a plate; its memory does not grow with their number.

    `measure` holds the work and may run in several threads; `add` and `add_measured` change the sums and
    must run in one, in a fixed order of the sites, for the result to be the same bit for bit.

    Parameters
    ----------
    channels : channel names.
    shape : (rows, cols) that every image of the plate must have.
    bits : 8 or 16; grey levels lie in [0, 2**bits).
    down_scale_factor : how many pixels, along each axis, make one of the thumbnail; need not be whole.

    Raises
    ------
    ConfigurationError : the factor leaves no pixel of such an image.
    """

    def __init__(
        self, channels: Sequence[str], shape: tuple[int, int], bits: int, down_scale_factor: float
    ) -> None:
        self.channels = tuple(channels)
        self.shape = (int(shape[0]), int(shape[1]))
        self.bits = int(bits)
        self.down_scale_factor = float(down_scale_factor)
        self.sites = 0
        self._resizer = _thumbnail_resizer(self.shape, self.down_scale_factor)
        self._sum = np.zeros((*self._resizer.output_shape, len(self.channels)))
        self._histogram = np.zeros((len(self.channels), 2**self.bits), dtype=np.int64)

    def measure(self, planes: Sequence[np.ndarray], name: str = "image") -> SiteStatistics:
        """What one field of view will add. Changes nothing.

        Parameters
        ----------
        planes : the image of each channel, (rows, cols) uint8 or uint16.
        name : the file or site, for messages.

        Raises
        ------
        ImageFileError : another size than the plate, or grey levels beyond its bits.
        ValueError : another number of channels, axes, or type.
        """
        self._check(planes, name)
        thumbnail = np.stack([self._resizer(plane) for plane in planes], axis=-1)
        counts = [grey_level_counts(plane) for plane in planes]
        for channel, count in zip(self.channels, counts, strict=True):
            if count[2**self.bits :].any():
                raise ImageFileError(
                    f"channel {channel} has a grey level of {np.flatnonzero(count)[-1]}, beyond {self.bits} "
                    "bits",
                    where=name,
                    remedy="set dataset.images.bits to 16 if these are 16-bit images",
                )
        histogram = np.zeros((len(planes), 2**self.bits), np.int64)
        for row, count in zip(histogram, counts, strict=True):
            row[: len(count)] = count[: len(row)]
        return SiteStatistics(thumbnail, histogram)

    def add(self, planes: Sequence[np.ndarray], name: str = "image") -> None:
        """Add one field of view; parameters and errors are those of `measure`."""
        self.add_measured(self.measure(planes, name))

    def add_measured(self, statistics: SiteStatistics) -> None:
        """Add what `measure` made of a field of view."""
        self._sum += statistics.thumbnail
        self._histogram += statistics.histogram
        self.sites += 1

    def state(self) -> dict[str, np.ndarray]:
        """Everything added so far, as plain arrays: `from_state` goes on from there with the same result."""
        return {
            "channels": np.array(self.channels, dtype=np.str_),
            "shape": np.array(self.shape, dtype=np.int64),
            "bits": np.array(self.bits, dtype=np.int64),
            "down_scale_factor": np.array(self.down_scale_factor),
            "sites": np.array(self.sites, dtype=np.int64),
            "sum": self._sum.copy(),
            "histogram": self._histogram.copy(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """The accumulator whose `state` this is."""
        rows, cols = state["shape"].tolist()
        accumulator = cls(
            state["channels"].tolist(), (rows, cols), int(state["bits"]), float(state["down_scale_factor"])
        )
        accumulator.sites = int(state["sites"])
        accumulator._sum[...] = state["sum"]
        accumulator._histogram[...] = state["histogram"]
        return accumulator

    def finish(self, median_filter_size: float) -> IlluminationFunctions:
        """Smooth the average and take the quantiles.

        The average is cut to whole grey levels before the median, as the original does. With 8-bit images
        that costs accuracy (a background of 3.9 counts as 3); it is kept so that results agree with
        published ones.

        Parameters
        ----------
        median_filter_size : diameter of the disk, in pixels of the thumbnail.

        Raises
        ------
        ImageFileError : no image was added.
        """
        if self.sites == 0:
            raise ImageFileError(
                "the plate has no usable image to make illumination functions of",
                where="illumination statistics",
                remedy="check the plate's rows in the index and the image files they name",
            )
        mean_image = self._sum / self.sites
        smoothed = _smoothed(mean_image, median_filter_size)
        floors = [_surface(smoothed[:, :, index], self.shape)[1] for index in range(len(self.channels))]
        probability = self._histogram / self._histogram.sum(axis=1, keepdims=True)
        return IlluminationFunctions(
            channels=self.channels,
            original_shape=self.shape,
            bits=self.bits,
            sites=self.sites,
            mean_image=mean_image,
            smoothed=smoothed,
            histogram=self._histogram.copy(),
            mean_values=probability @ np.arange(2.0**self.bits),
            lower_quantiles=_quantiles(self._histogram, LOWER_QUANTILE),
            upper_quantiles=_quantiles(self._histogram, UPPER_QUANTILE),
            flat_channels=tuple(
                name for name, floor in zip(self.channels, floors, strict=True) if floor == 0
            ),
        )

    def _check(self, planes: Sequence[np.ndarray], name: str) -> None:
        if len(planes) != len(self.channels):
            raise ValueError(f"Expected {len(self.channels)} channels. Received {len(planes)}.")
        for plane in planes:
            if plane.dtype not in (np.uint8, np.uint16) or plane.ndim != 2:
                raise ValueError(
                    f"Expected planes (rows, cols) of uint8 or uint16. Received {plane.dtype} {plane.shape}."
                )
            if plane.shape != self.shape:
                raise ImageFileError(
                    f"the image is {plane.shape[0]} x {plane.shape[1]} pixels; "
                    f"the other images of the plate are {self.shape[0]} x {self.shape[1]}",
                    where=name,
                    remedy="all images of a plate must have one size: move it to another plate, "
                    "or replace it",
                )


def _thumbnail_resizer(shape: tuple[int, int], factor: float) -> PlaneResizer:
    """A thumbnail has shape / factor pixels, rounded (half to even); the smoothing keeps the exact factor."""
    sizes = []
    for size in shape:
        # Written as the reference does it, so that sizes on the edge of rounding fall on the same side.
        sizes.append(round(size * (1 / (size / (size / factor)))) if factor > 0 else 0)
    if min(sizes) < 1:
        raise ConfigurationError(
            f"down_scale_factor {factor:g} leaves no pixel of an image of {shape[0]} x {shape[1]} pixels",
            where="prepare.illumination_correction.down_scale_factor",
            remedy="choose a factor of at least 1 and well below the image size; 4 is usual",
        )
    return plane_resizer(shape, (sizes[0], sizes[1]), (factor, factor))


def _smoothed(mean_image: np.ndarray, median_filter_size: float) -> np.ndarray:
    """Median over a disk of the average in whole grey levels, edge pixels repeated beyond the edge."""
    levels = mean_image.astype(np.uint16)
    footprint = disk(median_filter_size / 2)
    if not footprint.any():
        # A disk of less than two pixels across has no pixel at all: nothing to smooth over.
        return levels.astype(np.float64)
    planes = [_median(levels[:, :, index], footprint) for index in range(levels.shape[2])]
    return np.stack(planes, axis=-1).astype(np.float64)


def _median(plane: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """The median over a footprint around every pixel, as `scipy.ndimage.median_filter` gives it.

    That takes several times as long: it orders the same pixels by a general comparison.
    """
    inside = footprint.astype(bool)
    middle = np.count_nonzero(inside) // 2
    # Of an even number of pixels one more lies before the middle.
    around = [(size // 2, (size - 1) // 2) for size in footprint.shape]
    padded = np.pad(plane, around, mode="edge")
    median = np.empty_like(plane)
    # A few pixels at a time: the neighbourhoods of all of them are hundreds of times the plane.
    step = max(1, _NEIGHBOURS_AT_ONCE // int(inside.sum()))
    for row, windows in enumerate(np.lib.stride_tricks.sliding_window_view(padded, footprint.shape)):
        for start in range(0, len(windows), step):
            neighbours = windows[start : start + step, inside]
            neighbours.partition(middle, axis=-1)
            median[row, start : start + step] = neighbours[:, middle]
    return median


def _surface(smoothed: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, float]:
    """A smoothed thumbnail at the size of the images, and the value below which it is cut."""
    surface = plane_resizer(smoothed.shape, shape)(smoothed)
    return surface, tail_percentiles(surface, FLOOR_PERCENTILE, 100)[0]


def _quantiles(histogram: np.ndarray, probability: float) -> np.ndarray:
    """The first grey level of each channel whose cumulative probability exceeds `probability`, float64."""
    cumulative = np.cumsum(histogram, axis=1)
    return np.argmax(cumulative > probability * cumulative[:, -1:], axis=1).astype(np.float64)
