"""The same fields of view as one file per channel, as OME-TIFF and as OME-Zarr plate."""

from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from dp_assets_tests.made_plates import PLATE, MadePlate, tiny_plate
from dp_assets_tests.stacks import CHANNELS, Version, write_ome_tiff, write_zarr_plate

WELLS = ("A01", "A02", "A03")


def separate_plate(root: Path) -> MadePlate:
    """A tiny project with one file per channel."""
    return tiny_plate(root, wells=len(WELLS), channels=CHANNELS)


def field_pixels(plate: MadePlate, well: str) -> np.ndarray:
    """The images of a field, (channels, rows, cols)."""
    folder = plate.root / "inputs/images" / PLATE
    return np.stack([tifffile.imread(folder / f"{well}_s1_{channel}.tiff") for channel in CHANNELS])


def with_index(root: Path, like: MadePlate, paths: dict[str, dict[str, str]]) -> MadePlate:
    """A project with the cells and annotations of another one, and other images: well -> channel -> path."""
    (root / "inputs/metadata").mkdir(parents=True, exist_ok=True)
    (root / "inputs/images").mkdir(parents=True, exist_ok=True)
    if not (root / "inputs/locations").exists():
        (root / "inputs/locations").symlink_to(like.root / "inputs/locations")
    frame = pd.read_csv(like.root / "inputs/metadata/index.csv", dtype=str)
    for channel in CHANNELS:
        frame[channel] = [paths[well][channel] for well in frame["Metadata_Well"]]
    frame.to_csv(root / "inputs/metadata/index.csv", index=False)
    return MadePlate(root, PLATE, like.channels, like.bits)


def tiff_plate(root: Path, like: MadePlate, fragment: str = "") -> MadePlate:
    """OME-TIFF fields; `fragment` stands behind every path, with {name} and {number} of the channel."""
    paths = {}
    for well in WELLS:
        name = f"{PLATE}/{well}_s1.ome.tif"
        write_ome_tiff(root / "inputs/images" / name, field_pixels(like, well))
        paths[well] = {
            channel: name + fragment.format(name=channel, number=number)
            for number, channel in enumerate(CHANNELS)
        }
    return with_index(root, like, paths)


def zarr_plate(root: Path, like: MadePlate, version: Version) -> MadePlate:
    """An OME-Zarr plate."""
    fields = {(well, 0): field_pixels(like, well) for well in WELLS}
    write_zarr_plate(root / f"inputs/images/{PLATE}.zarr", fields, version)
    paths = {
        well: {
            channel: f"{PLATE}.zarr/{well[0]}/{int(well[1:])}/0#c={number}"
            for number, channel in enumerate(CHANNELS)
        }
        for well in WELLS
    }
    return with_index(root, like, paths)
