"""Which cells train and which validate: annotations and lists of cells joined by the partition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dp_assets.config.errors import Problem, TrainingDataError
from dp_assets.storage.plate_tables import annotation_column
from dp_assets.storage.schemas import CELL_KEY, SITE, SITE_KEY, TRAINING_SET, WELL

TRAINING = "training"
VALIDATION = "validation"
FLAT = "flat_channels"

ImageKey = tuple[str, str, str]
Heads = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Partition:
    """How the index divides the images.

    Attributes
    ----------
    target, split_field : columns of the image index.
    training, validation : values of `split_field`.
    more_targets : further columns, one head of the network each.
    """

    target: str
    split_field: str
    training: tuple[str, ...]
    validation: tuple[str, ...]
    more_targets: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """All target columns; epochs are balanced over the first."""
        return (self.target, *self.more_targets)

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
    cells : table of schema `training_set`. Columns `target` and `class_index` are of the first target,
        `target_2` and `class_index_2` of the second, and so on.
    heads : (target column, class names) of every target; the class indices count in the names.
    left_out : channel (or several, comma-joined) -> cells left out because they are flat there.
    unlabelled : target column -> cells left out because their image has no value there, or one that no
        training image has.
    """

    cells: pa.Table
    heads: Heads
    left_out: dict[str, int]
    unlabelled: dict[str, int] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the first target."""
        return self.heads[0][1]

    def part(self, split: str) -> pa.Table:
        """The cells of one split."""
        return self.cells.filter(pc.equal(self.cells["split"], split))


@dataclass(frozen=True)
class _ImageLabel:
    """The value of each target, and the split, of one image."""

    targets: tuple[str, ...]
    split: str


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
    annotations: Mapping[str, pa.Table],
    listed: Mapping[str, pa.Table],
    partition: Partition,
    *,
    least_classes: int = 2,
) -> TrainingSet:
    """Join annotations with the cells there are.

    Cells that are known to be flat in some channel (all one grey level, or a box outside the image) are left
    out and counted. Classes are the sorted different values of a target among the training images. Images of
    the validation split with another value of the first target are left out; so are, counted, images without
    a usable value of a further target.

    Parameters
    ----------
    annotations : plate -> its plate_annotations table.
    listed : plate -> its cells, for every plate in use: the columns CELL_KEY, and `flat_channels` where that
        is known. The row in this table becomes `store_row`.
    least_classes : so many classes every target must have; 1 for networks that do not learn classes.

    Raises
    ------
    TrainingDataError : a column is missing, a target has too few classes, or a class no training cell.
    """
    wanted = plates_in_use(annotations, partition)
    if not wanted:
        raise _no_images(annotations, partition)
    labels = _image_labels({plate: annotations[plate] for plate in wanted}, partition)
    heads = _heads(labels, partition)
    left_out: dict[str, int] = {}
    unlabelled: dict[str, int] = {}
    tables = [_plate_cells(listed[plate], labels, heads, left_out, unlabelled) for plate in wanted]
    cells = TRAINING_SET.enforce(pa.concat_tables(tables))
    training_set = TrainingSet(cells, heads, left_out, unlabelled)
    _require_cells(training_set, least_classes)
    return training_set


def labels_of(cells: pa.Table) -> np.ndarray:
    """Class indices of a training_set table, int64 (n,) for one target and (n, targets) for several."""
    names = [name for name in cells.column_names if name.startswith("class_index")]
    columns = [cells[name].to_numpy().astype(np.int64) for name in names]
    return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)


def images_of(cells: pa.Table) -> tuple[np.ndarray, list[ImageKey]]:
    """The number of each cell's image, int64 (n,), and the images' (plate, well, site) by number."""
    keys = zip(*(cells[name].to_pylist() for name in SITE_KEY), strict=True)
    numbers: dict[ImageKey, int] = {}
    codes = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    return codes, list(numbers)


def _column(table: pa.Table, name: str, plate: str) -> pa.ChunkedArray:
    column = annotation_column(name)
    if column not in table.column_names:
        raise TrainingDataError(
            f"the image index has no column {name}; it has {', '.join(table.column_names)}",
            where=f"train.partition (plate {plate})",
            remedy="correct train.partition.targets and split_field, or add the column to index.csv",
        )
    return table[column]


def _image_labels(annotations: Mapping[str, pa.Table], partition: Partition) -> dict[ImageKey, _ImageLabel]:
    """(plate, well, site) -> targets and split of every image that is used."""
    labels = {}
    for plate, table in annotations.items():
        targets = zip(*(_column(table, name, plate).to_pylist() for name in partition.targets), strict=True)
        wells, sites = table[WELL].to_pylist(), table[SITE].to_pylist()
        values = _column(table, partition.split_field, plate).to_pylist()
        for well, site, target, value in zip(wells, sites, targets, values, strict=True):
            split = partition.split_of(value)
            if split is not None and target[0] != "":
                labels[(plate, well, site)] = _ImageLabel(target, split)
    return labels


def _heads(labels: Mapping[ImageKey, _ImageLabel], partition: Partition) -> Heads:
    """Classes of each target: of the further ones among the images that have a value of every target."""
    training = [label.targets for label in labels.values() if label.split == TRAINING]
    first = tuple(sorted({targets[0] for targets in training}))
    complete = [targets for targets in training if all(targets)]
    further = (
        (name, tuple(sorted({targets[place] for targets in complete})))
        for place, name in enumerate(partition.targets)
        if place
    )
    return ((partition.target, first), *further)


def _plate_cells(
    listed: pa.Table,
    labels: Mapping[ImageKey, _ImageLabel],
    heads: Heads,
    left_out: dict[str, int],
    unlabelled: dict[str, int],
) -> pa.Table:
    """The cells of one plate that are used; `left_out` and `unlabelled` are added to."""
    numbers = [{name: number for number, name in enumerate(classes)} for _, classes in heads]
    keys = zip(*(listed[name].to_pylist() for name in SITE_KEY), strict=True)
    flat = listed[FLAT].to_pylist() if FLAT in listed.column_names else [""] * len(listed)
    rows: list[int] = []
    found: list[_ImageLabel] = []
    for row, key in enumerate(keys):
        label = labels.get(key)
        if label is None or label.targets[0] not in numbers[0]:
            continue
        unknown = [place for place, value in enumerate(label.targets) if value not in numbers[place]]
        if unknown:
            _count(unlabelled, heads[unknown[0]][0])
        elif flat[row]:
            _count(left_out, flat[row])
        else:
            rows.append(row)
            found.append(label)
    chosen = listed.select(list(CELL_KEY)).take(pa.array(rows, pa.int64()))
    columns = {
        "target": pa.array([label.targets[0] for label in found], pa.string()),
        "split": pa.array([label.split for label in found], pa.string()),
        "class_index": pa.array([numbers[0][label.targets[0]] for label in found], pa.int32()),
        "store_row": pa.array(np.asarray(rows, np.int64)),
    }
    for place in range(1, len(heads)):
        values = [label.targets[place] for label in found]
        columns[f"target_{place + 1}"] = pa.array(values, pa.string())
        columns[f"class_index_{place + 1}"] = pa.array([numbers[place][v] for v in values], pa.int32())
    for name, column in columns.items():
        chosen = chosen.append_column(name, column)
    return chosen


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


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


def _require_cells(training_set: TrainingSet, least_classes: int) -> None:
    """Every head needs so many classes, and every class a training cell."""
    labels = labels_of(training_set.part(TRAINING)).reshape(-1, len(training_set.heads))
    flat = [f"{count} flat in {name}" for name, count in training_set.left_out.items()]
    missing = [f"{count} without a value of {name}" for name, count in training_set.unlabelled.items()]
    left_out = f" (cells left out: {', '.join([*flat, *missing])})" if flat or missing else ""
    problems = []
    for place, (target, classes) in enumerate(training_set.heads):
        what = _lacking(classes, np.bincount(labels[:, place], minlength=len(classes)), least_classes)
        if what is not None:
            problems.append(
                Problem(
                    what + left_out,
                    f"train.partition.targets {target}",
                    "check the labels and the split in index.csv, and the images named flat",
                )
            )
    if problems:
        raise TrainingDataError(problems)


def _lacking(classes: Sequence[str], counts: np.ndarray, least_classes: int) -> str | None:
    """What keeps a head from being trained on so many cells of each class."""
    empty = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        return f"classes without training cells: {', '.join(empty)}"
    if not classes:
        return "no training image has a class"
    if len(classes) < least_classes:
        return f"there is only one class: {classes[0]}"
    return None
