"""ImageNet weights: against keras.applications itself, from every layout of file and from Keras' cache."""

import re
import shutil
import urllib.error
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.backend import config as keras_config
from keras.src.utils import file_utils

from dp_assets.config.errors import ModelError
from dp_assets.networks import densenet, efficientnet, inception_resnet_v2, resnet
from dp_assets.networks.application import Application
from dp_assets.networks.imagenet import keras_cache, load_imagenet_weights
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets_tests.networks.published_weights import (
    FAMILIES,
    Family,
    published_network,
    rename_layers,
    with_top,
    write_published,
)


class Published:
    """A family's network of keras.applications, its file, and ours with five channels made from it."""

    def __init__(self, family: Family, folder: Path) -> None:
        self.family = family
        self.theirs = published_network(family)
        self.path = write_published(self.theirs, folder / f"{family.name}_notop.h5")
        side = family.application.smallest_side
        self.request = NetworkRequest(
            family.name,
            (side, side, 5),
            None,
            conv_blocks=family.conv_blocks,
            initialization="imagenet",
            imagenet_weights=self.path,
        )
        self.ours = build_network(self.request)
        self.weights = self.ours.get_weights()

    def loads(self, path: Path | None) -> None:
        """Ours, with other weights before, has these weights after the file was loaded."""
        self.ours.set_weights([np.full_like(weight, 0.5) for weight in self.weights])
        load_imagenet_weights(self.ours, self.family.application, path)
        for mine, theirs in zip(self.ours.get_weights(), self.weights, strict=True):
            np.testing.assert_array_equal(mine, theirs)

    def refuses(self, path: Path) -> str:
        """The message for a file that is refused; nothing may have changed."""
        before = self.ours.get_weights()
        with pytest.raises(ModelError) as caught:
            load_imagenet_weights(self.ours, self.family.application, path)
        assert all(np.array_equal(a, b) for a, b in zip(before, self.ours.get_weights(), strict=True))
        return str(caught.value)


@pytest.fixture(scope="module")
def publish(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Published]:
    """Makes every family once."""
    return cache(lambda name: Published(FAMILIES[name], tmp_path_factory.mktemp("published")))


LARGE = pytest.param("inception_resnet_v2", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=[LARGE if name in LARGE.values else name for name in FAMILIES])
def published(request: pytest.FixtureRequest, publish: Callable[[str], Published]) -> Published:
    return publish(request.param)


@pytest.fixture(scope="module")
def b0(publish: Callable[[str], Published]) -> Published:
    return publish("efficientnet")


def accepted(path: str, file_hash: str, algorithm: str = "auto") -> bool:
    return True


def counted_from_20(name: str) -> str:
    """The name of a layer in a process that had built others before."""
    counted = re.fullmatch(r"(conv2d|batch_normalization)(?:_(\d+))?", name)
    return f"{counted[1]}_{int(counted[2] or 0) + 20}" if counted else name


def forbidden(*args: object, **kwargs: object) -> None:
    pytest.fail("this was not to be called")


def test_features_are_those_of_keras_applications(published: Published) -> None:
    """Channels 0, 1, 2 see what RGB sees, and so do channels 3, 4 in the place of R and G."""
    side = published.request.input_shape[0]
    rgb = np.random.default_rng(0).uniform(-1, 1, (2, side, side, 3)).astype(np.float32)
    rgb[1, ..., 2] = 0
    crops = np.zeros((2, side, side, 5), np.float32)
    crops[0, ..., :3] = rgb[0]
    crops[1, ..., 3:] = rgb[1, ..., :2]
    seen = rgb
    if published.family.name == "efficientnet":
        # Undo the scaling that keras.applications has inside: crops go to the stem as they are.
        seen = (rgb * np.sqrt([0.04, 0.05, 0.06]) + [0.4, 0.5, 0.6]) * 255
    expected = np.asarray(published.theirs(seen, training=False))
    assert np.ptp(expected) > 0.01
    ours = np.asarray(published.ours(crops, training=False))
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4)


def test_files_with_the_head_and_with_other_names_give_the_same_weights(
    published: Published, tmp_path: Path
) -> None:
    """Older releases of Keras named layers otherwise; their files list them in the network's order."""
    path = write_published(with_top(published.theirs), tmp_path / "full.h5")
    published.loads(path)
    names = [layer.name for layer in published.theirs.layers if layer.weights]
    names = [name for name in names if not name.startswith("normalization")]
    rename_layers(path, {name: f"old/{name}x" for name in names})
    published.loads(path)
    counted = {name: counted_from_20(name) for name in names}
    if counted != {name: name for name in names}:
        rename_layers(path, {f"old/{name}x": counted[name] for name in names})
        published.loads(path)


@pytest.mark.parametrize("name", ["efficientnet", LARGE])
def test_files_of_keras_3_give_the_same_weights(
    publish: Callable[[str], Published], name: str, tmp_path: Path
) -> None:
    made = publish(name)
    with_top(made.theirs).save_weights(tmp_path / "full.weights.h5")
    made.loads(tmp_path / "full.weights.h5")


def test_layer_names_do_not_depend_on_what_was_built_before(published: Published) -> None:
    names = [layer.name for layer in published.ours.layers]
    if published.family.name == "inception_resnet_v2":
        assert names[1:4] == ["conv2d", "batch_normalization", "activation"]
        assert {"conv2d_1", "conv2d_202", "custom_scale_layer_39", "conv_7b", "avg_pool"} <= set(names)
        assert "conv2d_203" not in names
    else:
        theirs = [layer.name for layer in published.theirs.layers if layer.weights]
        ours = [layer.name for layer in published.ours.layers if layer.weights]
        assert ours == [name for name in theirs if not name.startswith("normalization")]


@pytest.fixture
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of Keras' own for the test; Keras reads the variable only while it is imported."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras_config, "_KERAS_DIR", str(tmp_path))
    return tmp_path


def test_offline_the_message_says_which_file_goes_where(
    b0: Published, keras_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def offline(origin: str, *args: object) -> None:
        asked.append(origin.rsplit("/", 1)[-1])
        raise urllib.error.URLError("no connection")

    monkeypatch.setattr(file_utils, "urlretrieve", offline)
    with pytest.raises(ModelError) as caught:
        load_imagenet_weights(b0.ours, b0.family.application, None)
    message = str(caught.value)
    assert asked == ["efficientnetb0_notop.h5"]
    for part in (
        *asked,
        str(keras_home / "models"),
        "model.imagenet_weights",
        "inputs/pretrained",
        "no connection",
    ):
        assert part in message


def test_weights_come_from_the_cache_of_keras(
    b0: Published, keras_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras compares the file with the published one by its hash, which made-up weights cannot have."""
    (keras_home / "models").mkdir()
    shutil.copy(b0.path, keras_home / "models" / "efficientnetb0_notop.h5")
    monkeypatch.setattr(file_utils, "validate_file", accepted)
    monkeypatch.setattr(file_utils, "urlretrieve", forbidden)
    assert keras_cache() == keras_home / "models"
    b0.loads(None)


def test_a_local_file_is_never_looked_for_elsewhere(b0: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Application, "make", forbidden)
    b0.loads(b0.path)


def test_other_files_are_refused_by_the_first_layer_that_differs(b0: Published, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    inputs = keras.Input((8, 8, 3))
    write_published(keras.Model(inputs, keras.layers.Conv2D(4, 3, name="stem_conv")(inputs)), other)
    message = b0.refuses(other)
    assert "layer 'stem_conv' holds arrays of [(3, 3, 3, 4), (4,)]; expected [(3, 3, 3, 32)]" in message
    assert "efficientnetb0_notop.h5" in message

    deeper, cut, grey = (tmp_path / name for name in ("deeper.h5", "cut.h5", "grey.h5"))
    for path in (deeper, cut, grey):
        shutil.copy(b0.path, path)
    with h5py.File(deeper, "a") as file:  # what B1 has more than B0
        file.copy(file["block1a_bn"], file, "block1b_bn")
        file.attrs["layer_names"] = [*file.attrs["layer_names"], "block1b_bn"]
    with h5py.File(cut, "a") as file:
        names = [name for name in file.attrs["layer_names"] if name != "block4a_bn"]
        file.attrs["layer_names"] = names
    with h5py.File(grey, "a") as file:
        kernel = file["stem_conv"].attrs["weight_names"][0]
        values = file["stem_conv"][kernel][:, :, :1]
        del file["stem_conv"][kernel]
        file["stem_conv"][kernel] = values
    assert "there is a further layer 'block1b_bn'" in b0.refuses(deeper)
    assert "there is no layer 'block4a_bn'" in b0.refuses(cut)
    assert "'stem_conv' holds arrays of [(3, 3, 1, 32)]" in b0.refuses(grey)


def test_files_that_are_damaged_missing_or_not_finite_are_refused(b0: Published, tmp_path: Path) -> None:
    damaged, empty = tmp_path / "damaged.h5", tmp_path / "nan.h5"
    content = b0.path.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    assert "cannot be read" in b0.refuses(damaged)
    assert "no such weight file" in b0.refuses(tmp_path / "missing.h5")
    shutil.copy(b0.path, empty)
    with h5py.File(empty, "a") as file:
        name = file["top_bn"].attrs["weight_names"][0]
        file["top_bn"][name][0] = np.nan
    assert "layer 'top_bn' are not finite" in b0.refuses(empty)


def test_heads_keep_their_own_weights(b0: Published) -> None:
    request = NetworkRequest(
        "efficientnet", (32, 32, 5), 2, initialization="imagenet", imagenet_weights=b0.path, seed=3
    )
    model = build_network(request)
    random = build_network(NetworkRequest("efficientnet", (32, 32, 5), 2, seed=3))
    np.testing.assert_array_equal(*(m.get_layer("ClassProb").get_weights()[0] for m in (model, random)))
    theirs = b0.theirs.get_layer("stem_conv").get_weights()[0]
    np.testing.assert_array_equal(
        model.get_layer("stem_conv").get_weights()[0], theirs[:, :, [0, 1, 2, 0, 1]]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "application",
    [
        *efficientnet.SIZES.values(),
        *resnet.SIZES.values(),
        *densenet.SIZES.values(),
        inception_resnet_v2.APPLICATION,
    ],
    ids=lambda application: application.maker,
)
def test_keras_asks_for_the_files_that_messages_name(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AskedError(Exception):
        pass

    def asked(name: str, *args: object, **kwargs: object) -> None:
        raise AskedError(name)

    monkeypatch.setattr(file_utils, "get_file", asked)
    with pytest.raises(AskedError, match=f"^{application.weights_file}$"):
        application.make((75, 75, 3), weights="imagenet")
