"""Cells whose crops are cut out of the images while training, without a crop store."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from dp_assets.storage.schemas import CELL, CELL_KEY
from dp_assets.training.cells import LabelledCells
from dp_assets.training.crop_supply import Ranges
from dp_assets.training.image_crops import Placed
from dp_assets.training.plate_images import PlateImages, alike
from dp_assets.training.training_set import ImageKey, images_of, labels_of


class ImageSupply:
    """The cells of the locations, cut out of their images when they are needed. A `CropSupply`."""

    def __init__(self, images: PlateImages) -> None:
        self._images = images

    @property
    def flat(self) -> Mapping[str, int]:
        """As CropSupply."""
        return self._images.flat

    def listing(self, plate: str) -> pa.Table:
        """As CropSupply, in the order of the sites; which cells are flat is not known."""
        source = self._images.plates[plate]
        return cell_keys(
            [
                (plate, site.well, site.site, name)
                for site in self._images.sites_of(plate)
                for name in source.cells_of(site).names
            ]
        )

    def fingerprints(self, cells: pa.Table) -> dict[str, str]:
        """As CropSupply: the images in use, their cells, and how they are cut."""
        return self._images.fingerprints(cells)

    def labelled(
        self,
        cells: pa.Table,
        plate_ranges: Ranges,
        *,
        training: bool,  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> LabelledCells:
        """As CropSupply; the crops are the same for training and validation."""
        images, keys = images_of(cells)
        labels = labels_of(cells)
        first_cells = np.unique(images, return_index=True)[1]
        placed = Placed(images, self._places(cells, images, keys), alike(labels[first_cells]))
        return self._images.known_cells(keys, placed, labels, plate_ranges)

    def pixels(self, cells: pa.Table) -> np.ndarray:
        """As CropSupply: crops."""
        images, keys = images_of(cells)
        places = self._places(cells, images, keys)
        found = self._images.find(keys)
        cut = [source.crops(site, self._images.maximum_pixels) for source, site in found]
        return np.stack([cut[image][place] for image, place in zip(images, places, strict=True)])

    def _places(self, cells: pa.Table, images: np.ndarray, keys: Sequence[ImageKey]) -> np.ndarray:
        """The place of each row's cell among the cells of its image, int64 (n,)."""
        known = [
            {name: place for place, name in enumerate(source.cells_of(site).names)}
            for source, site in self._images.find(keys)
        ]
        names = cells[CELL].to_pylist()
        return np.array([known[image][name] for image, name in zip(images, names, strict=True)], np.int64)


def cell_keys(keys: Sequence[tuple[str, str, str, str]]) -> pa.Table:
    """A table of cells: plate, well, site and cell of each, all strings."""
    columns = zip(*keys, strict=True) if keys else ((),) * len(CELL_KEY)
    return pa.table(
        {name: pa.array(column, pa.string()) for name, column in zip(CELL_KEY, columns, strict=True)}
    )
