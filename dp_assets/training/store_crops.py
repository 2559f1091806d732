"""Cells of several plates' crop stores as one source of crops for a network."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from dp_assets.config.errors import TrainingDataError
from dp_assets.imaging.cropping import CropGeometry, Shape, resample_windows, whole_pixels
from dp_assets.imaging.masks import crop_masks, masked
from dp_assets.imaging.normalization import Normalization
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.schemas import PLATE

PlateRange = tuple[np.ndarray, np.ndarray]


class StoreCrops:
    """The crops of a training set, read from crop stores on demand, in grey levels. A `CropSource`.

    Cells of a store with masks are masked as the store says.

    Where crops are whole pixels (sampling "exact"), they come in the type of the stores: uint8, or uint16
    when some store holds that. Crops that are resampled are float32.

    Parameters
    ----------
    stores : plate -> its crop store.
    cells : rows of a training_set table, in the order of this source.
    channels : channel names in the order the network wants.
    geometry : how windows become crops; the stores must have been cut with it.
    normalization : what is to be done to the crops after that.
    plate_ranges : plate -> (lower (c,), upper (c,)) grey levels, for normalization "plate".

    Raises
    ------
    TrainingDataError : a plate has no store, or its store lacks a channel or was cut with another geometry.
    ValueError : "plate" without the grey levels of a plate.
    """

    def __init__(
        self,
        stores: Mapping[str, CropStore],
        cells: pa.Table,
        channels: Sequence[str],
        *,
        geometry: CropGeometry,
        normalization: Normalization,
        plate_ranges: Mapping[str, PlateRange] | None = None,
    ) -> None:
        names = cells[PLATE].to_pylist()
        self._plates = sorted(set(names))
        missing = [plate for plate in self._plates if plate not in stores]
        if missing:
            raise TrainingDataError(
                f"the training set names plates without exported crops: {', '.join(missing)}",
                where="single_cells",
                remedy="materialize the single_cells asset of these plates",
            )
        numbers = {plate: number for number, plate in enumerate(self._plates)}
        self._plate_of = np.array([numbers[name] for name in names], np.int32)
        self._row_of = cells["store_row"].to_numpy()
        self._stores = [stores[plate] for plate in self._plates]
        for store in self._stores:
            _require_geometry(store, geometry)
        self._geometry = geometry
        self.normalization = normalization
        self._ranges = self._ranges_of_plates(plate_ranges or {}, len(channels))
        self._channel_orders = [self._order(store, channels) for store in self._stores]
        self._dtype = self._crop_type()
        self._indexes = [_Positions(store) for store in self._stores]
        self.shape = (geometry.box_size, geometry.box_size, len(channels))

    def __len__(self) -> int:
        return len(self._row_of)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Crops of some cells in grey levels, (cells, box, box, channels), in the order asked for.

        uint8 or uint16 where crops are whole pixels, else float32.
        """
        rows = np.asarray(rows)
        crops = np.empty((len(rows), *self.shape), self._dtype)
        for plate in np.unique(self._plate_of[rows]):
            chosen = np.flatnonzero(self._plate_of[rows] == plate)
            crops[chosen] = self._read_plate(int(plate), self._row_of[rows[chosen]])
        return crops

    def ranges(self, rows: np.ndarray) -> np.ndarray | None:
        """As CropSource."""
        return None if self._ranges is None else self._ranges[self._plate_of[np.asarray(rows)]]

    def _read_plate(self, plate: int, store_rows: np.ndarray) -> np.ndarray:
        store, positions = self._stores[plate], self._indexes[plate]
        where = positions.of(store_rows, self._geometry)
        sampling = store.mask_sampling
        if sampling is None:
            windows = store.windows(store_rows)
        else:
            windows, planes = store.windows_and_masks(store_rows)
        order = self._channel_orders[plate]
        if self._geometry.sampling == "exact":
            crops = _ordered(whole_pixels(windows, *where), order)
        else:
            crops = resample_windows(_ordered(windows, order), *where)
        return crops if sampling is None else masked(crops, crop_masks(planes, *where, sampling))

    def masks(self, rows: np.ndarray) -> np.ndarray:
        """Which samples of some crops are the cell's own, (cells, box, box) bool; all of cells not masked."""
        rows = np.asarray(rows)
        found = np.ones((len(rows), *self.shape[:2]), bool)
        for plate in np.unique(self._plate_of[rows]).tolist():
            chosen = np.flatnonzero(self._plate_of[rows] == plate)
            store, store_rows = self._stores[plate], self._row_of[rows[chosen]]
            if store.mask_sampling is not None:
                _, planes = store.windows_and_masks(store_rows)
                positions: _Positions = self._indexes[plate]
                where = positions.of(store_rows, self._geometry)
                found[chosen] = crop_masks(planes, *where, store.mask_sampling)
        return found

    def _ranges_of_plates(self, ranges: Mapping[str, PlateRange], channels: int) -> np.ndarray | None:
        """Lower and upper grey levels, float32 (plates, 2, channels); None where they are not needed."""
        if self.normalization != "plate":
            return None
        missing = [plate for plate in self._plates if plate not in ranges]
        if missing:
            raise ValueError(f"Expected grey levels of every plate. Received none of {', '.join(missing)}.")
        found = [np.stack(ranges[plate]) for plate in self._plates]
        return np.asarray(found, np.float32).reshape(len(self._plates), 2, channels)

    def _crop_type(self) -> np.dtype:
        """One type for the crops of all stores: a compiled step is made for a type."""
        if self._geometry.sampling != "exact" or not self._stores:
            return np.dtype(np.float32)
        return np.result_type(*(store.dtype for store in self._stores))

    @staticmethod
    def _order(store: CropStore, channels: Sequence[str]) -> list[int]:
        absent = [name for name in channels if name not in store.channels]
        if absent:
            raise TrainingDataError(
                f"the crop store has channels {', '.join(store.channels)}; {', '.join(absent)} is wanted",
                where=str(store.folder.path),
                remedy="materialize the single_cells asset of this plate again",
            )
        return [store.channels.index(name) for name in channels]


def _ordered(crops: np.ndarray, order: list[int]) -> np.ndarray:
    """The channels `order` of crops (cells, rows, cols, channels); not copied where these are all."""
    if order == list(range(crops.shape[-1])):
        return crops
    # Indexing would lay the channels one behind the other in memory, and all that follows would be slower.
    return np.take(crops, order, axis=-1)


def _require_geometry(store: CropStore, geometry: CropGeometry) -> None:
    stored, wanted = store.folder.manifest["geometry"], geometry.facts()
    names = dict.fromkeys((*wanted, *stored))
    different = [name for name in names if stored.get(name) != wanted.get(name)]
    if different:
        raise TrainingDataError(
            "; ".join(
                f"the crops have {name} {stored.get(name)}, the configuration {wanted.get(name)}"
                for name in different
            ),
            where=str(store.folder.path),
            remedy="materialize the single_cells asset of this plate again, or put the former values back",
        )


class _Positions:
    """Where the windows of one store come from, as arrays."""

    def __init__(self, store: CropStore) -> None:
        index = store.index
        self.origins = np.stack([index["origin_row"].to_numpy(), index["origin_col"].to_numpy()], axis=1)
        self.centres = np.stack([index["centre_row"].to_numpy(), index["centre_col"].to_numpy()], axis=1)
        first = index.slice(0, 1).to_pylist()[0] if len(store) else None
        # All images of a plate have one size (plate_images sees to that), so the first cell's holds for all.
        self.original_shape = (first["original_rows"], first["original_cols"]) if first else (0, 0)
        self.array_shape = (first["array_rows"], first["array_cols"]) if first else (0, 0)

    def of(
        self, rows: np.ndarray, geometry: CropGeometry
    ) -> tuple[np.ndarray, np.ndarray, CropGeometry, Shape, Shape]:
        """Origins, centres, geometry and the two shapes of some windows, as `resample_windows` takes them."""
        return self.origins[rows], self.centres[rows], geometry, self.original_shape, self.array_shape
