"""Crops of whole images, held in memory as long as there is room."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock

import numpy as np


@dataclass(frozen=True)
class CutImage:
    """The crops of one image.

    Attributes
    ----------
    crops : float32 (cells, rows, cols, channels), normalised.
    flat : bool (cells, channels), where a crop is of one grey level.
    """

    crops: np.ndarray
    flat: np.ndarray

    @property
    def unusable(self) -> np.ndarray:
        """bool (cells,), whether a cell is flat in some channel."""
        return np.asarray(self.flat.any(axis=1))


class ImageCache:
    """The images cut last, for several threads at once.

    Parameters
    ----------
    cells_held : images are forgotten, those not asked for the longest first, when the others have more cells
        than this.
    least_images : so many are held whatever their number of cells.
    """

    def __init__(self, cells_held: int, least_images: int) -> None:
        self._cells_held = cells_held
        self._least_images = least_images
        self._cells = 0
        self._lock = Lock()
        self._held: OrderedDict[Hashable, Future[CutImage]] = OrderedDict()

    def get(self, key: Hashable, cut: Callable[[], CutImage]) -> CutImage:
        """The image `key`, cut only when it is not held; threads that ask meanwhile wait for the same one.

        What `cut` raises is raised to all who wait, and the next who asks tries again.
        """
        with self._lock:
            waiting = self._held.get(key)
            if waiting is not None:
                self._held.move_to_end(key)
            else:
                mine: Future[CutImage] = Future()
                self._held[key] = mine
        if waiting is not None:
            return waiting.result()
        try:
            image = cut()
        except BaseException as error:
            with self._lock:
                self._held.pop(key, None)
            mine.set_exception(error)
            raise
        mine.set_result(image)
        self._make_room(len(image.crops))
        return image

    def _make_room(self, cells: int) -> None:
        """Count the cells of an image that was just cut, and forget others until there is room for them."""
        with self._lock:
            self._cells += cells
            cut = (key for key, image in self._held.items() if image.done())
            forgotten: list[Hashable] = []
            for key in cut:
                if self._cells <= self._cells_held or len(self._held) - len(forgotten) <= self._least_images:
                    break
                forgotten.append(key)
                self._cells -= len(self._held[key].result().crops)
            for key in forgotten:
                del self._held[key]
