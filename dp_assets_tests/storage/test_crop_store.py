"""Crop stores: windows in any order from any thread, wherever they lie, and damage that is named."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upath import UPath

from dp_assets.config.errors import StoreError
from dp_assets.storage.crop_codec import CODEC
from dp_assets.storage.crop_parts import (
    assemble_store,
    cells_off_objects,
    empty_index,
    flat_cells,
    write_site_part,
)
from dp_assets.storage.crop_store import INDEX, WINDOWS, CropStore
from dp_assets.storage.folders import FolderWriter, publish_folder
from dp_assets.storage.work import RECORD, WorkFolder
from dp_assets_tests.storage.stores import KINDS, store

SIDE, CHANNELS = 6, ("DNA", "ER")


def windows(count: int, seed: int, dtype: str = "uint16") -> np.ndarray:
    limit = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, limit, (count, SIDE, SIDE, len(CHANNELS)), dtype=dtype)


def columns(count: int, site: str, flat: str = "") -> dict[str, Any]:
    return {
        "Metadata_Plate": ["P1"] * count,
        "Metadata_Well": ["A01"] * count,
        "Metadata_Site": [site] * count,
        "Metadata_Cell": [str(number) for number in range(count)],
        "origin_row": list(range(count)),
        "origin_col": [7] * count,
        "centre_row": [0.25 + number for number in range(count)],
        "centre_col": [9.5] * count,
        "array_rows": [20] * count,
        "array_cols": [30] * count,
        "original_rows": [40] * count,
        "original_cols": [60] * count,
        "flat_channels": [flat] * count,
    }


def publish(
    path: Path | UPath, work: WorkFolder, parts: list[tuple[str, np.ndarray]], **facts: Any
) -> CropStore:
    masked = bool(facts.get("mask"))
    for site, found in parts:
        objects = {"object": list(range(len(found)))} if masked else {}
        write_site_part(work, site, found, {**columns(len(found), site), **objects})
    dtype = str(parts[0][1].dtype) if parts else "uint16"
    manifest = {
        "codec": CODEC,
        "channels": list(CHANNELS),
        "dtype": dtype,
        "side": SIDE,
        "cells": sum(len(found) for _, found in parts),
        **facts,
    }
    names = [site for site, _ in parts]

    def fill(folder: Path) -> None:
        assemble_store(folder, work, names, masked=masked)

    publish_folder(path, FolderWriter("made of crops", manifest, fill))
    return CropStore.open(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_windows_come_back_in_the_order_asked_for(tmp_path: Path, kind: str, dtype: str) -> None:
    parts = [("1", windows(4, 0, dtype)), ("2", windows(0, 1, dtype)), ("3", windows(3, 2, dtype))]
    crops = publish(store(kind, tmp_path) / "P1", WorkFolder(tmp_path / "w"), parts)
    whole = np.concatenate([found for _, found in parts])
    assert (len(crops), crops.side, crops.channels, crops.dtype) == (7, SIDE, CHANNELS, np.dtype(dtype))
    assert crops.fingerprint == "made of crops"
    for rows in ([0, 1, 2, 3, 4, 5, 6], [5, 0, 5], np.array([6]), []):
        found = crops.windows(rows)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, whole[np.asarray(rows, int)])
    assert crops.index["Metadata_Site"].to_pylist() == ["1"] * 4 + ["3"] * 3
    assert crops.index["centre_row"].to_pylist() == [0.25, 1.25, 2.25, 3.25, 0.25, 1.25, 2.25]
    ends = np.cumsum(crops.index["length"].to_numpy())
    assert crops.index["offset"].to_pylist() == [0, *ends[:-1]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_masks_are_a_plane_of_their_own(tmp_path: Path, dtype: str) -> None:
    work = WorkFolder(tmp_path / "w")
    masks = np.random.default_rng(5).integers(0, 2, (7, SIDE, SIDE, 1)).astype(dtype) * 255
    whole = np.concatenate([windows(7, 0, dtype), masks.astype(dtype)], axis=-1)
    parts = [("1", whole[:4]), ("2", whole[:0]), ("3", whole[4:])]
    crops = publish(tmp_path / "P1", work, parts, mask=True, mask_sampling="nearest")
    assert (crops.channels, crops.mask_sampling) == (CHANNELS, "nearest")
    rows = [6, 0, 0, 3]
    np.testing.assert_array_equal(crops.windows(rows), whole[rows][..., :2])
    found, planes = crops.windows_and_masks(rows)
    np.testing.assert_array_equal(found, whole[rows][..., :2])
    assert (found.dtype, planes.dtype) == (np.dtype(dtype), np.uint8)
    np.testing.assert_array_equal(planes, masks[rows, :, :, 0])
    assert crops.index["object"].to_pylist() == [0, 1, 2, 3, 0, 1, 2]
    assert crops.index.drop_columns(["object"]).schema.equals(empty_index().schema)


def test_a_store_without_masks_has_none(tmp_path: Path) -> None:
    crops = publish(tmp_path / "P1", WorkFolder(tmp_path / "w"), [("1", windows(2, 0))])
    assert crops.mask_sampling is None
    with pytest.raises(ValueError, match="masked cells"):
        crops.windows_and_masks([0])


def test_cells_that_lie_on_no_object_or_share_one(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "w")
    for part, objects in (("a", [0, 5, 5, -1, 7]), ("b", [5, 2, 2, 2]), ("c", [])):
        count = len(objects)
        planes = np.zeros((count, SIDE, SIDE, 3), np.uint8)
        write_site_part(work, part, planes, {**columns(count, part), "object": objects})
    assert cells_off_objects(work, ["a", "b", "c"]) == (2, 5)
    assert cells_off_objects(work, ["b"]) == (0, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_many_threads_may_read_at_once(tmp_path: Path, kind: str) -> None:
    found = windows(40, 3)
    crops = publish(store(kind, tmp_path) / "P1", WorkFolder(tmp_path / "w"), [("1", found)])
    orders = [np.random.default_rng(seed).permutation(40) for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        for order, read in zip(orders, pool.map(crops.windows, orders), strict=True):
            np.testing.assert_array_equal(read, found[order])


def test_a_store_without_cells(tmp_path: Path) -> None:
    crops = publish(tmp_path / "P1", WorkFolder(tmp_path / "w"), [("1", windows(0, 0))])
    assert len(crops) == 0
    assert crops.index.equals(empty_index())
    assert crops.windows([]).shape == (0, SIDE, SIDE, 2)


def test_a_part_counts_as_finished_when_its_record_is_there(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "w")
    write_site_part(work, "abc", windows(2, 0), columns(2, "1", flat="DNA"))
    write_site_part(work, "def", windows(3, 0), columns(3, "2"))
    assert work.finished("abc")
    assert not work.finished("ghi")
    assert flat_cells(work, ["abc", "def"]) == {"DNA": 2}
    assert flat_cells(work, ["def"]) == {}
    work.file("abc", RECORD).unlink()  # what a kill between the two files leaves
    assert not work.finished("abc")


def test_cells_that_occur_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="occur more than once"):
        publish(tmp_path / "P1", WorkFolder(tmp_path / "w"), [("1", windows(2, 0)), ("1", windows(2, 0))])
    assert not (tmp_path / "P1").exists()


def test_stores_of_another_codec_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="written with codec 'older'") as caught:
        publish(tmp_path / "P1", WorkFolder(tmp_path / "w"), [("1", windows(1, 0))], codec="older")
    assert "materialize" in caught.value.problems[0].remedy
    with pytest.raises(FileNotFoundError, match="never published"):
        CropStore.open(tmp_path / "P2")


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_named(tmp_path: Path, kind: str) -> None:
    path = store(kind, tmp_path) / "P1"
    publish(path, WorkFolder(tmp_path / "w"), [("1", windows(5, 0))])
    folder = CropStore.open(path).folder.path
    whole = (folder / WINDOWS).read_bytes()
    (folder / WINDOWS).write_bytes(whole[:-1])
    with pytest.raises(StoreError, match=r"crops\.bin ends before byte"):
        CropStore.open(path).windows([4])
    np.testing.assert_array_equal(CropStore.open(path).windows([3]), windows(5, 0)[[3]])
    (folder / WINDOWS).write_bytes(b"\0" * len(whole))
    with pytest.raises(StoreError, match=r"window of row 2 in crops\.bin cannot be decoded"):
        CropStore.open(path).windows([2])
    (folder / WINDOWS).unlink()
    with pytest.raises(StoreError, match=r"crops\.bin is missing"):
        CropStore.open(path).windows([0])
    (folder / INDEX).write_bytes((folder / INDEX).read_bytes()[:100])
    with pytest.raises(StoreError, match="table cannot be read"):
        CropStore.open(path).windows([0])
