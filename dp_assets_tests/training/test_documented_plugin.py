"""The plugin of docs/configuration.md: a network, a feed and a metric that work as printed."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from dp_assets.networks.plugins import ProjectPlugins, load_project_plugins
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets.training.plugin_tables import feed_plugins, metric_plugins
from dp_assets_tests.conftest import REPOSITORY


@pytest.fixture
def plugins(tmp_path: Path) -> ProjectPlugins:
    page = (REPOSITORY / "docs/configuration.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n# plugins/small_net\.py\n(.*?)```", page, flags=re.DOTALL)
    assert code is not None
    (tmp_path / "small_net.py").write_text(code[1], encoding="utf-8")
    return load_project_plugins(tmp_path)


def test_the_network_is_built_by_its_name(plugins: ProjectPlugins) -> None:
    assert set(plugins.networks) == {"small_net"}
    request = NetworkRequest("Small_Net", (16, 16, 2), 3, conv_blocks=2, more_heads=(("Dose", 4),))
    treatment, dose = build_network(request).predict(np.ones((2, 16, 16, 2), np.float32), verbose=0)
    assert (treatment.shape, dose.shape) == ((2, 3), (2, 4))
    np.testing.assert_allclose(dose.sum(axis=1), 1, rtol=1e-5)


def test_the_feed_and_the_metric_are_found(plugins: ProjectPlugins) -> None:
    crops = np.zeros((4, 8, 8, 2), np.float32)
    feed = feed_plugins(plugins)["with_noise"]
    changed = feed(crops, np.zeros(4, np.int64), np.random.default_rng(0))
    assert changed.dtype == np.float32
    assert 0.01 < changed.std() < 0.03
    metric = metric_plugins(plugins)["f1"](3)
    assert isinstance(metric, keras.metrics.F1Score)
