"""Plugin files of a project: what they add, when they are read again, and what a bad one says."""

import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.networks import registry
from dp_assets.networks.plugins import PACKAGE, load_project_plugins, project_plugins

NETWORK = """
import keras
from dp_assets.networks.architecture import Architecture, NetworkRequest

def build(request: NetworkRequest) -> keras.Model:
    crops = keras.Input(request.input_shape)
    features = keras.layers.Dense({width}, name="features")(keras.layers.Flatten()(crops))
    outputs = features
    if request.classes is not None:
        outputs = keras.layers.Dense(request.classes, activation="softmax", name="head")(features)
    return keras.Model(crops, outputs)

LINEAR = Architecture("{name}", build, keras.optimizers.Adam, label_smoothing=False,
                      feature_aliases={{"pool5": "features"}})
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[Path]:
    """An empty folder of plugins; afterwards the process has none."""
    folder = tmp_path / "project" / "plugins"
    folder.mkdir(parents=True)
    yield folder
    load_project_plugins(tmp_path / "nowhere")
    assert not project_plugins().networks


def write_network(folder: Path, *, name: str = "Linear", width: int = 4, file: str = "linear.py") -> None:
    (folder / file).write_text(NETWORK.format(name=name, width=width))


def features_of(name: str) -> int:
    return registry.build_network(registry.NetworkRequest(name, (4, 4, 2), None)).output_shape[-1]


def test_a_network_in_a_file_is_listed_built_and_trained(plugins: Path) -> None:
    write_network(plugins)
    loaded = load_project_plugins(plugins)
    assert list(loaded.networks) == ["linear"]
    assert "linear" in registry.available_networks()
    assert registry.feature_layer_name("LINEAR", "pool5") == "features"
    assert not registry.uses_label_smoothing("linear")
    model = registry.build_network(registry.NetworkRequest("Linear", (4, 4, 2), 3))
    model.compile(registry.optimizer_for("linear", 0.1), "categorical_crossentropy")
    crops, labels = np.random.default_rng(0).random((3, 4, 4, 2)), np.eye(3)
    losses = [model.train_on_batch(crops, labels) for _ in range(20)]
    assert losses[-1] < losses[0]


def test_files_are_read_again_only_when_they_change(plugins: Path) -> None:
    write_network(plugins, width=4)
    first = load_project_plugins(plugins)
    assert load_project_plugins(plugins) is first
    assert features_of("linear") == 4
    write_network(plugins, width=5)  # the same length, within the same second
    assert load_project_plugins(plugins) is not first
    assert features_of("linear") == 5
    (plugins / "linear.py").unlink()
    load_project_plugins(plugins)
    assert "linear" not in registry.available_networks()


def test_two_projects_do_not_see_each_other(plugins: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "plugins"
    other.mkdir(parents=True)
    write_network(plugins, name="mine")
    (plugins / "layer.py").write_text(
        "import keras\n\n@keras.saving.register_keras_serializable('mine')\nclass Own(keras.Layer):\n  pass\n"
    )
    write_network(other, name="theirs", width=9)
    load_project_plugins(plugins)
    assert keras.saving.get_registered_object("mine>Own") is not None
    load_project_plugins(other)
    assert keras.saving.get_registered_object("mine>Own") is None
    assert {"mine", "theirs"} & set(registry.available_networks()) == {"theirs"}
    assert f"{PACKAGE}.layer" not in sys.modules
    load_project_plugins(plugins)
    assert {"mine", "theirs"} & set(registry.available_networks()) == {"mine"}
    assert keras.saving.get_registered_object("mine>Own") is not None


def test_files_may_share_code_and_hold_other_plugins(plugins: Path) -> None:
    (plugins / "_shared.py").write_text("WIDTH = 6\n")
    write_network(plugins)
    text = (plugins / "linear.py").read_text().replace("Dense(4,", "Dense(WIDTH,")
    (plugins / "linear.py").write_text("from ._shared import WIDTH\n" + text)
    (plugins / "my-metrics.py").write_text(
        "import keras\nfrom .linear import LINEAR\n"
        "METRICS = {'mse': lambda classes: keras.metrics.MeanSquaredError()}\n"
    )
    loaded = load_project_plugins(plugins)
    assert features_of("linear") == 6
    assert [Path(str(module.__file__)).name for module in loaded.modules] == ["linear.py", "my-metrics.py"]
    assert list(loaded.modules[1].METRICS) == ["mse"]
    assert not list(plugins.rglob("linear*.pyc"))


def test_a_network_derived_from_one_of_ours_may_import_it(plugins: Path) -> None:
    (plugins / "derived.py").write_text(
        "from dataclasses import replace\nfrom dp_assets.networks.cnn import CNN\n"
        "PLAIN = replace(CNN, name='plain_cnn', always_augments=False)\n"
    )
    load_project_plugins(plugins)
    assert registry.always_augments("cnn")
    assert not registry.always_augments("plain_cnn")


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("x = 1\nimport not_there_at_all\n", "No module named 'not_there_at_all'", 2),
        ("x = 1\n\ndef broken(:\n", "SyntaxError", 3),
        ("def fails():\n    raise RuntimeError('no such thing')\n\nfails()\n", "no such thing", 2),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_its_line(
    plugins: Path, text: str, what: str, line: int
) -> None:
    write_network(plugins)
    load_project_plugins(plugins)
    (plugins / "bad.py").write_text(text)
    for _ in range(2):  # and is tried again
        with pytest.raises(ModelError, match=what) as caught:
            load_project_plugins(plugins)
        assert caught.value.problems[0].where == f"{plugins / 'bad.py'}, line {line}"
    (plugins / "bad.py").unlink()
    assert list(load_project_plugins(plugins).networks) == ["linear"]


def test_a_name_that_is_taken_is_refused(plugins: Path) -> None:
    write_network(plugins, name="ResNet")
    load_project_plugins(plugins)
    with pytest.raises(ModelError, match="'resnet' is taken") as caught:
        registry.available_networks()
    assert str(plugins / "linear.py") in str(caught.value)
    write_network(plugins, name="twin")
    write_network(plugins, name="Twin", file="second.py")
    with pytest.raises(ModelError, match="two plugins define a network named 'twin'") as caught:
        load_project_plugins(plugins)
    assert "second.py" in str(caught.value)


def test_an_unknown_network_is_refused_with_the_plugins_listed(plugins: Path) -> None:
    write_network(plugins, name="zebra")
    load_project_plugins(plugins)
    with pytest.raises(ModelError, match="vgg") as caught:
        registry.build_network(registry.NetworkRequest("vgg", (64, 64, 3), 2))
    assert "resnet, zebra" in str(caught.value)


def test_a_project_without_plugins_has_none(tmp_path: Path) -> None:
    loaded = load_project_plugins(tmp_path / "plugins")
    assert not loaded.networks
    assert not loaded.modules
