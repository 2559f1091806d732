"""Which cells train and which validate: annotations and crop stores joined by the experiment's partition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dp_assets.config.errors import Problem, TrainingDataError
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.plate_tables import annotation_column
from dp_assets.storage.schemas import CELL_KEY, PLATE, SITE, TRAINING_SET, WELL

TRAINING = "training"
VALIDATION = "validation"


@dataclass(frozen=True)
class Partition:
    """How the index divides the images.

    Attributes
    ----------
    target, split_field : columns of the image index.
    training, validation : values of `split_field`.
    """

    target: str
    split_field: str
    training: tuple[str, ...]
    validation: tuple[str, ...]

    def split_of(self, value: str) -> str | None:
        """The split that an index value belongs to; None when the image is not used."""
        if value in self.training:
            return TRAINING
        return VALIDATION if value in self.validation else None


@dataclass(frozen=True)
class TrainingSet:
    """The cells of an experiment.

    Attributes
    ----------
    cells : table of schema `training_set`.
    classes : class names; `class_index` counts in them.
    left_out : channel (or several, comma-joined) -> cells left out because they are flat there.
    """

    cells: pa.Table
    classes: tuple[str, ...]
    left_out: dict[str, int]

    def part(self, split: str) -> pa.Table:
        """The cells of one split."""
        return self.cells.filter(pc.equal(self.cells["split"], split))


def plates_in_use(annotations: Mapping[str, pa.Table], partition: Partition) -> list[str]:
    """The plates that have images in the training or validation split, in order."""
    return [
        plate
        for plate, table in annotations.items()
        if any(
            partition.split_of(value)
            for value in _column(table, partition.split_field, plate).unique().to_pylist()
        )
    ]


def build_training_set(
    annotations: Mapping[str, pa.Table], stores: Mapping[str, CropStore], partition: Partition
) -> TrainingSet:
    """Join annotations with the cells of the crop stores.

    Cells that are flat in some channel (all one grey level, or a box outside the image) are left out and
    counted. Classes are the sorted different values of the target among the training images; images of the
    validation split with another value are left out.

    Raises
    ------
    TrainingDataError : a column is missing, a plate of the split has no exported crops, or no cells are left.
    """
    wanted = plates_in_use(annotations, partition)
    _require_stores(wanted, stores)
    if not wanted:
        raise _no_images(annotations, partition)
    labels = _image_labels({plate: annotations[plate] for plate in wanted}, partition)
    classes = tuple(sorted({target for target, split in labels.values() if split == TRAINING}))
    left_out: dict[str, int] = {}
    tables = [_plate_cells(stores[plate], labels, classes, left_out) for plate in wanted]
    cells = TRAINING_SET.enforce(pa.concat_tables(tables))
    training_set = TrainingSet(cells, classes, left_out)
    _require_cells(training_set, partition)
    return training_set


def _column(table: pa.Table, name: str, plate: str) -> pa.ChunkedArray:
    column = annotation_column(name)
    if column not in table.column_names:
        raise TrainingDataError(
            f"the image index has no column {name}; it has {', '.join(table.column_names)}",
            where=f"train.partition (plate {plate})",
            remedy="correct train.partition.targets and split_field, or add the column to index.csv",
        )
    return table[column]


def _image_labels(
    annotations: Mapping[str, pa.Table], partition: Partition
) -> dict[tuple[str, str, str], tuple[str, str]]:
    """(plate, well, site) -> (target, split) of every image that is used."""
    labels = {}
    for plate, table in annotations.items():
        rows = zip(
            table[WELL].to_pylist(),
            table[SITE].to_pylist(),
            _column(table, partition.target, plate).to_pylist(),
            _column(table, partition.split_field, plate).to_pylist(),
            strict=True,
        )
        for well, site, target, value in rows:
            split = partition.split_of(value)
            if split is not None and target != "":
                labels[(plate, well, site)] = (target, split)
    return labels


def _plate_cells(
    store: CropStore,
    labels: Mapping[tuple[str, str, str], tuple[str, str]],
    classes: Sequence[str],
    left_out: dict[str, int],
) -> pa.Table:
    index = store.index.select([*CELL_KEY, "flat_channels"])
    numbers = {name: number for number, name in enumerate(classes)}
    keys = zip(*(index[name].to_pylist() for name in (PLATE, WELL, SITE)), strict=True)
    flat = index["flat_channels"].to_pylist()
    rows, targets, splits = [], [], []
    for row, key in enumerate(keys):
        target, split = labels.get(key, (None, None))
        if target is None or split is None or target not in numbers:
            continue
        if flat[row]:
            left_out[flat[row]] = left_out.get(flat[row], 0) + 1
            continue
        rows.append(row)
        targets.append(target)
        splits.append(split)
    chosen = index.select(list(CELL_KEY)).take(pa.array(rows, pa.int64()))
    return (
        chosen.append_column("target", pa.array(targets, pa.string()))
        .append_column("split", pa.array(splits, pa.string()))
        .append_column("class_index", pa.array([numbers[t] for t in targets], pa.int32()))
        .append_column("store_row", pa.array(np.asarray(rows, np.int64)))
    )


def _require_stores(wanted: Sequence[str], stores: Mapping[str, CropStore]) -> None:
    missing = [plate for plate in wanted if plate not in stores]
    if missing:
        raise TrainingDataError(
            [
                Problem(
                    f"plate {plate} is in the split, but its cells have not been exported",
                    "single_cells",
                    f"materialize the single_cells asset for plate {plate} (job export_single_cells)",
                )
                for plate in missing
            ]
        )


def _no_images(annotations: Mapping[str, pa.Table], partition: Partition) -> TrainingDataError:
    values = sorted(
        {v for plate, t in annotations.items() for v in _column(t, partition.split_field, plate).to_pylist()}
    )
    return TrainingDataError(
        f"no image has {partition.split_field} in {[*partition.training, *partition.validation]}; "
        f"the index has {values}",
        where="train.partition",
        remedy="correct train.partition.training and validation",
    )


def _require_cells(training_set: TrainingSet, partition: Partition) -> None:
    counts = np.bincount(
        np.asarray(training_set.part(TRAINING)["class_index"]), minlength=len(training_set.classes)
    )
    empty = [name for name, count in zip(training_set.classes, counts, strict=True) if count == 0]
    if empty or len(training_set.classes) < 2:
        flat = ", ".join(f"{count} flat in {name}" for name, count in training_set.left_out.items())
        what = (
            f"classes without training cells: {', '.join(empty)}"
            if empty
            else f"there is only one class: {', '.join(training_set.classes) or 'none'}"
        )
        raise TrainingDataError(
            what + (f" (cells left out: {flat})" if flat else ""),
            where=f"train.partition.targets {partition.target}",
            remedy="check the labels and the split in index.csv, and the images named flat",
        )
