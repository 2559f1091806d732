"""The cells of a crop store as strips, the way DeepProfiler exports them."""

from collections.abc import Sequence

import numpy as np

from dp_assets.imaging.cropping import CropGeometry, resample_windows
from dp_assets.imaging.masks import crop_masks
from dp_assets.imaging.normalization import normalize_crops
from dp_assets.interchange.strips import stretched_strip
from dp_assets.storage.crop_store import CropStore


class StoreStrips:
    """Makes strips of the cells of one plate.

    Parameters
    ----------
    store : its crop store. The strips of masked cells end with the mask as one more channel.
    """

    def __init__(self, store: CropStore) -> None:
        self._store = store
        self._geometry = CropGeometry(**store.folder.manifest["geometry"])
        index = store.index
        self._origins = np.stack([index["origin_row"].to_numpy(), index["origin_col"].to_numpy()], axis=1)
        self._centres = np.stack([index["centre_row"].to_numpy(), index["centre_col"].to_numpy()], axis=1)
        # All images of a plate have one size.
        first = index.slice(0, 1).to_pylist()[0] if len(store) else {}
        self._original = (first.get("original_rows", 0), first.get("original_cols", 0))
        self._array = (first.get("array_rows", 0), first.get("array_cols", 0))

    def of(self, rows: Sequence[int]) -> list[np.ndarray]:
        """The strips (box, channels * box) uint8 of some rows of the store's index.

        Every channel of a crop is stretched to [0, 1], then the strip to 0 to 255. Cells are not masked in
        them: the mask is the last square.
        """
        chosen = np.asarray(rows, np.int64)
        where = (self._origins[chosen], self._centres[chosen], self._geometry, self._original, self._array)
        sampling = self._store.mask_sampling
        if sampling is None:
            crops = resample_windows(self._store.windows(chosen), *where)
            return [stretched_strip(crop) for crop in normalize_crops(crops)]
        windows, planes = self._store.windows_and_masks(chosen)
        masks = crop_masks(planes, *where, sampling=sampling)
        crops = normalize_crops(resample_windows(windows, *where))
        return [
            stretched_strip(np.dstack([crop, mask.astype(np.float32)]))
            for crop, mask in zip(crops, masks, strict=True)
        ]
