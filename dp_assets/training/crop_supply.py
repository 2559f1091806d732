"""Where the crops of a training set come from: exported cells, cells cut while training, or random views."""

from collections.abc import Mapping
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa

from dp_assets.config.errors import ModelError, TrainingDataError
from dp_assets.config.stages import TrainingSettings
from dp_assets.imaging.cropping import CropGeometry
from dp_assets.imaging.normalization import Normalization
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.schemas import CELL_KEY, PLATE
from dp_assets.training.cells import LabelledCells
from dp_assets.training.store_crops import PlateRange, StoreCrops
from dp_assets.training.training_set import FLAT, images_of, labels_of

CropOrigin = Literal["stores", "images", "views"]
Ranges = Mapping[str, PlateRange]


class CropSupply(Protocol):
    """The cells of some plates, and how to get at their crops."""

    @property
    def flat(self) -> Mapping[str, int]:
        """Channels (comma-joined) -> crops met in training that are flat there; others took their place."""
        ...

    def listing(self, plate: str) -> pa.Table:
        """The cells of a plate: columns CELL_KEY, and `flat_channels` where that is known."""
        ...

    def fingerprints(self, cells: pa.Table) -> dict[str, str]:
        """Plate -> what the crops of these rows of a training set are made from."""
        ...

    def labelled(self, cells: pa.Table, plate_ranges: Ranges, *, training: bool, seed: int) -> LabelledCells:
        """Crops of these rows of a training set, with their classes.

        Parameters
        ----------
        plate_ranges : plate -> (lower, upper) grey levels, for normalization "plate".
        training : whether to learn from them; otherwise they are for validation.
        seed : of random views.
        """
        ...

    def pixels(self, cells: pa.Table) -> np.ndarray:
        """What these rows look like, for a picture: (n, side, side, channels) source grey levels."""
        ...


def crop_origin(settings: TrainingSettings) -> CropOrigin:
    """Where the generator that is asked for takes its crops from; other names are those of plugins."""
    generator = settings.network.crop_generator
    if settings.locations.mode == "full_image":
        return "views" if generator in ("crop_generator", "full_image_crop_generator") else "stores"
    return "images" if generator == "crop_generator" else "stores"


def require_trainable(settings: TrainingSettings) -> None:
    """Refuse what crops cannot be drawn for.

    Raises
    ------
    ModelError : the generator is for profiling only, or for another mode.
    """
    generator, mode = settings.network.crop_generator, settings.locations.mode
    where = "train.model.crop_generator"
    if generator == "repeat_channel_crop_generator":
        raise ModelError(
            f"{generator} is for profiling only: it shows the channels of a cell one by one",
            where=where,
            remedy='train with "sampled_crop_generator" or "crop_generator"; to profile without training, '
            'give profile.checkpoint a weights file or "None"',
        )
    if generator == "full_image_crop_generator" and mode != "full_image":
        raise ModelError(
            f"{generator} draws views of whole images, but dataset.locations.mode is {mode!r}",
            where=where,
            remedy='set dataset.locations.mode to "full_image" and give a view_size, or use "crop_generator"',
        )


class StoreSupply:
    """Cells that were exported into crop stores. A `CropSupply`.

    Parameters
    ----------
    stores : plate -> its crop store.
    channels : channel names in the order the network wants.
    geometry, normalization : how windows become crops.
    """

    def __init__(
        self,
        stores: Mapping[str, CropStore],
        channels: tuple[str, ...],
        geometry: CropGeometry,
        normalization: Normalization,
    ) -> None:
        self._stores = stores
        self._channels = channels
        self._geometry = geometry
        self._normalization = normalization

    # Flat cells of a store are known, and not in the training set.
    flat: Mapping[str, int] = {}

    def listing(self, plate: str) -> pa.Table:
        """As CropSupply."""
        return self._stores[plate].index.select([*CELL_KEY, FLAT])

    def fingerprints(self, cells: pa.Table) -> dict[str, str]:
        """As CropSupply: a store is one thing, whichever of its cells are used."""
        return {plate: self._stores[plate].fingerprint for plate in plates_of(cells)}

    def labelled(
        self,
        cells: pa.Table,
        plate_ranges: Ranges,
        *,
        training: bool,  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> LabelledCells:
        """As CropSupply; the crops are the same for training and validation."""
        crops = StoreCrops(
            self._stores,
            cells,
            self._channels,
            geometry=self._geometry,
            normalization=self._normalization,
            plate_ranges=plate_ranges,
        )
        return LabelledCells(crops, labels_of(cells), images_of(cells)[0])

    def pixels(self, cells: pa.Table) -> np.ndarray:
        """As CropSupply: windows with their margin."""
        places = zip(cells[PLATE].to_pylist(), cells["store_row"].to_pylist(), strict=True)
        return np.stack([self._stores[plate].windows([row])[0] for plate, row in places])


def plates_of(cells: pa.Table) -> list[str]:
    """The plates of a training set, sorted."""
    return sorted(set(cells[PLATE].to_pylist()))


def require_unchanged(recorded: Mapping[str, str], found: Mapping[str, str], what: str) -> None:
    """Make sure that crops are still made from what the training set was drawn from.

    Parameters
    ----------
    recorded, found : plate -> fingerprint, then and now.
    what : "crops" or "images", for the message.

    Raises
    ------
    TrainingDataError : a plate changed since.
    """
    changed = [plate for plate in recorded if recorded[plate] != found.get(plate)]
    if changed:
        raise TrainingDataError(
            f"the {what} of plate {', '.join(changed)} changed after the training set was made",
            where="training_set",
            remedy="materialize training_set again, then trained_model",
        )
