"""Crops that are cut out of images while training, as one source for a network."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dp_assets.config.errors import TrainingDataError
from dp_assets.imaging.normalization import Normalization
from dp_assets.training.image_cache import CutImage


@dataclass(frozen=True)
class Placed:
    """Where the crops of a source lie.

    Attributes
    ----------
    images : int64 (n,), number of each crop's image.
    places : int64 (n,), place of each crop among those of its image.
    alike : int64 (number of images,), the same number for images with the same labels.
    """

    images: np.ndarray
    places: np.ndarray
    alike: np.ndarray


class ImageCrops:
    """Crops of numbered images, held normalised. A `CropSource`.

    Only when an image is cut does it show which of its crops are flat (all one grey level in some channel, or
    a box outside the image). Nothing can be learnt from them, so another crop is read in their place: one of
    the same image, else one of the next image with the same labels. Which one depends on nothing random.

    Parameters
    ----------
    shape : (rows, cols, channels) of a crop.
    placed : where the crops lie.
    cut : image number -> its crops; called from several threads, and again for the same image.
    name : image number -> its name, for messages.
    """

    normalization: Normalization = "none"

    def __init__(
        self,
        shape: tuple[int, int, int],
        placed: Placed,
        cut: Callable[[int], CutImage],
        name: Callable[[int], str],
    ) -> None:
        self.shape = shape
        self._placed = placed
        self._cut = cut
        self._name = name

    def __len__(self) -> int:
        return len(self._placed.images)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Normalised crops, (n, rows, cols, channels) float32, in the order asked for.

        Raises
        ------
        ImageFileError : an image cannot be read.
        TrainingDataError : a crop is flat, and so are all that could take its place.
        """
        rows = np.asarray(rows)
        crops = np.empty((len(rows), *self.shape), np.float32)
        images = self._placed.images[rows]
        for image in np.unique(images):
            cut = self._cut(int(image))
            unusable = cut.unusable
            for number in np.flatnonzero(images == image):
                place = self._placed.places[rows[number]]
                crops[number] = self._stand_in(int(image), place) if unusable[place] else cut.crops[place]
        return crops

    def ranges(self, rows: np.ndarray) -> None:
        """As CropSource."""

    def _stand_in(self, image: int, place: int) -> np.ndarray:
        same = np.flatnonzero(self._placed.alike == self._placed.alike[image])
        for other in np.roll(same, -int(np.searchsorted(same, image))):
            cut = self._cut(int(other))
            usable = np.flatnonzero(~cut.unusable)
            if len(usable):
                return cut.crops[usable[place % len(usable)]]
        raise TrainingDataError(
            f"all crops of {self._name(image)} and of the {len(same) - 1} other images with its labels are "
            "of one grey level in some channel",
            where=self._name(image),
            remedy="look at these images, and take them out of the split (inputs/metadata/index.csv)",
        )
