"""Checks of a plate's images: in focus, not cut off, not empty, and each under its channel's name."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np

from dp_assets.config.checks import ChecksSettings
from dp_assets.imaging.plate_quality import PlateQuality
from dp_assets.imaging.quality import BLOCK
from dp_assets.imaging.quality_rules import (
    blurred,
    blurred_plate,
    empty,
    exchanged_fields,
    exchanged_plate,
)
from dp_assets.orchestration.results import judged, number, picture, table

IN_FOCUS = "fields_in_focus"
NOT_SATURATED = "fields_not_saturated"
NOT_EMPTY = "fields_not_empty"
IN_ORDER = "channels_in_order"
IMAGE_CHECKS = (IN_FOCUS, NOT_SATURATED, NOT_EMPTY, IN_ORDER)


def image_checks(
    rules: ChecksSettings, plate: str, quality: PlateQuality, earlier: Mapping[str, PlateQuality]
) -> list[dg.AssetCheckResult]:
    """The checks of `IMAGE_CHECKS`.

    Parameters
    ----------
    plate : its name, for pictures.
    quality : measures of its images.
    earlier : plate -> measures of plates that came before; those of other channels are not compared.
    """
    alike = {name: other for name, other in earlier.items() if other.channels == quality.channels}
    return [
        _in_focus(rules, plate, quality, list(alike.values())),
        _not_saturated(rules, plate, quality),
        _not_empty(rules, plate, quality),
        _in_order(rules, plate, quality, alike),
    ]


def focus_picture(plate: str, quality: PlateQuality) -> bytes:
    """The plate with the focus slope of its least sharp channel."""
    slopes = quality.measures["focus_slope"]
    channel = _worst_channel(np.zeros(slopes.shape, bool), -np.nan_to_num(slopes))
    return _heatmap(plate, quality, slopes, channel, "focus", "slope of the power spectrum", np.nanmin)


def _in_focus(
    rules: ChecksSettings, plate: str, quality: PlateQuality, earlier: Sequence[PlateQuality]
) -> dg.AssetCheckResult:
    found = blurred(quality, rules.blur_deviations, rules.blur_slope)
    plates = blurred_plate(quality, earlier, rules.blur_deviations)
    slopes = quality.measures["focus_slope"]
    return judged(
        rules,
        IN_FOCUS,
        not found.any() and not plates,
        remedy="look at these images; image the wells again, or take them out of the index",
        blurred_images=int(found.sum()),
        channels_blurred_on_the_whole_plate=", ".join(plates) or "none",
        threshold_deviations=rules.blur_deviations,
        threshold_slope=rules.blur_slope,
        earlier_plates=len(earlier),
        **_explained(plate, quality, found, slopes, "focus_slope", "slope of the power spectrum", np.nanmin),
    )


def _not_saturated(rules: ChecksSettings, plate: str, quality: PlateQuality) -> dg.AssetCheckResult:
    shares = quality.measures["saturated_fraction"]
    found = shares > rules.saturated_fraction
    return judged(
        rules,
        NOT_SATURATED,
        not found.any(),
        remedy="lower the exposure time or gain; grey levels beyond the camera's range cannot be recovered",
        saturated_images=int(found.sum()),
        largest_fraction=number(float(shares.max(initial=0))),
        threshold=rules.saturated_fraction,
        **_explained(
            plate, quality, found, shares, "saturated_fraction", "share of pixels cut off", np.nanmax
        ),
    )


def _not_empty(rules: ChecksSettings, plate: str, quality: PlateQuality) -> dg.AssetCheckResult:
    m = quality.measures
    contrast = (m["p99_9"] - m["p50"]) * BLOCK / m["noise"]
    found = empty(quality, rules.empty_contrast, rules.empty_share)
    return judged(
        rules,
        NOT_EMPTY,
        not found.any(),
        remedy="look at these images: a lost well, a shutter that stayed closed, a stain that is missing; "
        "take their rows out of the index if nothing is there",
        empty_images=int(found.sum()),
        threshold_contrast=rules.empty_contrast,
        threshold_share_of_range=rules.empty_share,
        **_explained(plate, quality, found, contrast, "contrast", "contrast, times the noise", np.nanmin),
    )


def _in_order(
    rules: ChecksSettings, plate: str, quality: PlateQuality, earlier: Mapping[str, PlateQuality]
) -> dg.AssetCheckResult:
    from dp_assets.figures.channel_fit import channel_fit
    from dp_assets.figures.plate_heatmap import plate_heatmap

    names = quality.channels
    fields = [
        {
            "well": quality.wells[row],
            "site": quality.sites[row],
            "exchanged": f"{names[found.first]} and {names[found.second]}",
            "gain": round(found.gain, 2),
        }
        for row, found in enumerate(exchanged_fields(quality, rules.swap_margin))
        if found is not None
    ]
    facts: dict[str, Any] = {"exchanged_fields": len(fields), "threshold": rules.swap_margin}
    if fields:
        facts["fields"] = table(fields)
        shown = dict(Counter(field["well"] for field in fields))
        wells = {well: float(shown.get(well, 0)) for well in quality.wells}
        facts["wells"] = picture(plate_heatmap(wells, f"{plate}: exchanged channels", "fields"), "wells")
    whole = None
    if earlier and len(names) > 1 and len(quality):
        misfit, whole = exchanged_plate(quality, list(earlier.values()), rules.swap_margin)
        if whole is not None:
            facts["exchanged_on_the_whole_plate"] = f"{names[whole.first]} and {names[whole.second]}"
            facts["fit"] = picture(
                channel_fit(misfit, names, f"{plate}: deviations of channels", "earlier plates"),
                "fit of channels",
            )
    facts["earlier_plates"] = ", ".join(list(earlier)[-5:]) or "none"
    return judged(
        rules,
        IN_ORDER,
        not fields and whole is None,
        # A few fields may look like that by chance or treatment; a whole plate hardly.
        mild=whole is None,
        remedy="compare these images with those of other wells and plates; if files were mixed up, correct "
        "the columns of the image index",
        **facts,
    )


def _explained(
    plate: str,
    quality: PlateQuality,
    found: np.ndarray,
    values: np.ndarray,
    measure: str,
    unit: str,
    worst: Any,
) -> dict[str, Any]:
    """The table of odd images, and the plate in the channel that has most; nothing when all is well."""
    if not found.any():
        return {}
    sign = -1.0 if worst is np.nanmin else 1.0
    places = sorted(np.argwhere(found).tolist(), key=lambda place: -sign * values[place[0], place[1]])
    rows = [
        {
            "well": quality.wells[row],
            "site": quality.sites[row],
            "channel": quality.channels[channel],
            measure: number(round(float(values[row, channel]), 4)),
            "usual": number(round(float(np.nanmedian(values[:, channel])), 4)),
        }
        for row, channel in places
    ]
    channel = _worst_channel(found, sign * np.nan_to_num(values))
    heatmap = _heatmap(plate, quality, values, channel, measure, unit, worst)
    return {"images": table(rows), "plate": picture(heatmap, f"{measure} by well")}


def _worst_channel(found: np.ndarray, badness: np.ndarray) -> int:
    """The channel with most odd images; of equals, or where there are none, that with the worst median."""
    counts = found.sum(axis=0)
    return max(range(len(counts)), key=lambda c: (counts[c], float(np.median(badness[:, c]))))


def _heatmap(
    plate: str, quality: PlateQuality, values: np.ndarray, channel: int, what: str, unit: str, worst: Any
) -> bytes:
    from dp_assets.figures.plate_heatmap import plate_heatmap

    by_well: dict[str, list[float]] = {}
    for well, value in zip(quality.wells, values[:, channel].tolist(), strict=True):
        by_well.setdefault(well, []).append(value)
    wells = {
        well: float(worst(some)) if np.isfinite(some).any() else float("nan")
        for well, some in by_well.items()
    }
    return plate_heatmap(wells, f"{plate}, {quality.channels[channel]}: {what.replace('_', ' ')}", unit)
