"""Feature extraction: layers, pooling, padding, independence of cells, and the recorded features."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

from dp_assets.config.errors import ModelError
from dp_assets.networks.checkpoints import load_weights_by_name
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets.profiling.extraction import FeatureExtractor
from dp_assets.profiling.network_input import resized_crops

SIDE = 16


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """A small network with random weights and statistics, so that no layer is trivial."""
    model = build_network(NetworkRequest("cnn", (SIDE, SIDE, 2), 3, conv_blocks=2, feature_dim=7))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 0.4, weight.shape).astype(np.float32) for weight in model.weights])
    return model


def crops_of(cells: int) -> np.ndarray:
    return np.random.default_rng(cells).random((cells, SIDE, SIDE, 2), np.float32)


def layer_output(model: keras.Model, layer: str, crops: np.ndarray) -> np.ndarray:
    return keras.Model(model.input, model.get_layer(layer).output).predict(crops, verbose=0)


@pytest.mark.parametrize("cells", [1, 4, 5, 11])
def test_features_are_the_layer_output_whatever_the_number_of_cells(network: keras.Model, cells: int) -> None:
    extract = FeatureExtractor(network, "features", batch_size=4)
    crops = crops_of(cells)
    features = extract(crops)
    assert features.dtype == np.float32
    assert extract.dimension == 7
    np.testing.assert_allclose(features, layer_output(network, "features", crops), rtol=1e-5)


def test_spatial_axes_are_averaged(network: keras.Model) -> None:
    crops = crops_of(3)
    extract = FeatureExtractor(network, "block2_activation", batch_size=2)
    maps = layer_output(network, "block2_activation", crops)
    assert maps.ndim == 4
    np.testing.assert_allclose(extract(crops), maps.mean(axis=(1, 2)), rtol=1e-5)


def test_a_cell_does_not_depend_on_its_neighbours(network: keras.Model) -> None:
    extract = FeatureExtractor(network, "features", batch_size=4)
    crops = crops_of(9)
    together = extract(crops)
    alone = np.concatenate([extract(crop[None]) for crop in crops])
    for features in (extract(crops[::-1])[::-1], alone):
        np.testing.assert_allclose(features, together, rtol=1e-6)
    crops[1:] = np.nan
    np.testing.assert_array_equal(extract(crops)[0], together[0])


def test_no_cells_give_no_features(network: keras.Model) -> None:
    assert FeatureExtractor(network, "features", batch_size=4)(crops_of(0)).shape == (0, 7)


def test_one_function_is_compiled_for_all_batches(network: keras.Model) -> None:
    extract = FeatureExtractor(network, "features", batch_size=4)
    if keras.backend.backend() != "tensorflow":
        pytest.skip("counts the traces of TensorFlow")
    for cells in (1, 4, 7):
        extract(crops_of(cells))
    assert extract._network.predict_function.experimental_get_tracing_count() == 1


def test_features_of_a_half_precision_network_are_float32() -> None:
    model = build_network(
        NetworkRequest("cnn", (SIDE, SIDE, 2), 3, conv_blocks=1, dtype_policy="mixed_bfloat16")
    )
    crops = crops_of(2)
    features = FeatureExtractor(model, "block1_activation", batch_size=2)(crops)
    maps = np.asarray(layer_output(model, "block1_activation", crops), np.float64)
    np.testing.assert_allclose(
        features, maps.mean(axis=(1, 2)), rtol=1e-4
    )  # bfloat16 means would be off by 4e-3
    assert features.dtype == np.float32


@pytest.mark.parametrize("box", [SIDE, 11, 24])
def test_crops_of_another_size_are_resized_when_that_is_wanted(network: keras.Model, box: int) -> None:
    crops = np.random.default_rng(5).random((5, box, box, 2), np.float32)
    extract = FeatureExtractor(network, "features", batch_size=2, crop_size=box)
    taken = crops if box == SIDE else np.asarray(resized_crops(box, SIDE, 2)(crops))
    np.testing.assert_allclose(extract(crops), layer_output(network, "features", taken), rtol=1e-4)
    with pytest.raises(ModelError, match="crops"):
        extract(np.zeros((1, box + 1, box + 1, 2), np.float32))


def test_class_probabilities_of_every_head_are_features_too() -> None:
    model = build_network(
        NetworkRequest("cnn", (SIDE, SIDE, 2), 3, conv_blocks=1, target="Dose", more_heads=(("Plate", 2),))
    )
    crops = crops_of(5)
    for head, expected in zip(("Dose", "Plate"), model.predict(crops, verbose=0), strict=True):
        found = FeatureExtractor(model, head, batch_size=2)(crops)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_an_unknown_layer_is_answered_with_the_nearest(network: keras.Model) -> None:
    with pytest.raises(ModelError, match="feature_layer") as caught:
        FeatureExtractor(network, "feature", batch_size=4)
    assert "features" in caught.value.problems[0].remedy


def test_bad_sizes_are_refused(network: keras.Model) -> None:
    with pytest.raises(ModelError, match="batch_size is 0"):
        FeatureExtractor(network, "features", batch_size=0)
    with pytest.raises(ModelError, match=r"\(16, 16, 3\); the network takes \(16, 16, 2\)"):
        FeatureExtractor(network, "features", batch_size=4)(np.zeros((1, SIDE, SIDE, 3), np.float32))


@pytest.mark.parametrize("layer", ["pool5", "block6a_activation"])
def test_recorded_features_are_reproduced(golden: Path, layer: str) -> None:
    """The features that the original program saved, from the crops it had made, with its checkpoint."""
    recorded = np.load(golden / "profile_SYN00001_A02_1.npz")
    model = build_network(NetworkRequest("efficientnet", (96, 96, 5), 3))
    load_weights_by_name(model, golden / "checkpoint_golden.hdf5")
    features = FeatureExtractor(model, layer, batch_size=16)(recorded["crops"])
    np.testing.assert_allclose(features, recorded[layer], atol=1e-4)
    saved = np.load(golden / "features" / ("pool5.npz" if layer == "pool5" else "block6a_activation.npz"))
    np.testing.assert_allclose(features, saved["SYN00001_A02_1"], atol=1e-4)


class SmallDevice:
    """In place of a compiled network: full above so many crops, or when two batches are in it at once."""

    def __init__(self, network: keras.Model, room: int, batches: int) -> None:
        self._network, self._room, self._batches = network, room, batches
        self._lock, self._inside = threading.Lock(), 0
        self.sizes: list[int] = []

    def predict_on_batch(self, crops: np.ndarray) -> np.ndarray:
        with self._lock:
            self._inside += 1
            is_full = len(crops) > self._room or self._inside > self._batches
        try:
            if is_full:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12345 bytes.")
            time.sleep(0.02)
            with self._lock:
                self.sizes.append(len(crops))
                return np.asarray(self._network.predict_on_batch(crops))
        finally:
            with self._lock:
                self._inside -= 1


def test_what_a_device_does_not_hold_goes_in_smaller_batches(
    network: keras.Model, caplog: pytest.LogCaptureFixture
) -> None:
    extract, crops = FeatureExtractor(network, "features", batch_size=8), crops_of(19)
    expected = extract(crops)
    extract._network = device = SmallDevice(extract._network, room=2, batches=1)
    np.testing.assert_allclose(extract(crops), expected, rtol=1e-5)
    assert set(device.sizes) == {2}
    assert len(device.sizes) == 10
    assert ("one at a time" in caplog.text) == (extract.calls_at_once > 1)
    assert "4 crops at once do not fit" in caplog.text
    extract._network = SmallDevice(extract._network, room=0, batches=1)
    with pytest.raises(ModelError, match="memory does not hold"):
        extract(crops)


def test_two_batches_that_do_not_fit_together_go_one_after_the_other(network: keras.Model) -> None:
    extract, crops = FeatureExtractor(network, "features", batch_size=4), crops_of(4)
    expected = extract(crops)
    if extract.calls_at_once < 2:
        pytest.skip("this backend takes one batch at a time")
    extract._network = device = SmallDevice(extract._network, room=4, batches=1)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: extract(crops), range(8)))
    for features in found:
        np.testing.assert_array_equal(features, expected)
    assert set(device.sizes) == {4}


def test_other_errors_of_a_network_are_raised(network: keras.Model) -> None:
    class Broken:
        def predict_on_batch(self, crops: np.ndarray) -> np.ndarray:
            raise RuntimeError(f"no {len(crops)} crops today")

    extract = FeatureExtractor(network, "features", batch_size=4)
    extract._network = Broken()
    with pytest.raises(RuntimeError, match="no 4 crops today"):
        extract(crops_of(4))
