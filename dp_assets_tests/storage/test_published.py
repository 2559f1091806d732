"""What a published result says it was made from; a damaged one counts as none."""

import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.config.errors import StoreError
from dp_assets.storage.folders import MANIFEST, FolderWriter, publish_folder
from dp_assets.storage.published import published_fingerprint, read_arrays, write_arrays
from dp_assets.storage.schemas import IMAGE_INDEX
from dp_assets.storage.tables import with_provenance, write_table
from dp_assets_tests.storage.stores import KINDS, store

ARRAYS = {"names": np.array(["DNA", "ER"]), "mean": np.arange(6.0).reshape(2, 3), "sites": np.array(4)}
ROWS = pa.table({"Metadata_Plate": ["P"], "Metadata_Well": ["A01"], "Metadata_Site": ["1"]})


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_tells_its_fingerprint(tmp_path: Path, kind: str) -> None:
    place = store(kind, tmp_path)
    paths = [place / "t.parquet", place / "a.npz", place / "P.1"]
    assert [published_fingerprint(path) for path in paths] == [None, None, None]
    write_table(paths[0], with_provenance(ROWS, fingerprint="table"), IMAGE_INDEX)
    write_arrays(paths[1], ARRAYS, "arrays")
    publish_folder(paths[2], FolderWriter("folder", {}, lambda _: None))
    assert [published_fingerprint(path) for path in paths] == ["table", "arrays", "folder"]


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_come_back_without_pickle(tmp_path: Path, kind: str) -> None:
    path = store(kind, tmp_path) / "a.npz"
    write_arrays(path, ARRAYS, "abc")
    found = read_arrays(path)
    assert str(found.pop("fingerprint")) == "abc"
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(path, {"x": np.array([object()])}, "abc")
    assert set(read_arrays(path)) == {*ARRAYS, "fingerprint"}


def test_pickled_arrays_are_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(StoreError, match="cannot be read"):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.99])
def test_truncated_results_count_as_none(tmp_path: Path, kept: float) -> None:
    paths = [tmp_path / "t.parquet", tmp_path / "a.npz", tmp_path / "P1"]
    write_table(paths[0], with_provenance(ROWS, fingerprint="table"), IMAGE_INDEX)
    write_arrays(paths[1], ARRAYS, "arrays")
    publish_folder(paths[2], FolderWriter("folder", {"more": list(range(20))}, lambda _: None))
    for path, file in zip(paths, [paths[0], paths[1], paths[2] / MANIFEST], strict=True):
        data = file.read_bytes()
        file.write_bytes(data[: int(kept * len(data))])
        assert published_fingerprint(path) is None
    with pytest.raises(StoreError, match="cannot be read") as caught:
        read_arrays(paths[1])
    assert caught.value.problems[0].where == str(paths[1])


def test_damage_inside_an_archive_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"big": np.random.default_rng(0).random(5000)}, "abc")
    data = bytearray(path.read_bytes())
    for start in (100, 5000):
        damaged = data.copy()
        damaged[start : start + 50] = bytes(255 - value for value in damaged[start : start + 50])
        path.write_bytes(damaged)
        assert published_fingerprint(path) is None


def test_results_without_a_fingerprint_count_as_none(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", ROWS, IMAGE_INDEX)
    np.savez(tmp_path / "a.npz", x=1)
    (tmp_path / "P1").mkdir()
    for name in ("t.parquet", "a.npz", "P1"):
        assert published_fingerprint(tmp_path / name) is None
    assert zipfile.is_zipfile(tmp_path / "a.npz")


def test_a_folder_left_by_an_interrupted_publication_still_counts(tmp_path: Path) -> None:
    publish_folder(tmp_path / "P1", FolderWriter("folder", {}, lambda _: None))
    (tmp_path / "P1").rename(tmp_path / ".P1.previous")
    assert published_fingerprint(tmp_path / "P1") == "folder"
