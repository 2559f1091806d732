"""Loading weights: the original's own checkpoint, both Keras layouts, and every way a file can be wrong."""

import io
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.networks.checkpoints import load_matching_weights, load_weights_by_name
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets_tests.networks.builders import EFFICIENTNET_REQUEST, small_cnn


def write_keras2(
    model: keras.Model, path: Path, *, whole_model: bool = False, shuffled: bool = False
) -> None:
    """A file as Keras 2 laid it out: layer_names, weight_names, one group per layer."""
    with h5py.File(path, "w") as file:
        top = file.create_group("model_weights") if whole_model else file
        top.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = top.create_group(layer.name)
            pairs = list(
                zip((f"{layer.name}_1/{w.name}:0" for w in layer.weights), layer.get_weights(), strict=True)
            )
            pairs = pairs[::-1] if shuffled else pairs
            group.attrs["weight_names"] = [name.encode() for name, _ in pairs]
            for name, value in pairs:
                group[name] = value


def randomised(model: keras.Model, seed: int = 0) -> keras.Model:
    rng = np.random.default_rng(seed)
    model.set_weights([rng.random(weight.shape, np.float32) for weight in model.weights])
    return model


def assert_same_weights(first: keras.Model, second: keras.Model) -> None:
    for mine, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("options", [{}, {"whole_model": True}, {"shuffled": True}])
def test_keras2_files_load(tmp_path: Path, options: dict[str, bool]) -> None:
    source, target = randomised(small_cnn()), small_cnn()
    write_keras2(source, tmp_path / "checkpoint.hdf5", **options)
    report = load_weights_by_name(target, tmp_path / "checkpoint.hdf5")
    assert report.loaded == ("block1_conv", "block1_bn", "block2_conv", "block2_bn", "features", "Treatment")
    assert report.skipped == report.missing == ()
    assert_same_weights(source, target)


@pytest.mark.parametrize("name", ["model.keras", "checkpoint_0001.weights.h5", "wrapped.keras"])
def test_keras3_files_load(tmp_path: Path, name: str) -> None:
    source, target = randomised(small_cnn()), small_cnn()
    saved = source
    if name == "wrapped.keras":
        inputs = keras.Input((16, 16, 2))
        saved = keras.Model(inputs, source(inputs))
        saved.compile("adam", "mse")
        saved.train_on_batch(np.zeros((2, 16, 16, 2)), np.zeros((2, 3)))  # gives the optimizer a state
    (saved.save_weights if name.endswith(".h5") else saved.save)(tmp_path / name)
    assert load_weights_by_name(target, tmp_path / name).missing == ()
    assert_same_weights(source, target)


def test_a_head_for_other_classes_or_of_another_name_is_left_out(tmp_path: Path) -> None:
    source = randomised(small_cnn())
    write_keras2(source, tmp_path / "c.hdf5")
    more_classes, other_column = small_cnn(classes=5), small_cnn(target="Compound")
    before = more_classes.get_layer("Treatment").get_weights()
    report = load_weights_by_name(more_classes, tmp_path / "c.hdf5")
    assert report.skipped == ("Treatment",)
    assert "Treatment" not in report.loaded
    np.testing.assert_array_equal(more_classes.get_layer("Treatment").get_weights()[0], before[0])
    assert load_weights_by_name(other_column, tmp_path / "c.hdf5").missing == ("Compound",)
    for model in (more_classes, other_column, small_cnn(classes=None)):
        load_weights_by_name(model, tmp_path / "c.hdf5")
        np.testing.assert_array_equal(
            model.get_layer("features").get_weights()[0], source.get_layer("features").get_weights()[0]
        )


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"input_shape": (16, 16, 3)}, "was trained on 2 channels, but the network takes 3"),
        ({"conv_blocks": 3}, "lacks 2 of 8 layers"),
        ({"feature_dim": 9}, "'features' has the shape"),
        ({"input_shape": (32, 32, 2)}, "'features' has the shape"),
    ],
)
def test_another_network_is_refused_and_nothing_changes(tmp_path: Path, changes: dict, what: str) -> None:
    randomised(small_cnn()).save_weights(tmp_path / "c.weights.h5")
    model = small_cnn(**changes)
    before = model.get_weights()
    with pytest.raises(ModelError, match=what) as caught:
        load_weights_by_name(model, tmp_path / "c.weights.h5")
    assert "c.weights.h5" in str(caught.value)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_file_of_a_wholly_other_network_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2, name="else")(inputs)).save_weights(tmp_path / "c.weights.h5")
    with pytest.raises(ModelError, match="lacks 6 of 6 layers"):
        load_weights_by_name(small_cnn(), tmp_path / "c.weights.h5")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = small_cnn()
    weights = model.get_weights()
    weights[-3][0] = np.nan
    model.set_weights(weights)
    model.save_weights(tmp_path / "c.weights.h5")
    with pytest.raises(ModelError, match=r"'features' are not finite|layer 'features'"):
        load_weights_by_name(small_cnn(), tmp_path / "c.weights.h5")


def damaged_files(folder: Path) -> dict[str, Path]:
    whole = folder / "whole.hdf5"
    write_keras2(small_cnn(), whole)
    content = whole.read_bytes()
    files = {name: folder / f"{name}.hdf5" for name in ("cut", "empty", "text", "archive", "lacking")}
    files["cut"].write_bytes(content[: len(content) // 2])
    files["empty"].write_bytes(b"")
    files["text"].write_text("not a checkpoint " * 100)
    with zipfile.ZipFile(files["archive"], "w") as archive:
        archive.writestr("config.json", "{}")
    shutil.copy(whole, files["lacking"])
    with h5py.File(files["lacking"], "a") as file:
        del file["features"]["features_1"]["kernel:0"]
    return files


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "archive", "lacking"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    path = damaged_files(tmp_path)[damage]
    with pytest.raises(ModelError, match="cannot be read") as caught:
        load_weights_by_name(small_cnn(), path)
    assert caught.value.problems[0].where == str(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such weight file"):
        load_weights_by_name(small_cnn(), tmp_path / "checkpoint_0007.hdf5")


@pytest.mark.parametrize("kind", ["link", "raw", "virtual"])
def test_data_outside_the_file_is_not_followed(tmp_path: Path, kind: str) -> None:
    path, secret = tmp_path / "c.hdf5", tmp_path / "secret.h5"
    write_keras2(small_cnn(), path)
    with h5py.File(secret, "w") as file:
        file["kernel"] = np.zeros((3, 3, 2, 8), np.float32)
    (tmp_path / "secret.bin").write_bytes(bytes(3 * 3 * 2 * 8 * 4))
    with h5py.File(path, "a") as file:
        group = file["block1_conv"]["block1_conv_1"]
        del group["kernel:0"]
        if kind == "link":
            group["kernel:0"] = h5py.ExternalLink(str(secret), "kernel")
        elif kind == "raw":
            raw = [(str(tmp_path / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
            group.create_dataset("kernel:0", (3, 3, 2, 8), "float32", external=raw)
        else:
            layout = h5py.VirtualLayout((3, 3, 2, 8), "float32")
            layout[:] = h5py.VirtualSource(str(secret), "kernel", (3, 3, 2, 8))
            group.create_virtual_dataset("kernel:0", layout)
    with pytest.raises(ModelError, match="outside the file"):
        load_weights_by_name(small_cnn(), path)


def test_long_name_lists_in_parts_are_read(tmp_path: Path) -> None:
    source, target = randomised(small_cnn()), small_cnn()
    write_keras2(source, tmp_path / "c.hdf5")
    with h5py.File(tmp_path / "c.hdf5", "a") as file:
        names = list(file.attrs["layer_names"])
        del file.attrs["layer_names"]
        for part, name in enumerate(names):
            file.attrs[f"layer_names{part}"] = [name]
    load_weights_by_name(target, tmp_path / "c.hdf5")
    assert_same_weights(source, target)


def counted_file(path: Path, names: dict[str, str], source: keras.Model) -> None:
    """The weights of a network under other layer names, listed in the order of `names`."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in names.values()]
        for layer, name in names.items():
            group = file.create_group(name)
            weights = source.get_layer(layer).weights
            stored = [f"{name}/{weight.name}:0" for weight in weights]
            group.attrs["weight_names"] = [weight.encode() for weight in stored]
            for key, value in zip(stored, source.get_layer(layer).get_weights(), strict=True):
                group[key] = value


@pytest.mark.parametrize("first", [0, 9])
def test_layers_without_a_name_go_by_their_order(tmp_path: Path, first: int) -> None:
    """The original's `cnn` never names its convolutions, and Keras counts through the whole process."""
    source, target = randomised(small_cnn(conv_blocks=3)), small_cnn(conv_blocks=3)
    names = {"features": "features", "Treatment": "Treatment"}
    for block in (3, 1, 2):
        number = first + block - 1
        ending = f"_{number}" if number else ""
        names |= {f"block{block}_conv": f"conv2d{ending}", f"block{block}_bn": f"batch_normalization{ending}"}
    counted_file(tmp_path / "c.hdf5", names, source)
    assert load_weights_by_name(target, tmp_path / "c.hdf5").missing == ()
    assert_same_weights(source, target)
    with pytest.raises(ModelError, match="lacks 2 of 10 layers"):
        load_weights_by_name(small_cnn(conv_blocks=4), tmp_path / "c.hdf5")


def test_slashes_in_names_are_those_of_keras_2(tmp_path: Path) -> None:
    source, target = randomised(small_cnn()), small_cnn()
    names = {layer.name: layer.name for layer in source.layers if layer.weights}
    counted_file(
        tmp_path / "c.hdf5", {**names, "block1_conv": "block1/conv", "block1_bn": "block1/bn"}, source
    )
    load_weights_by_name(target, tmp_path / "c.hdf5")
    assert_same_weights(source, target)


def test_a_model_inside_the_model_is_taken_apart(tmp_path: Path) -> None:
    """Keras 2 lists the weights of all its layers in one group, the ones that are not trained last."""
    source, target = randomised(small_cnn()), small_cnn()
    with h5py.File(tmp_path / "c.hdf5", "w") as file:
        file.attrs["layer_names"] = [b"crops", b"trunk", b"Treatment"]
        file.create_group("crops").attrs["weight_names"] = []
        inside = [layer for layer in source.layers if layer.weights and layer.name != "Treatment"]
        for group_name, layers in (("trunk", inside), ("Treatment", [source.get_layer("Treatment")])):
            group = file.create_group(group_name)
            pairs = [(f"{layer.name}/{w.name}:0", w) for layer in layers for w in layer.weights]
            pairs.sort(key=lambda pair: not pair[1].trainable)
            group.attrs["weight_names"] = [name.encode() for name, _ in pairs]
            for name, weight in pairs:
                group[name] = keras.ops.convert_to_numpy(weight)
    load_weights_by_name(target, tmp_path / "c.hdf5")
    assert_same_weights(source, target)


def test_what_a_file_has_besides_the_network_is_left_out(tmp_path: Path) -> None:
    source = randomised(small_cnn())
    names = {layer.name: layer.name for layer in source.layers if layer.weights}
    counted_file(tmp_path / "c.hdf5", {**names, "Treatment": "predictions"}, source)
    report = load_weights_by_name(small_cnn(classes=None), tmp_path / "c.hdf5")
    assert (report.skipped, report.missing) == ((), ())
    assert len(report.loaded) == 5


def test_every_head_may_differ(tmp_path: Path) -> None:
    source = randomised(small_cnn(more_heads=(("Dose", 4),)))
    source.save_weights(tmp_path / "c.weights.h5")
    other = small_cnn(classes=5, more_heads=(("Plate", 2),))
    report = load_weights_by_name(other, tmp_path / "c.weights.h5")
    assert (report.skipped, report.missing) == (("Treatment",), ("Plate",))


def test_training_can_start_from_what_matches(tmp_path: Path) -> None:
    source = randomised(small_cnn())
    write_keras2(source, tmp_path / "c.hdf5")
    target = small_cnn(input_shape=(16, 16, 5), classes=4, target="Compound")
    before = {layer.name: layer.get_weights() for layer in target.layers}
    report = load_matching_weights(target, tmp_path / "c.hdf5")
    assert report.loaded == ("block1_bn", "block2_conv", "block2_bn", "features")
    assert (report.skipped, report.missing) == (("block1_conv",), ("Compound",))
    for name, weights in before.items():
        expected = source.get_layer(name).get_weights() if name in report.loaded else weights
        for mine, theirs in zip(target.get_layer(name).get_weights(), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_training_cannot_start_from_another_network(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2, name="else")(inputs)).save_weights(tmp_path / "c.weights.h5")
    with pytest.raises(ModelError, match="no layer in common with the network 'cnn'") as caught:
        load_matching_weights(small_cnn(), tmp_path / "c.weights.h5")
    assert "c.weights.h5" in caught.value.problems[0].where
    diverged = small_cnn()
    diverged.set_weights([np.full(weight.shape, np.nan, np.float32) for weight in diverged.weights])
    diverged.save_weights(tmp_path / "nan.weights.h5")
    with pytest.raises(ModelError, match="not finite"):
        load_matching_weights(small_cnn(), tmp_path / "nan.weights.h5")


def test_training_can_start_from_the_original_with_other_channels_and_classes(golden: Path) -> None:
    target = build_network(NetworkRequest("efficientnet", (32, 32, 3), 7))
    report = load_matching_weights(target, golden / "checkpoint_golden.hdf5")
    assert (report.skipped, report.missing) == (("stem_conv", "ClassProb"), ())
    assert len(report.loaded) == 129


@pytest.fixture(scope="module")
def original(golden: Path) -> keras.Model:
    """EfficientNet-B0 with the weights of the original program's checkpoint."""
    model = build_network(EFFICIENTNET_REQUEST)
    report = load_weights_by_name(model, golden / "checkpoint_golden.hdf5")
    assert len(report.loaded) == 131
    assert report.skipped == report.missing == ()
    return model


def test_the_original_checkpoint_gives_the_original_numbers(golden: Path, original: keras.Model) -> None:
    recorded = np.load(golden / "profile_SYN00001_A02_1.npz")
    layers = ["pool5", "block6a_activation"]
    probe = keras.Model(
        original.input, [*(original.get_layer(name).output for name in layers), original.output]
    )
    pool5, maps, probabilities = probe.predict(recorded["crops"], verbose=0)
    np.testing.assert_allclose(pool5, recorded["pool5"], atol=1e-4)
    np.testing.assert_allclose(maps[0], recorded["block6a_activation_map_cell0"], atol=1e-4)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), recorded["block6a_activation"], atol=1e-4)
    np.testing.assert_allclose(probabilities, recorded["class_prob"], atol=1e-5)


def test_the_original_loss_is_reproduced(golden: Path, original: keras.Model) -> None:
    recorded = np.load(golden / "profile_SYN00001_A02_1.npz")
    assert float(sum(original.losses)) == pytest.approx(float(recorded["eval_l2"]), rel=1e-5)
    assert len(original.losses) == int(recorded["l2_terms"])
    original.compile(loss="sparse_categorical_crossentropy")
    loss = original.evaluate(recorded["crops"], recorded["eval_labels"], batch_size=32, verbose=0)
    assert loss == pytest.approx(float(recorded["eval_loss"]), rel=1e-4)


def test_the_original_checkpoint_serves_other_classes_but_not_other_channels(golden: Path) -> None:
    other = build_network(NetworkRequest("efficientnet", (64, 64, 5), 12))
    report = load_weights_by_name(other, golden / "checkpoint_golden.hdf5")
    assert report.skipped == ("ClassProb",)
    assert len(report.loaded) == 130
    with pytest.raises(ModelError, match="5 channels, but the network takes 3"):
        load_weights_by_name(
            build_network(NetworkRequest("efficientnet", (96, 96, 3), 3)), golden / "checkpoint_golden.hdf5"
        )


def test_an_archive_of_weights_is_read_from_memory(tmp_path: Path) -> None:
    """The `.keras` layout written by hand: a zip whose member is a weight file of Keras 3."""
    source, target = randomised(small_cnn()), small_cnn()
    source.save_weights(tmp_path / "c.weights.h5")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(tmp_path / "c.weights.h5", "model.weights.h5")
    (tmp_path / "m.keras").write_bytes(buffer.getvalue())
    load_weights_by_name(target, tmp_path / "m.keras")
    assert_same_weights(source, target)
