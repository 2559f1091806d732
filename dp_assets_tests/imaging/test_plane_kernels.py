"""Compiled loops against the NumPy expressions that they stand for, bit for bit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from dp_assets.imaging import compiled_loops, plane_kernels
from dp_assets.imaging.compression import compress_channel, reciprocal_of
from dp_assets.imaging.grey_level_counts import grey_level_counts


def pixels_of(seed: int, count: int, kind: str) -> np.ndarray:
    """Grey levels: of all sizes, a few only, or with many zeros."""
    generator = np.random.default_rng(seed)
    if kind == "wide":
        return generator.integers(0, 65536, count).astype(np.uint16)
    if kind == "few":
        return generator.integers(700, 703, count).astype(np.uint16)
    if kind == "bytes":
        return generator.integers(0, 256, count).astype(np.uint8)
    return np.where(generator.random(count) < 0.7, 0, generator.integers(0, 900, count)).astype(np.uint16)


KINDS = ("wide", "few", "bytes", "dark")


def divisors_of(seed: int, count: int) -> np.ndarray:
    generator = np.random.default_rng(seed + 1)
    # Whole ones, halves and others: quotients that lie exactly between two levels, and close to it.
    return np.where(
        generator.random(count) < 0.5, generator.integers(2, 7, count) / 2, 1 + generator.random(count)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 255, 256, 257, 20_000])
def test_tails_are_complete_and_exact(kind: str, count: int) -> None:
    pixels, divisors = pixels_of(count, count, kind), divisors_of(count, count)
    quotients = pixels / divisors
    for low, high in [*np.percentile(quotients, [(0, 100), (1, 99), (40, 60), (50, 50)]), (0.0, 0.0)]:
        below, above = plane_kernels.quotients_beyond(
            pixels, divisors, reciprocal_of(divisors), float(low), float(high)
        )
        np.testing.assert_array_equal(below, quotients[quotients <= low])
        np.testing.assert_array_equal(above, quotients[quotients >= high])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        (0.0, 255.0),
        (0.0, 510.0),
        (3.5, 60_000.0),
        (0.1, 0.4),
        (300.0, 301.0),
        (64_000.0, 64_000.25),
        (17.0, 700.3),
    ],
)
def test_levels_are_rounded_as_in_float64(kind: str, lower: float, upper: float) -> None:
    count = 60_001
    pixels, divisors = pixels_of(7, count, kind), divisors_of(7, count)
    expected = np.rint((np.clip(pixels / divisors, lower, upper) - lower) / (upper - lower) * 255)
    levels = np.empty(count, np.uint8)
    plane_kernels.stretched_quotients(pixels, divisors, reciprocal_of(divisors), lower, upper, levels)
    np.testing.assert_array_equal(levels, expected.astype(np.uint8))


def test_halves_are_met_and_go_to_the_even_level() -> None:
    pixels = np.arange(510, dtype=np.uint16)
    levels = np.empty(510, np.uint8)
    divisors = np.full(510, 2.0)
    plane_kernels.stretched_quotients(pixels, divisors, reciprocal_of(divisors), 0.0, 255.0, levels)
    np.testing.assert_array_equal(levels, np.rint(pixels / 2).astype(np.uint8))
    assert levels[[1, 3, 5]].tolist() == [0, 2, 2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stretch", ["image", "plate"])
def test_compression_is_that_of_the_divided_image(kind: str, stretch: str) -> None:
    image = pixels_of(3, 90 * 110, kind).reshape(90, 110)
    function = divisors_of(3, image.size).reshape(image.shape)
    found = compress_channel(image, function, 800.0, lower_limit=2.0, stretch=stretch)  # type: ignore[arg-type]
    corrected = image / function
    vmin, vmax = np.percentile(corrected, (0.05, 99.95)) if stretch == "image" else (2.0, 800.0)
    vmax = min(vmax, 800.0)
    assert (found.vmin, found.vmax) == (vmin, vmax)
    expected = np.rint((np.clip(corrected, vmin, vmax) - vmin) / (vmax - vmin) * 255)
    np.testing.assert_array_equal(found.pixels, expected if vmin < vmax else 0)


def test_loops_are_compiled_where_nothing_can_be_kept(tmp_path: Path) -> None:
    # Neither beside the module nor in the user's cache: files lie where the folders would.
    package = tmp_path / "dp_assets" / "imaging"
    package.mkdir(parents=True)
    for module in (plane_kernels, compiled_loops):
        shutil.copy(str(module.__file__), package)
    (package / "__pycache__").touch()
    (tmp_path / "file").touch()
    program = (
        "import logging, numpy; logging.basicConfig(level='INFO'); "
        "from dp_assets.imaging import plane_kernels; "
        "print(plane_kernels.counts_of_8_bits(numpy.array([3, 3, 5], numpy.uint8)).nonzero()[0].tolist())"
    )
    places = {
        "PYTHONPATH": str(tmp_path),
        "HOME": str(tmp_path / "file"),
        "XDG_CACHE_HOME": str(tmp_path / "file"),
    }
    environment = {**os.environ, **places}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[3, 5]"
    assert "not kept for the next process" in done.stderr


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 33)])
def test_every_grey_level_is_counted(dtype: type, shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(2).integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)
    plane.flat[-1] = np.iinfo(dtype).max
    expected = np.bincount(plane.ravel(), minlength=2 ** (8 * np.dtype(dtype).itemsize))
    for view in (plane, plane.T, np.ascontiguousarray(plane[:, ::-1])[:, ::-1]):
        counts = grey_level_counts(view)
        assert counts.dtype == np.int64
        np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
def test_rows_are_weighted_as_scipy_does_it(dtype: type) -> None:
    generator = np.random.default_rng(4)
    matrix = sparse.random_array((7, 40), density=0.3, rng=generator, format="csr")
    plane = (generator.random((40, 53)) * 200).astype(dtype)
    sums = np.full((7, 53), np.nan)
    plane_kernels.weighted_rows(plane, matrix.indptr, matrix.indices, matrix.data, sums)
    np.testing.assert_array_equal(sums, matrix @ plane.astype(np.float64))
