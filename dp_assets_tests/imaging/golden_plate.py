"""The synthetic plates whose results were recorded from the original program."""

import csv
from pathlib import Path

import numpy as np

from dp_assets.storage.images import read_image

CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")
SHAPE = (512, 512)


def site_images(golden: Path, plate: str) -> dict[str, np.ndarray]:
    """Well -> image (512, 512, 5), in the order of the index."""
    with (golden / "inputs/metadata/index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["Metadata_Plate"] == plate]
    return {
        row["Metadata_Well"]: np.stack(
            [read_image(golden / "inputs/images" / row[channel]) for channel in CHANNELS], axis=-1
        )
        for row in rows
    }


def compressed_image(golden: Path, plate: str, well: str) -> np.ndarray:
    """A recorded compressed site, (512, 512, 5) uint8."""
    folder = golden / "compressed" / plate
    return np.stack([read_image(folder / f"{well}_s1_{channel}.png") for channel in CHANNELS], axis=-1)


def cell_centres(golden: Path, plate: str, well: str) -> tuple[np.ndarray, list[str]]:
    """Centres (cells, 2) as (row, col), and how each cell is named in file names: <x>x<y>."""
    with (golden / f"inputs/locations/{plate}/{well}-1-Nuclei.csv").open() as file:
        rows = list(csv.DictReader(file))
    places = [(row["Nuclei_Location_Center_X"], row["Nuclei_Location_Center_Y"]) for row in rows]
    return np.array([(float(y), float(x)) for x, y in places]), [f"{x}x{y}" for x, y in places]
