"""DeepProfiler's feature files: read as NumPy reads them, written as DeepProfiler writes them."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from upath import UPath

from dp_assets.config.errors import StoreError
from dp_assets.interchange import legacy_npz
from dp_assets.interchange.legacy_npz import read_legacy_npz, summarise_legacy_npz, write_legacy_npz

FEATURES = np.arange(12, dtype=np.float32).reshape(3, 4)
METADATA = {"Metadata_Plate": "P1", "Metadata_Site": "01", "Metadata_Model": "cnn"}
PLACES = np.array([[1.5, 2.0], [3.25, 4.0], [0.0, 9.0]])


def recorded_files(shared: Path) -> list[Path]:
    folder = shared / "reference/deepprofiler_outputs/bbbc021_week1_small"
    return [
        shared / "golden/features/original_format_SYN00001_A02_1.npz",
        *sorted(folder.rglob("*.npz")),
    ]


def test_recorded_files(shared: Path) -> None:
    files = recorded_files(shared)
    assert len(files) == 14
    for path in files:
        found, summary = read_legacy_npz(path), summarise_legacy_npz(path)
        with np.load(path, allow_pickle=True) as recorded:
            np.testing.assert_array_equal(found.features, recorded["features"])
            assert found.metadata == recorded["metadata"].item()
            if "locations" in recorded.files:
                np.testing.assert_array_equal(found.locations, recorded["locations"])
            else:
                assert found.locations is None
        assert found.features.dtype == np.float32
        assert (summary.cells, summary.dimension) == found.features.shape
        assert summary.model == found.model == found.metadata["Metadata_Model"]


@pytest.mark.parametrize(
    "locations", [PLACES, np.array([[1.5, 2.0, "a"], [3.0, 4.0, None], [5.0, 6.0, ""]], object)]
)
@pytest.mark.parametrize("kind", ["path", "memory"])
def test_what_is_written_is_read_by_numpy_and_here(tmp_path: Path, locations: np.ndarray, kind: str) -> None:
    path = tmp_path / "P1" / "a.npz" if kind == "path" else UPath("memory://legacy/P1/a.npz")
    write_legacy_npz(path, FEATURES, METADATA, locations)
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=True) as stored:
        assert stored.files == ["features", "metadata", "locations"]
        np.testing.assert_array_equal(stored["features"], FEATURES)
        np.testing.assert_array_equal(stored["locations"], locations)
        assert stored["metadata"].shape == ()
        assert stored["metadata"].item() == METADATA
    found = read_legacy_npz(path)
    np.testing.assert_array_equal(found.features, FEATURES)
    np.testing.assert_array_equal(found.locations, locations)
    assert found.metadata == METADATA


def test_files_are_found_by_older_numpy_under_its_own_name(tmp_path: Path) -> None:
    tricky = {**METADATA, "note": "\x80\x03cnumpy._core.multiarray\n"}
    write_legacy_npz(tmp_path / "a.npz", FEATURES, tricky, PLACES)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert b"\x80\x03cnumpy.core.multiarray\n_reconstruct" in archive.read("metadata.npy")
    assert read_legacy_npz(tmp_path / "a.npz").metadata == tricky


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_legacy_npz(tmp_path / f"{name}.npz", FEATURES, METADATA, PLACES)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_old_files_hold_features_only(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", f=FEATURES.astype(np.float64))
    found = read_legacy_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.features, FEATURES)
    assert (found.features.dtype, found.metadata, found.locations) == (np.float32, {}, None)
    assert found.model == summarise_legacy_npz(tmp_path / "a.npz").model == "DP"


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"other": FEATURES}, "no features, only other"),
        ({}, "only nothing"),
        ({"features": FEATURES[0]}, r"`features` is 4 float32; expected \(cells, features\)"),
        ({"features": FEATURES.astype(int)}, "int64"),
        ({"features": FEATURES[:, :0]}, "`features` is 3 x 0"),
        ({"features": np.array({"a": 1}, object)}, "a single value object"),
        ({"features": FEATURES, "locations": PLACES[:2]}, "`locations` is 2 x 2, but `features` holds 3"),
        ({"features": FEATURES, "metadata": np.array("P1")}, "`metadata` is no dict"),
        ({"features": FEATURES, "metadata": np.array({"a": Path("x")}, object)}, "asks for pathlib"),
    ],
)
def test_files_that_hold_something_else(tmp_path: Path, arrays: dict, what: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    for function in (read_legacy_npz, summarise_legacy_npz):
        with pytest.raises(StoreError, match=what) as caught:
            function(path)
        assert caught.value.problems[0].where == str(path)
        assert caught.value.problems[0].remedy


@pytest.mark.parametrize("kept", [0, 10, 300, 0.5, 0.9, -1])
def test_files_that_were_cut_off(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.npz"
    write_legacy_npz(path, np.random.default_rng(0).random((50, 30), np.float32), METADATA, np.zeros((50, 2)))
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if 0 < kept < 1 else int(kept)])
    for function in (read_legacy_npz, summarise_legacy_npz):
        with pytest.raises(StoreError, match="cut off or damaged") as caught:
            function(path)
        assert str(path) in str(caught.value)


def test_encrypted_and_oversized_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    write_legacy_npz(path, FEATURES, METADATA, PLACES)
    whole = bytearray(path.read_bytes())
    for flags in (whole.index(b"PK\x03\x04") + 6, whole.index(b"PK\x01\x02") + 8):
        whole[flags] |= 1
    (tmp_path / "b.npz").write_bytes(whole)
    with pytest.raises(StoreError, match="encrypted"):
        read_legacy_npz(tmp_path / "b.npz")
    monkeypatch.setattr(legacy_npz, "MOST_BYTES", 150)
    with pytest.raises(StoreError, match=r"features\.npy claims 176 bytes, more than 150"):
        read_legacy_npz(path)


def test_damage_inside_the_features(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_legacy_npz(path, np.random.default_rng(0).random((50, 30), np.float32), METADATA, np.zeros((50, 2)))
    data = bytearray(path.read_bytes())
    data[2000] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match="cut off or damaged"):
        read_legacy_npz(path)
