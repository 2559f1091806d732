"""The registry: what can be built, how it is trained, and plugins."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import keras
import numpy as np
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.config.network import BUILT_IN_NETWORKS, NETWORKS_WITHOUT_CLASSES
from dp_assets.networks import registry
from dp_assets.networks.architecture import Architecture, NetworkRequest, layer_seed, legal_layer_name


def test_an_unknown_network_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(ModelError, match="vgg") as caught:
        registry.build_network(NetworkRequest("vgg", (64, 64, 3), 2))
    assert "autoencoder, cnn, densenet, efficientnet, inception_resnet_v2, resnet" in str(caught.value)


def test_names_are_taken_in_any_case() -> None:
    model = registry.build_network(NetworkRequest("CNN", (16, 16, 2), 3, conv_blocks=1))
    assert model.output_shape == (None, 3)


def test_training_rules_of_the_handbook() -> None:
    sgd = registry.optimizer_for("efficientnet", 0.01)
    assert isinstance(sgd, keras.optimizers.SGD)
    assert sgd.momentum == 0.9
    assert sgd.nesterov
    assert float(sgd.learning_rate) == pytest.approx(0.01)
    assert isinstance(registry.optimizer_for("cnn", 0.01), keras.optimizers.Adam)
    assert registry.uses_label_smoothing("efficientnet")
    assert not registry.uses_label_smoothing("cnn")
    assert registry.always_augments("cnn")
    assert not registry.always_augments("efficientnet")
    for name in ("resnet", "densenet"):
        assert isinstance(registry.optimizer_for(name, 0.01), keras.optimizers.SGD)
        assert registry.uses_label_smoothing(name)
    for name in ("InceptionResNetV2", "autoencoder"):
        assert isinstance(registry.optimizer_for(name, 0.01), keras.optimizers.Adam)
        assert not registry.uses_label_smoothing(name)
    assert [name for name in registry.available_networks() if registry.reconstructs(name)] == ["autoencoder"]


def test_what_is_known_of_networks_without_keras_agrees() -> None:
    known = {name for name in BUILT_IN_NETWORKS if registry.reconstructs(name)}
    assert known == NETWORKS_WITHOUT_CLASSES


@pytest.mark.parametrize(
    ("network", "asked", "layer"),
    [
        ("EfficientNet", "avg_pool", "pool5"),
        ("resnet", "avg_pool", "pool5"),
        ("densenet", "global_avg_pool", "pool5"),
        ("inceptionresnetv2", "global_avg_pool", "avg_pool"),
        ("inception_resnet_v2", "pool5", "avg_pool"),
        ("autoencoder", "encoded", "features"),
        ("efficientnet", "block6a_activation", "block6a_activation"),
    ],
)
def test_layers_are_known_by_the_names_of_published_configurations(
    network: str, asked: str, layer: str
) -> None:
    assert registry.feature_layer_name(network, asked) == layer


def test_equal_requests_build_equal_weights_and_other_seeds_others() -> None:
    request = NetworkRequest("cnn", (16, 16, 2), 3, conv_blocks=2)
    first, second, other = (
        registry.build_network(NetworkRequest(**{**request.__dict__, "seed": seed})).get_weights()
        for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])


def _linear(request: NetworkRequest) -> keras.Model:
    inputs = keras.Input(request.input_shape)
    return keras.Model(inputs, keras.layers.Dense(request.classes)(keras.layers.Flatten()(inputs)))


LINEAR = Architecture("Linear", _linear, keras.optimizers.SGD)
TWIN = Architecture("CNN", _linear, keras.optimizers.SGD)


@pytest.fixture
def plugin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Installs a plugin whose entry point names an object of this file."""
    entry = EntryPoint("plugin", f"{__name__}:{request.param}", registry.PLUGIN_GROUP)
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [entry] if group == registry.PLUGIN_GROUP else []
    )
    registry._architectures.cache_clear()
    yield
    registry._architectures.cache_clear()


@pytest.mark.parametrize("plugin", ["LINEAR"], indirect=True)
def test_a_plugin_is_listed_and_built(plugin: None) -> None:
    assert "linear" in registry.available_networks()
    model = registry.build_network(NetworkRequest("linear", (4, 4, 2), 3))
    assert model.count_params() == 4 * 4 * 2 * 3 + 3


@pytest.mark.parametrize(
    ("plugin", "what"),
    [("TWIN", "is taken"), ("not_there", "cannot be imported"), ("np", "expected a dp_assets")],
    indirect=["plugin"],
)
def test_a_bad_plugin_is_named(plugin: None, what: str) -> None:
    with pytest.raises(ModelError, match=what) as caught:
        registry.available_networks()
    assert __name__ in str(caught.value)


@pytest.mark.parametrize(
    ("column", "name"),
    [("Treatment", "Treatment"), ("Metadata/Compound name", "Metadata_Compound_name"), ("2nd", "target_2nd")],
)
def test_a_column_becomes_a_layer_name(column: str, name: str) -> None:
    assert legal_layer_name(column) == name
    assert legal_layer_name(column, frozenset({name})) == f"{name}_head"
    keras.layers.Dense(1, name=legal_layer_name(column))


def test_layers_have_seeds_of_their_own() -> None:
    seeds = {layer_seed(seed, layer) for seed in range(20) for layer in ("a", "b", "c")}
    assert len(seeds) == 60
