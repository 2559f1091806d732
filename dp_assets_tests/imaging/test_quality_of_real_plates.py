"""Rules on real plates as they are, where nothing is odd, and on the same plates damaged."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage

from dp_assets.config.checks import ChecksSettings
from dp_assets.imaging.centres import centre_rank
from dp_assets.imaging.plate_quality import PlateQuality
from dp_assets.imaging.quality import MEASURES, measure_quality
from dp_assets.imaging.quality_rules import blurred, empty, exchanged_fields, exchanged_plate

RULES = ChecksSettings()
SETS = {"bbbc013": ("DNA", "GFP"), "hela_rnai": ("DNA", "Tubulin", "Actin")}
DAMAGED = slice(0, 12, 4)

pytestmark = pytest.mark.slow


@cache
def plates_of(folder: Path) -> dict[str, tuple[np.ndarray, pd.DataFrame]]:
    """Plate -> images (fields, channels, rows, cols), and the rows of the index."""
    index = pd.read_csv(folder / "inputs" / "metadata" / "index.csv", dtype=str)
    found = {}
    for plate, rows in index.groupby("Metadata_Plate"):
        paths = rows[list(SETS[folder.name])].to_numpy()
        images = [[tifffile.imread(folder / "inputs" / "images" / path) for path in site] for site in paths]
        found[str(plate)] = (np.array(images), rows)
    return found


def measured(images: np.ndarray, channels: tuple[str, ...]) -> PlateQuality:
    values = np.array([[measure_quality(plane).values for plane in site] for site in images])
    names = tuple(str(number) for number in range(len(images)))
    measures = {name: values[..., place] for place, name in enumerate(MEASURES)}
    return PlateQuality(names, names, channels, measures)


def odd(quality: PlateQuality) -> dict[str, np.ndarray]:
    return {
        "blurred": blurred(quality, RULES.blur_deviations, RULES.blur_slope),
        "saturated": quality.measures["saturated_fraction"] > RULES.saturated_fraction,
        "empty": empty(quality, RULES.empty_contrast, RULES.empty_share),
    }


def out_of_focus(plane: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(plane.astype(float), 3).round().astype(np.uint8)


def too_bright(plane: np.ndarray) -> np.ndarray:
    return np.minimum(plane.astype(int) * 6, 255).astype(np.uint8)


def nothing_there(plane: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(np.median(plane) + 3, 2, plane.shape)
    return np.clip(noise, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("name", SETS)
def test_good_plates_have_nothing_odd_and_damaged_ones_have_what_was_planted(shared: Path, name: str) -> None:
    channels = SETS[name]
    damages: dict[str, Callable] = {"blurred": out_of_focus, "saturated": too_bright, "empty": nothing_there}
    for images, _ in plates_of(shared / "data" / name).values():
        good = measured(images, channels)
        assert not any(found.any() for found in odd(good).values())
        assert not any(exchanged_fields(good, RULES.swap_margin))
        for damage, change in damages.items():
            harmed = images.copy()
            # The stain of nuclei; the HeLa plates are 8-bit from JPEG, and tubulin has little detail to lose.
            for field in harmed[DAMAGED]:
                field[0] = change(field[0])
            found = odd(measured(harmed, channels))
            expected = np.zeros(found[damage].shape, bool)
            expected[DAMAGED, 0] = True
            np.testing.assert_array_equal(found[damage], expected, err_msg=damage)


@pytest.mark.parametrize("name", SETS)
def test_exchanged_channels_of_a_plate(shared: Path, name: str) -> None:
    plates = [measured(images, SETS[name]) for images, _ in plates_of(shared / "data" / name).values()]
    images = list(plates_of(shared / "data" / name).values())[-1][0].copy()
    assert exchanged_plate(measured(images, SETS[name]), plates[:1], RULES.swap_margin)[1] is None
    images[:, [0, 1]] = images[:, [1, 0]]
    found = exchanged_plate(measured(images, SETS[name]), plates[:1], RULES.swap_margin)[1]
    assert found is not None
    assert (found.first, found.second) == (0, 1)


@pytest.mark.parametrize("name", SETS)
def test_nuclei_are_brightest_in_their_stain_and_only_where_they_are(shared: Path, name: str) -> None:
    folder = shared / "data" / name
    for images, rows in plates_of(folder).values():
        for site, (plate, well, number) in zip(
            images[::6],
            rows[["Metadata_Plate", "Metadata_Well", "Metadata_Site"]].to_numpy()[::6],
            strict=True,
        ):
            path = folder / "inputs" / "locations" / plate / f"{well}-{number}-Nuclei.csv"
            table = pd.read_csv(path)
            centres = table[["Nuclei_Location_Center_Y", "Nuclei_Location_Center_X"]].to_numpy()
            ranks = [centre_rank(plane, centres) for plane in site]
            assert int(np.argmax(ranks)) == 0
            assert ranks[0] > 0.9
            assert centre_rank(site[0], centres[:, ::-1]) < 0.65
