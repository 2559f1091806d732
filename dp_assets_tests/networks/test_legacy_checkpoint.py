"""Checkpoints for the original program: byte for byte what it writes itself, and readable by name."""

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.networks.checkpoints import load_weights_by_name
from dp_assets.networks.legacy_checkpoint import write_legacy_checkpoint
from dp_assets.networks.registry import build_network
from dp_assets_tests.networks.builders import EFFICIENTNET_REQUEST, small_cnn


def content(path: Path) -> dict[str, Any]:
    """Every dataset, group and attribute of a file."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:

        def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
            found[name] = item[()] if isinstance(item, h5py.Dataset) else "group"
            found.update({f"{name}@{key}": value for key, value in item.attrs.items()})

        visit("", file)
        file.visititems(visit)
    return found


def assert_equal_content(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert type(found[name]) is type(value), name
        if isinstance(value, np.ndarray):
            assert found[name].dtype == value.dtype, name
            np.testing.assert_array_equal(found[name], value, err_msg=name)
        else:
            assert found[name] == value, name


def test_the_recorded_checkpoint_is_written_again(golden: Path, tmp_path: Path) -> None:
    recorded = golden / "checkpoint_golden.hdf5"
    network = build_network(EFFICIENTNET_REQUEST)
    load_weights_by_name(network, recorded)
    write_legacy_checkpoint(network, tmp_path / "c.hdf5", augmented=True)
    assert_equal_content(content(tmp_path / "c.hdf5"), content(recorded))
    assert [path.name for path in tmp_path.iterdir()] == ["c.hdf5"]


def counted(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind


def test_layers_that_the_original_does_not_name_are_counted(tmp_path: Path) -> None:
    network = small_cnn(conv_blocks=3)
    rng = np.random.default_rng(0)
    network.set_weights([rng.random(weight.shape, np.float32) for weight in network.weights])
    write_legacy_checkpoint(network, tmp_path / "c.hdf5")
    found = content(tmp_path / "c.hdf5")
    for block in range(3):
        conv, bn = counted("conv2d", block), counted("batch_normalization", block)
        kernel = network.get_layer(f"block{block + 1}_conv").get_weights()[0]
        np.testing.assert_array_equal(found[f"{conv}/{conv}/kernel:0"], kernel)
        assert list(found[f"{bn}@weight_names"]) == [
            f"{bn}/{name}:0" for name in ("gamma", "beta", "moving_mean", "moving_variance")
        ]
    with_weights = [name for name in found["@layer_names"] if len(found[f"{name}@weight_names"])]
    assert with_weights[-2:] == ["features", "Treatment"]
    assert "augmentation_layer_1" not in found
    again = small_cnn(conv_blocks=3)
    load_weights_by_name(again, tmp_path / "c.hdf5")
    for mine, theirs in zip(again.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_densenet_gets_its_slashes_back(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(2, 3, name="conv1_conv", use_bias=False)(inputs)
    maps = keras.layers.Conv2D(2, 3, name="conv2_block1_1_conv", use_bias=False)(maps)
    network = keras.Model(inputs, maps, name="densenet121")
    write_legacy_checkpoint(network, tmp_path / "c.hdf5")
    found = content(tmp_path / "c.hdf5")
    assert list(found["@layer_names"]) == ["input_1", "conv1/conv", "conv2_block1_1_conv"]
    assert list(found["conv1/conv@weight_names"]) == ["conv1/conv_1/kernel:0"]
    np.testing.assert_array_equal(
        found["conv1/conv/conv1/conv_1/kernel:0"], network.get_layer("conv1_conv").get_weights()[0]
    )


def test_a_network_of_ours_alone_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    network = keras.Model(inputs, keras.layers.Dense(2)(inputs), name="transformer")
    with pytest.raises(ModelError, match="no network like 'transformer'") as caught:
        write_legacy_checkpoint(network, tmp_path / "c.hdf5")
    assert "efficientnet" in caught.value.problems[0].remedy
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.hdf5"
    path.write_bytes(b"older")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_legacy_checkpoint(small_cnn(), path)
    assert path.read_bytes() == b"older"
    write_legacy_checkpoint(small_cnn(), path)
    load_weights_by_name(small_cnn(), path)
