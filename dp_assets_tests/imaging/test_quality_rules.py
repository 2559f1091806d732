"""Rules on planted plates: the odd fields are found, and no others."""

from dataclasses import replace

import numpy as np
import pytest

from dp_assets.imaging.plate_quality import PlateQuality
from dp_assets.imaging.quality import MEASURES
from dp_assets.imaging.quality_rules import (
    Exchange,
    blurred,
    blurred_plate,
    empty,
    exchanged_fields,
    exchanged_plate,
)

CHANNELS = ("DNA", "RNA", "Mito")
# Usual values of each channel, in the order of MEASURES.
USUAL = np.array(
    [
        (-3.0, -2.0, 0.0, 5.0, 90.0, 100.0, 140.0, 400.0, 900.0, 2000.0),
        (-2.6, -2.2, 0.0, 5.0, 100.0, 300.0, 500.0, 800.0, 900.0, 1200.0),
        (-2.3, -1.5, 0.0, 5.0, 100.0, 180.0, 220.0, 300.0, 500.0, 700.0),
    ]
)


def plate(fields: int = 24, seed: int = 0, spread: float = 0.03) -> PlateQuality:
    rng = np.random.default_rng(seed)
    values = USUAL * (1 + spread * rng.normal(size=(fields, *USUAL.shape)))
    values[..., 4:] = np.sort(values[..., 4:], axis=-1)
    return PlateQuality(
        tuple(f"A{number + 1:02d}" for number in range(fields)),
        ("1",) * fields,
        CHANNELS,
        {name: values[..., place].copy() for place, name in enumerate(MEASURES)},
    )


def with_exchange(quality: PlateQuality, fields: slice, first: int, second: int) -> PlateQuality:
    measures = {name: values.copy() for name, values in quality.measures.items()}
    for values in measures.values():
        values[fields, [first]], values[fields, [second]] = (
            values[fields, [second]].copy(),
            values[fields, [first]].copy(),
        )
    return replace(quality, measures=measures)


@pytest.mark.parametrize("seed", range(5))
def test_a_good_plate_has_nothing_odd(seed: int) -> None:
    quality = plate(96, seed)
    assert not blurred(quality, 6, -4.5).any()
    assert not empty(quality, 8, 0.2).any()
    assert not any(exchanged_fields(quality, 1.0))


@pytest.mark.parametrize("bad", [1, 5])
def test_blurred_fields_are_found_even_when_they_are_many(bad: int) -> None:
    quality = plate()
    quality.measures["focus_slope"][:bad, 1] -= 1.0
    found = blurred(quality, 6, -4.5)
    assert found[:bad, 1].all()
    assert found.sum() == bad


def test_a_field_that_is_blurred_by_any_standard_needs_no_comparison() -> None:
    quality = plate(3)
    quality.measures["focus_slope"][0, 0] = -5
    quality.measures["focus_slope"][1, 0] = np.nan
    assert np.argwhere(blurred(quality, 6, -4.5)).tolist() == [[0, 0]]


def test_few_fields_are_not_compared_with_each_other() -> None:
    quality = plate(5)
    quality.measures["focus_slope"][0, 0] = -4
    assert not blurred(quality, 6, -4.5).any()
    assert exchanged_fields(with_exchange(quality, slice(0, 1), 0, 1), 1.0) == [None] * 5


def test_a_blurred_plate_is_found_beside_two_earlier_ones() -> None:
    earlier = [plate(seed=1), plate(seed=2)]
    quality = plate(seed=3)
    assert blurred_plate(quality, earlier, 6) == []
    quality.measures["focus_slope"][:, 2] -= 1
    assert blurred_plate(quality, earlier, 6) == ["Mito"]
    assert blurred_plate(quality, earlier[:1], 6) == []


def test_empty_fields_are_noise_only_or_far_below_the_others() -> None:
    quality = plate()
    noise_only = {
        "p1": 97.7,
        "p50": 100,
        "p75": 100.7,
        "p90": 101.3,
        "p97": 101.9,
        "p99_9": 103.1,
        "noise": 4,
    }
    out_of_focus_glow = {"p1": 90, "p50": 100, "p75": 104, "p90": 108, "p97": 113, "p99_9": 125, "noise": 1}
    for row, values in ((0, noise_only), (1, out_of_focus_glow)):
        for name, value in values.items():
            quality.measures[name][row, 0] = value
    found = empty(quality, 8, 0.2)
    assert np.argwhere(found).tolist() == [[0, 0], [1, 0]]


def test_a_field_with_one_cell_is_not_empty() -> None:
    quality = plate()
    # One nucleus of a field of thousands: nothing but the highest percentile shows it.
    one_cell = {"p1": 97.7, "p50": 100, "p75": 100.7, "p90": 101.3, "p97": 102, "p99_9": 350, "noise": 4}
    for name, value in one_cell.items():
        quality.measures[name][0, 0] = value
    assert not empty(quality, 8, 0.2).any()


def test_exchanged_channels_of_some_fields_are_named() -> None:
    found = exchanged_fields(with_exchange(plate(), slice(4, 7), 0, 2), 1.0)
    assert [row for row, exchange in enumerate(found) if exchange] == [4, 5, 6]
    assert {(exchange.first, exchange.second) for exchange in found if exchange} == {(0, 2)}


def test_exchanged_channels_of_a_whole_plate_are_named() -> None:
    earlier = [plate(seed=1), plate(seed=2, spread=0.05)]
    misfit, nothing = exchanged_plate(plate(seed=3), earlier, 1.0)
    assert nothing is None
    assert misfit.argmin(axis=1).tolist() == [0, 1, 2]
    misfit, found = exchanged_plate(with_exchange(plate(seed=3), slice(None), 1, 2), earlier, 1.0)
    assert isinstance(found, Exchange)
    assert (found.first, found.second) == (1, 2)
    assert misfit.argmin(axis=1).tolist() == [0, 2, 1]


def test_channels_that_fit_no_name_are_not_called_exchanged() -> None:
    quality = plate()
    for values in quality.measures.values():
        values[0] *= 7
    assert not any(exchanged_fields(quality, 1.0))
