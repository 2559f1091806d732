"""Reading weight files: the HDF5 layouts of Keras 2 (DeepProfiler) and Keras 3, by layer name."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from dp_assets.config.errors import ModelError
from dp_assets.networks.model_archive import check_expansion, read_member

ARCHIVE_START = b"PK"
ARCHIVE_MEMBER = "model.weights.h5"


@dataclass(frozen=True)
class StoredWeight:
    """One array of a weight file, not read yet; `name` is that of the variable ("gamma"), "" when unknown."""

    name: str
    dataset: h5py.Dataset

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.dataset.shape)

    def read(self) -> np.ndarray:
        """The numbers, in the file's dtype. OSError when they claim far more memory than is in the file."""
        check_expansion(self.dataset.nbytes, self.dataset.id.get_storage_size(), self.dataset.name)
        return self.dataset[()]


@contextmanager
def open_weights(path: Path) -> Iterator[dict[str, list[StoredWeight]]]:
    """Open a weight file and list the arrays of its layers, in the order in which the layer keeps them.

    Parameters
    ----------
    path : `.hdf5`/`.h5` of Keras 2 (weights or whole model), `.weights.h5` or `.keras` of Keras 3. The
        content decides, not the ending.

    Yields
    ------
    Arrays by layer name, readable until the context is left; layers without arrays are not listed.

    Raises
    ------
    ModelError : the file is missing, damaged, of another kind, or refers to data in other files.
    """
    if not path.is_file():
        raise ModelError(
            "there is no such weight file", where=str(path), remedy="check the name of the checkpoint"
        )
    try:
        with path.open("rb") as raw, h5py.File(_hdf5_part(raw), "r") as file:
            yield _layers(file)
    except (OSError, EOFError, zipfile.BadZipFile, RuntimeError) as error:
        raise ModelError(
            f"cannot be read as a weight file: {error}",
            where=str(path),
            remedy="the file is damaged, cut short, or no Keras weights; copy or train it again",
        ) from error
    except _ForeignDataError as error:
        raise ModelError(
            f"{error} refers to data outside the file, which is not followed",
            where=str(path),
            remedy="use weights saved by Keras itself",
        ) from error


class _ForeignDataError(Exception):
    """An HDF5 entry that would read another file of this machine."""


def _hdf5_part(raw: BinaryIO) -> BinaryIO:
    """The HDF5 bytes: the file itself, or the member of a `.keras` archive that holds the weights."""
    start = raw.read(len(ARCHIVE_START))
    raw.seek(0)
    if start != ARCHIVE_START:
        return raw
    with zipfile.ZipFile(raw) as archive:
        if ARCHIVE_MEMBER not in archive.namelist():
            raise OSError(f"the archive has no {ARCHIVE_MEMBER}")
        return io.BytesIO(read_member(archive, ARCHIVE_MEMBER))


def _layers(file: h5py.File) -> dict[str, list[StoredWeight]]:
    # Keras 2 puts the weights of a whole model one level down.
    group = file.get("model_weights", file)
    if any(key.startswith("layer_names") for key in group.attrs):
        return _keras2_layers(group)
    return _keras3_layers(file)


def _keras2_layers(group: h5py.Group) -> dict[str, list[StoredWeight]]:
    """Keras 2: `layer_names` on top; a group per layer with `weight_names` ("stem_bn_1/gamma:0").

    A model inside the model is one group that lists the weights of all its layers ("dense/kernel:0",
    "conv2d/kernel:0"); its layers are taken apart.
    """
    layers: dict[str, list[StoredWeight]] = {}
    for name in _names(group, "layer_names"):
        layer = _entry(group, name)
        parts: dict[str, list[StoredWeight]] = {}
        for weight in _names(layer, "weight_names"):
            owner, _, variable = weight.removeprefix(f"{name}/").rpartition("/")
            stored = StoredWeight(variable.split(":")[0], _own_dataset(layer, weight))
            parts.setdefault(owner, []).append(stored)
        if len(parts) > 1:
            layers |= parts
        elif parts:
            layers[name] = next(iter(parts.values()))
    return layers


def _keras3_layers(file: h5py.File) -> dict[str, list[StoredWeight]]:
    """Keras 3: a group `vars` with attribute `name` per layer, at any depth; arrays numbered 0, 1, ..."""
    layers: dict[str, list[StoredWeight]] = {}

    def visit(path: str, item: h5py.Group | h5py.Dataset) -> None:
        is_layer = isinstance(item, h5py.Group) and path.endswith("vars") and "name" in item.attrs
        if not is_layer or path.startswith("optimizer") or "/seed_generator" in path:
            return
        numbers = sorted((key for key in item if key.isdigit()), key=int)
        if numbers:
            layers[str(item.attrs["name"])] = [StoredWeight("", _own_dataset(item, key)) for key in numbers]

    file.visititems(visit)
    return layers


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names; Keras 2 splits lists above 64 KB into attributes numbered from 0."""
    numbered = [key for key in group.attrs if key.startswith(attribute) and key[len(attribute) :].isdigit()]
    keys = [attribute] if attribute in group.attrs else sorted(numbered, key=lambda key: (len(key), key))
    names = [name for key in keys for name in group.attrs[key]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _entry(group: h5py.Group, key: str) -> h5py.Group | h5py.Dataset:
    if isinstance(group.get(key, getlink=True), h5py.ExternalLink):
        raise _ForeignDataError(key)
    if key not in group:
        raise OSError(f"it lists {key!r}, but does not hold it")
    return group[key]


def _own_dataset(group: h5py.Group, key: str) -> h5py.Dataset:
    dataset = _entry(group, key)
    if not isinstance(dataset, h5py.Dataset):
        raise OSError(f"{key!r} is no array")
    if dataset.external or dataset.is_virtual or dataset.file.filename != group.file.filename:
        raise _ForeignDataError(key)
    return dataset
