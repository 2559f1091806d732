"""Cells of large tables on their way to one table per plate: memory holds their places, disk their features.

So cells of one well may lie anywhere in the files.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from dp_assets.interchange.feature_rows import FeatureRows, RowKeys
from dp_assets.interchange.missing_values import MissingValues, Policy, missing_value
from dp_assets.interchange.spilled_plate import SiteKey, SpilledPlate
from dp_assets.storage.schemas import PLATE_ANNOTATIONS, SITE_KEY
from dp_assets.storage.tables import StoredTable


class CellSpill:
    """Cells of any plates, in any order.

    Parameters
    ----------
    folder : empty folder for temporary files and the tables.
    features : names of the columns.
    policy : what to do about missing values.
    """

    def __init__(self, folder: Path, features: tuple[str, ...], policy: Policy) -> None:
        self._folder = folder
        self._features = features
        self._policy = policy
        self._plates: dict[str, SpilledPlate] = {}
        self._sites: dict[SiteKey, int] = {}
        self._images: dict[str, int] = {}
        self._metadata: dict[str, dict[int, str]] = {}
        self._varying: set[str] = set()
        self._missing = np.zeros(len(features), dtype=np.int64)
        self._rows = 0
        self.without_values = 0

    @property
    def plates(self) -> tuple[str, ...]:
        """In order of first appearance."""
        return tuple(self._plates)

    @property
    def missing(self) -> MissingValues:
        """How often each feature has no value."""
        return MissingValues(self._features, self._missing, self._rows)

    def add(self, rows: FeatureRows) -> None:
        """Append rows. Raises TableFileError for a missing value where that is not allowed."""
        finite = np.isfinite(rows.features)
        if self._policy == "fail" and not finite.all():
            row, column = (int(place) for place in np.argwhere(~finite)[0])
            raise missing_value(self._features, rows.features[row], rows.keys.where(row), column)
        some = finite.any(axis=1)
        self.without_values += int((~some).sum())
        self._missing += (~finite[some]).sum(axis=0)
        self._rows += int(some.sum())
        keys = rows.keys.of(some)
        sites = self._site_numbers(keys)
        self._note_metadata(sites, {name: values[some] for name, values in rows.metadata.items()})
        objects = self._object_numbers(rows, some)
        features = rows.features[some]
        for plate in dict.fromkeys(keys.plate.tolist()):
            of_plate = keys.plate == plate
            self._of_plate(plate).append(
                keys.of(of_plate), sites[of_plate], objects[of_plate], features[of_plate]
            )

    def write(self, plate: str, kept: np.ndarray) -> tuple[StoredTable, int]:
        """Write the table of a plate (see `SpilledPlate.write`)."""
        return self._plates[plate].write(self._features, kept, list(self._sites))

    def annotations(self) -> pa.Table:
        """One row per site (schema `plate_annotations`), with the metadata that its cells share."""
        columns = {name: [key[place] for key in self._sites] for place, name in enumerate(SITE_KEY)}
        for name, told in self._metadata.items():
            if name not in self._varying:
                columns[name] = [told.get(number, "") for number in range(len(self._sites))]
        return PLATE_ANNOTATIONS.enforce(
            pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
        )

    def _of_plate(self, plate: str) -> SpilledPlate:
        if plate not in self._plates:
            # Plates may be called as no file can be.
            path = self._folder / f"plate_{len(self._plates)}.float32"
            self._plates[plate] = SpilledPlate(path, len(self._features))
        return self._plates[plate]

    def _site_numbers(self, keys: RowKeys) -> np.ndarray:
        sites = self._sites
        named = zip(keys.plate, keys.well, keys.site, strict=True)
        return np.array([sites.setdefault(key, len(sites)) for key in named], dtype=np.int64)

    def _note_metadata(self, sites: np.ndarray, metadata: dict[str, np.ndarray]) -> None:
        """Remember each site's values, and which columns have several in one site."""
        found, first, inverse = np.unique(sites, return_index=True, return_inverse=True)
        for name, values in metadata.items():
            if name in self._varying:
                continue
            told = self._metadata.setdefault(name, {})
            known = [
                told.setdefault(int(site), value) for site, value in zip(found, values[first], strict=True)
            ]
            if (np.array(known, dtype=object)[inverse] != values).any():
                self._varying.add(name)

    def _object_numbers(self, rows: FeatureRows, used: np.ndarray) -> np.ndarray:
        """(cells, 2) numbers of image and object; -1 for objects without number."""
        numbers = np.full((int(used.sum()), 2), -1, dtype=np.int64)
        if rows.objects is None:
            return numbers
        if rows.images is not None:
            images = self._images
            numbers[:, 0] = [images.setdefault(text, len(images)) for text in rows.images[used]]
        try:
            objects = np.where(rows.objects == "", "-1", rows.objects)[used].astype(np.float64)
        except ValueError:
            # The column tells something else, such as the line of the cells.
            return numbers
        if (objects == np.floor(objects)).all():
            numbers[:, 1] = objects
        return numbers
