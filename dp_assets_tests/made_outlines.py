"""Outline and label images for the cells of a tiny project."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from skimage.segmentation import find_boundaries

from dp_assets.storage.images import read_image
from dp_assets.storage.index_file import IndexLocation
from dp_assets.storage.outlines_file import OutlinesListing
from dp_assets.storage.plate_outlines import SiteOutlines, describe_plate_outlines, site_outlines
from dp_assets_tests.made_plates import MadePlate

RADIUS = 6


def disks(shape: tuple[int, int], centres: np.ndarray, radius: float = RADIUS) -> np.ndarray:
    """A label image (rows, cols) uint16: cell n is disk n + 1, later disks lie over earlier ones."""
    rows, cols = np.indices(shape)
    labels = np.zeros(shape, np.uint16)
    for number, (row, col) in enumerate(centres):
        labels[(rows - row) ** 2 + (cols - col) ** 2 <= radius**2] = number + 1
    return labels


def drawn_outlines(labels: np.ndarray) -> np.ndarray:
    """The outlines of a label image, uint8: 255 on the boundaries, 0 elsewhere."""
    # Lines without diagonal gaps: regions are 8-connected and would run together through them.
    return (find_boundaries(labels, connectivity=2, mode="inner") * 255).astype(np.uint8)


def write_outlines(
    plate: MadePlate, draw: Callable[[np.ndarray], np.ndarray] = lambda labels: labels
) -> dict[tuple[str, str], np.ndarray]:
    """Write an image for every site of a plate, and outlines.csv; returns (well, site) -> its label image.

    Parameters
    ----------
    draw : label image -> the image that is written.
    """
    lines = ["Metadata_Plate,Metadata_Well,Metadata_Site,Outlines"]
    cells, found = plate.cells(), {}
    folder = plate.root / "inputs" / "outlines"
    folder.mkdir(exist_ok=True)
    for site in plate.sites():
        labels = disks(read_image(site.images[0]).shape, cells[(site.well, site.site)].centres)
        name = f"{plate.plate}_{site.well}_{site.site}.tif"
        tifffile.imwrite(folder / name, draw(labels))
        lines.append(f"{site.plate},{site.well},{site.site},{name}")
        found[(site.well, site.site)] = labels
    file = plate.root / "inputs" / "metadata" / "outlines.csv"
    if file.exists():
        lines = [*file.read_text().splitlines(), *lines[1:]]
    file.write_text("\n".join(lines) + "\n")
    return found


def outlines_of(plate: MadePlate) -> dict[tuple[str, str], SiteOutlines]:
    """The outline images that `write_outlines` wrote, as they are now."""
    location = IndexLocation(Path("unused"), plate.root / "inputs" / "outlines")
    paths = {
        (site.plate, site.well, site.site): f"{plate.plate}_{site.well}_{site.site}.tif"
        for site in plate.sites()
    }
    table = describe_plate_outlines(plate.images(), OutlinesListing(paths, "made"), location, workers=2)
    assert table["problem"].null_count == table.num_rows
    return site_outlines(table, location)
