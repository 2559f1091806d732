"""The benchmarks of docs/compression.md: they run, refuse lossy codecs, and describe valid experiments."""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from dp_assets.config.project import load_project
from dp_assets_tests.conftest import REPOSITORY
from dp_assets_tests.orchestration.materializing import Workshop


def benchmark(name: str) -> ModuleType:
    """A script of the folder benchmarks, as a module."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_codecs_are_measured_and_compared_pixel_for_pixel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    codecs = benchmark("image_codecs")
    rng = np.random.default_rng(3)
    fields = [[rng.poisson(20, (60, 70)).astype(dtype) for _ in range(2)] for _ in range(3)]
    found = [codecs.measure("made", fields, name, tmp_path) for name in codecs.VARIANTS]
    assert {(one.fields, one.planes, one.bits) for one in found} == {(3, 6, np.dtype(dtype).itemsize * 8)}
    assert len({one.checksum for one in found}) == 1
    assert all(0.1 < one.size < 1 for one in found)
    assert len(codecs.table(found).splitlines()) == 2 + len(codecs.VARIANTS)

    def lossy(plane: np.ndarray) -> bytes:
        return codecs.encode(plane // 2 * 2)

    monkeypatch.setitem(codecs.VARIANTS, "lossy", lossy)
    with pytest.raises(ValueError, match="lossy to lose nothing"):
        codecs.measure("made", fields, "lossy", tmp_path)


def test_every_choice_is_an_experiment_that_can_run(tiny: Workshop, tmp_path: Path) -> None:
    accuracy = benchmark("compression_accuracy")
    base = json.loads((tiny.root / "inputs" / "config" / "cnn.json").read_text(encoding="utf-8"))
    options = argparse.Namespace(epochs=2, seeds=[0, 5], box_size=32)
    stored = set()
    for number, name in enumerate(accuracy.CHOICES):
        root = tmp_path / f"choice{number}"
        assert accuracy.prepare_project(tiny.root, root, base, name, options) == ["seed0", "seed5"]
        experiments = load_project(root, strict=True).experiments
        assert [one.training().network.seed for one in experiments.values()] == [0, 5]
        for one in experiments.values():
            crops, compression = one.crops(), one.preparation().compression
            assert one.has_profile
            assert compression is not None
            assert (crops.compression is None) == (not compression.implement)
            stored.add(
                (
                    compression.implement,
                    compression.stretch,
                    compression.scaling_factor,
                    crops.single_cells.normalization,
                )
            )
    assert len(stored) == len(accuracy.CHOICES) == 8


def test_the_last_epoch_counts(tmp_path: Path) -> None:
    accuracy = benchmark("compression_accuracy")
    log = tmp_path / "log.csv"
    log.write_text("epoch,val_accuracy\n1,0.9\n2,0.25\n", encoding="utf-8")
    assert accuracy.last_accuracy(log) == 0.25
    results = {"a": {"bytes": 2_000_000, "accuracy": [0.1, 0.3], "spearman": {"X": [0.5, 1.0]}}}
    assert accuracy.table(results).splitlines()[2] == (
        "| a | 2.0 | 0.200 (0.100 to 0.300) | 0.750 (0.500 to 1.000) |"
    )
