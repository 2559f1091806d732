"""Model files of others: their code is not run, and they do not fill the memory."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from dp_assets.config.errors import ModelError
from dp_assets.networks.weight_files import open_weights
from dp_assets.storage.model_folder import NETWORK_FILE
from dp_assets.training.model_loading import load_trained_network


def small_network() -> keras.Model:
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(2, name="dense")(inputs))


def saved(folder: Path, network: keras.Model) -> Path:
    folder.mkdir(exist_ok=True)
    network.save(folder / NETWORK_FILE)
    return folder


def rewrite(folder: Path, change: Callable[[dict], None]) -> None:
    """Change the configuration inside the archive."""
    path = folder / NETWORK_FILE
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def dense_of(config: dict) -> dict:
    return next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")


def test_lambda_layer_is_not_run(tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    code = f"lambda x: [open({str(proof)!r}, 'w').close(), x][1]"
    inputs = keras.Input((4,))
    folder = saved(tmp_path / "model", keras.Model(inputs, keras.layers.Lambda(eval(code))(inputs)))
    proof.unlink()  # it ran when the network was built, and does where safe mode is off
    keras.saving.load_model(folder / NETWORK_FILE, safe_mode=False)
    assert proof.exists()
    proof.unlink()
    with pytest.raises(ModelError, match=r"model\.keras: the network holds a Lambda layer[\s\S]*plugin"):
        load_trained_network(folder)
    assert not proof.exists()


@pytest.mark.parametrize(("module", "name"), [("planted_module", "Planted"), ("subprocess", "Popen")])
def test_class_of_any_module_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    proof = tmp_path / "ran"
    (tmp_path / "planted_module.py").write_text(
        f"import keras\nopen({str(proof)!r}, 'w').close()\nclass Planted(keras.layers.Dense): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = saved(tmp_path / "model", small_network())

    def plant(config: dict) -> None:
        dense_of(config).update(module=module, class_name=name, registered_name=None)

    rewrite(folder, plant)
    with pytest.raises(ModelError, match=rf"{module}\.{name}, which is not run[\s\S]*plugin"):
        load_trained_network(folder)
    assert not proof.exists()


@pytest.mark.parametrize("name", ["get_file", "load_model"])
def test_functions_of_keras_that_are_no_layers_are_not_called(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path / "model", small_network())
    module = {"get_file": "keras.utils", "load_model": "keras.saving"}[name]
    rewrite(folder, lambda config: dense_of(config).update(module=module, class_name=name))
    with pytest.raises(ModelError, match=r"model\.keras"):
        load_trained_network(folder)


def test_own_layers_and_plain_networks_are_loaded(tmp_path: Path) -> None:
    network = small_network()
    loaded = load_trained_network(saved(tmp_path / "model", network))
    np.testing.assert_array_equal(loaded.get_layer("dense").kernel, network.get_layer("dense").kernel)


def test_archive_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("model.weights.h5", "w") as member,
    ):
        for _ in range(300):
            member.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(ModelError, match=r"bomb\.keras[\s\S]*claims 314,572,800 bytes"):
        open_weights(path).__enter__()


def test_array_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.weights.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        group.attrs["name"] = "dense"
        group.create_dataset("0", (2**20, 2**18), "float32", chunks=(1024, 1024), compression="gzip")
    assert path.stat().st_size < 2**20
    with pytest.raises(ModelError, match="claims 1,099,511,627,776 bytes"), open_weights(path) as layers:
        layers["dense"][0].read()


@pytest.mark.parametrize("ending", [".weights.h5", ".hdf5"])
def test_network_whose_weights_lie_in_another_file_is_refused(tmp_path: Path, ending: str) -> None:
    (tmp_path / "other").write_bytes(os.urandom(4 * 4 * 2))
    network = small_network()
    folder = saved(tmp_path / "model", network)
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir()
    path = checkpoints / f"checkpoint_0001{ending}"
    if ending == ".weights.h5":
        network.save_weights(path)
        place, name = "layers/dense/vars", "0"
    else:
        legacy_h5_format.save_model_to_hdf5(network, path)
        place, name = "model_weights/dense/dense", "kernel"
    with h5py.File(path, "a") as file:
        group = file[place]
        del group[name]
        group.create_dataset(name, (4, 2), "float32", external=str(tmp_path / "other"))
    with pytest.raises(ModelError, match="external"):
        load_trained_network(folder, "checkpoint_0001")
