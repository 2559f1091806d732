"""Checks of a plate's cells: as many as usual, inside their images, and on nuclei."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa

from dp_assets.config.checks import ChecksSettings
from dp_assets.imaging.centres import centre_rank
from dp_assets.imaging.plate_crops import cells_by_site
from dp_assets.orchestration.results import judged, number, picture, table
from dp_assets.storage.image_sites import ImageSite, SiteFailure, usable
from dp_assets.storage.schemas import CENTER_X, CENTER_Y, SITE, WELL
from dp_assets.storage.site_loop import try_each

COUNTS_USUAL = "cell_counts_usual"
INSIDE = "cells_inside"
ON_NUCLEI = "centres_on_nuclei"
NUCLEAR_STAIN = re.compile(r"dna|dapi|hoechst|h33342|nuc|draq", re.IGNORECASE)
LEAST_CONTROLS = 2
SAMPLED_SITES = 12
LEAST_CELLS = 30
"""Fewer cells than this decide nothing about a plate."""
BETTER = 0.05
"""Another channel seems to be that of nuclei when its rank at the centres is so much higher."""
MOST_SITES = 0.75
WRONG_LOCATIONS = (
    "check that the locations belong to these images, that X is the column and Y the row, and that both "
    "are in pixels of the original images"
)


@dataclass(frozen=True)
class SampledCentres:
    """How bright some fields of view are at their cells.

    Attributes
    ----------
    sites : the fields of view that could be read.
    ranks : (sites, channels), see `centre_rank`.
    cells : how many cells they have.
    shown : image (rows, cols, channels) and centres (cells, 2) of the one that fits worst; None without any.
    """

    sites: tuple[ImageSite, ...]
    ranks: np.ndarray
    cells: int
    shown: tuple[np.ndarray, np.ndarray] | None


def cell_count_check(
    rules: ChecksSettings, plate: str, counts: Mapping[str, int], controls: Sequence[str]
) -> dg.AssetCheckResult:
    """Every well has about as many cells as the plate's wells have, and controls as many as controls.

    Parameters
    ----------
    counts : "well/site" -> cells.
    controls : wells of the plate that are controls; empty when that is not known.
    """
    from dp_assets.figures.plate_heatmap import plate_heatmap

    wells: Counter[str] = Counter()
    for key, count in counts.items():
        wells[key.split("/", 1)[0]] += count
    usual = float(np.median(list(wells.values()))) if wells else 0.0
    of_controls = [wells[well] for well in controls if well in wells]
    control_usual = float(np.median(of_controls)) if len(of_controls) >= LEAST_CONTROLS else None
    rows = []
    for well, count in wells.items():
        reason = _odd_count(count, usual, control_usual if well in controls else None, rules)
        if reason:
            rows.append({"well": well, "cells": count, "why": reason})
    facts: dict[str, Any] = {}
    if rows:
        facts["wells"] = table(sorted(rows, key=lambda row: row["cells"]))
        shown = {well: float(count) for well, count in wells.items()}
        facts["plate"] = picture(plate_heatmap(shown, f"{plate}: cells per well", "cells"), "cells per well")
    return judged(
        rules,
        COUNTS_USUAL,
        not rows,
        remedy="look at these wells: toxic treatments and lost wells have few cells, and failed segmentation "
        "has few or many",
        odd_wells=len(rows),
        wells_without_cells=", ".join([well for well, count in wells.items() if not count][:20]) or "none",
        plate_median=usual,
        control_median="unknown" if control_usual is None else control_usual,
        control_wells=len(of_controls),
        threshold_few=rules.few_cells,
        threshold_many=rules.many_cells,
        threshold_controls=rules.control_cells,
        **facts,
    )


def _odd_count(count: int, usual: float, control_usual: float | None, rules: ChecksSettings) -> str:
    if count == 0:
        return "no cells"
    if count < rules.few_cells * usual:
        return f"fewer than {rules.few_cells:g} of the plate's median"
    if count > rules.many_cells * usual:
        return f"more than {rules.many_cells:g} times the plate's median"
    if control_usual and not 1 / rules.control_cells <= count / control_usual <= rules.control_cells:
        return "a control unlike the other controls"
    return ""


def inside_check(
    rules: ChecksSettings, plate: str, cells: pa.Table, shape: tuple[int, int] | None
) -> dg.AssetCheckResult:
    """Every centre lies inside its image.

    Parameters
    ----------
    shape : (rows, cols) of the plate's images; None when no image could be read.
    """
    from dp_assets.figures.cell_positions import centres_outside

    centres = np.stack([cells[CENTER_Y].to_numpy(), cells[CENTER_X].to_numpy()], axis=1)
    inside: np.ndarray = np.zeros(len(centres), bool)
    if shape is not None:
        inside = np.all((centres >= 0) & (centres <= np.array(shape) - 1), axis=1)
    outside = int((~inside).sum())
    facts: dict[str, Any] = {}
    if outside:
        keys = zip(cells[WELL].to_pylist(), cells[SITE].to_pylist(), strict=True)
        by_site = Counter(key for key, is_in in zip(keys, inside.tolist(), strict=True) if not is_in)
        facts["sites"] = table(
            [{"well": well, "site": site, "outside": n} for (well, site), n in by_site.most_common()]
        )
        if shape is not None:
            drawn = centres_outside(centres, inside, shape, f"{plate}: cells outside their image")
            facts["centres"] = picture(drawn, "cell centres")
    share = outside / max(1, len(centres))
    return judged(
        rules,
        INSIDE,
        outside == 0,
        mild=share <= rules.outside_fraction,
        remedy=WRONG_LOCATIONS,
        cells_outside=outside,
        fraction=round(share, 4),
        threshold_that_blocks=rules.outside_fraction,
        **facts,
    )


def sample_centres(
    sites: Sequence[ImageSite], cells: pa.Table, workers: int, maximum_pixels: int
) -> SampledCentres:
    """Read a dozen fields of view with cells, spread over the plate, and look at their centres.

    What cannot be read is left out: `plate_images` and the stages that read everything say so.
    """
    by_site = cells_by_site(cells)
    with_cells = [site for site in usable(sites) if (site.well, site.site) in by_site]
    spread = np.linspace(0, len(with_cells) - 1, min(len(with_cells), SAMPLED_SITES))
    chosen = [with_cells[number] for number in np.unique(spread.astype(int))]
    unread: list[SiteFailure] = []

    def measure(site: ImageSite) -> tuple[list[float], np.ndarray]:
        image, centres = site.read(maximum_pixels), by_site[(site.well, site.site)].centres
        return [centre_rank(image[..., number], centres) for number in range(image.shape[-1])], image

    read: list[ImageSite] = []
    ranks: list[list[float]] = []
    shown: tuple[np.ndarray, np.ndarray] | None = None
    for site, (found, image) in try_each(chosen, measure, unread, workers=workers, progress=lambda *_: None):
        if not ranks or max(found) < min(max(row) for row in ranks):
            shown = (image, by_site[(site.well, site.site)].centres)
        read.append(site)
        ranks.append(found)
    count = sum(len(by_site[(site.well, site.site)].names) for site in read)
    return SampledCentres(tuple(read), np.array(ranks), count, shown)


def nuclei_check(
    rules: ChecksSettings, plate: str, channels: Sequence[str], sampled: SampledCentres
) -> dg.AssetCheckResult:
    """Cell centres are bright in the channel of nuclei, and in no other more so."""
    from dp_assets.figures.cell_positions import centres_on_image

    if not sampled.sites:
        return judged(rules, ON_NUCLEI, True, note="no field of view with cells could be read")
    ranks = np.median(sampled.ranks, axis=0)
    named = [place for place, name in enumerate(channels) if NUCLEAR_STAIN.search(name)]
    best = int(np.argmax(ranks))
    own = max(named, key=lambda place: ranks[place]) if named else best
    # Without a nuclear stain nuclei may be dark, as in brightfield.
    is_off = ranks[own] < rules.centre_rank and (bool(named) or ranks.min() > 1 - rules.centre_rank)
    better = (sampled.ranks[:, best] > sampled.ranks[:, own] + BETTER).mean() >= MOST_SITES
    rows = [
        {"channel": name, "darker_than_centres": number(round(float(ranks[place]), 3))}
        for place, name in enumerate(channels)
    ]
    facts: dict[str, Any] = {"channels": table(rows)}
    if (is_off or better) and sampled.shown is not None:
        image, centres = sampled.shown
        title = f"{plate}: cell centres on {channels[own]}"
        facts["centres"] = picture(centres_on_image(image[..., own], centres, title), "cell centres")
    return judged(
        rules,
        ON_NUCLEI,
        not (is_off or better),
        mild=not is_off or not named or sampled.cells < LEAST_CELLS,
        remedy=(
            WRONG_LOCATIONS
            if is_off
            else f"check whether {channels[own]} and {channels[best]} are exchanged in the image index"
        ),
        nuclear_channel=channels[own],
        brightest_at_centres=channels[best],
        rank=number(round(float(ranks[own]), 3)),
        threshold=rules.centre_rank,
        fields_looked_at=len(sampled.sites),
        cells_looked_at=sampled.cells,
        **facts,
    )
