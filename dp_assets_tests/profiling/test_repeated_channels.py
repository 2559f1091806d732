"""Every channel on its own through a network of colour images."""

import keras
import numpy as np
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets.profiling.extraction import FeatureExtractor
from dp_assets.profiling.network_input import grey_images
from dp_assets.profiling.repeated_channels import RepeatedChannelExtractor

INPUT, BOX = 16, 12


@pytest.fixture(scope="module")
def network() -> keras.Model:
    model = build_network(NetworkRequest("cnn", (INPUT, INPUT, 3), 3, conv_blocks=1, feature_dim=4))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 0.4, weight.shape).astype(np.float32) for weight in model.weights])
    return model


def crops_of(cells: int, channels: int = 5) -> np.ndarray:
    return np.random.default_rng(cells).random((cells, BOX, BOX, channels), np.float32)


def test_no_cells_give_no_features(network: keras.Model) -> None:
    assert RepeatedChannelExtractor(network, "features", 3, BOX, 5)(crops_of(0)).shape == (0, 20)


@pytest.mark.parametrize("cells", [1, 3, 7])
def test_features_of_all_channels_lie_side_by_side(network: keras.Model, cells: int) -> None:
    extract = RepeatedChannelExtractor(network, "features", 3, BOX, 5)
    crops = crops_of(cells)
    found = extract(crops)
    assert extract.dimension == 20
    assert found.shape == (cells, 20)
    assert found.dtype == np.float32
    bare = FeatureExtractor(network, "features", 3)
    for channel in range(5):
        images = np.asarray(grey_images(BOX, INPUT)(crops[..., channel : channel + 1]))
        np.testing.assert_allclose(found[:, 4 * channel : 4 * channel + 4], bare(images), rtol=1e-4)


def test_a_dead_channel_has_features_and_disturbs_no_other(network: keras.Model) -> None:
    extract = RepeatedChannelExtractor(network, "features", 3, BOX, 5)
    crops = crops_of(4)
    alive = extract(crops)
    crops[2, ..., 1] = 0.5
    found = extract(crops)
    assert np.isfinite(found).all()
    zeros = FeatureExtractor(network, "features", 3)(np.zeros((1, INPUT, INPUT, 3), np.float32))
    np.testing.assert_allclose(found[2, 4:8], zeros[0], rtol=1e-5)
    alive[2, 4:8] = found[2, 4:8]
    np.testing.assert_array_equal(found, alive)


def test_brightness_makes_no_difference(network: keras.Model) -> None:
    extract = RepeatedChannelExtractor(network, "features", 3, BOX, 5)
    crops = crops_of(3)
    np.testing.assert_allclose(extract(crops * 4 + 2), extract(crops), rtol=1e-4, atol=1e-5)


def test_a_network_of_other_channels_is_refused() -> None:
    network = build_network(NetworkRequest("cnn", (INPUT, INPUT, 5), 3, conv_blocks=1, feature_dim=4))
    with pytest.raises(ModelError, match=r"takes images .* \(16, 16, 5\).* gives \(16, 16, 3\)") as caught:
        RepeatedChannelExtractor(network, "features", 3, BOX, 5)
    assert caught.value.problems[0].where == "train.model.crop_generator"


def test_crops_of_other_channels_are_refused(network: keras.Model) -> None:
    extract = RepeatedChannelExtractor(network, "features", 3, BOX, 5)
    with pytest.raises(ValueError, match="5 channels"):
        extract(crops_of(2, channels=4))
    with pytest.raises(ModelError, match="crops"):
        extract(np.zeros((1, BOX + 1, BOX + 1, 5), np.float32))
