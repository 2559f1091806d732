"""Well profiles of the generated example from simple measurements, in seconds: no network, no training."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import tifffile
from skimage.filters import sobel, threshold_otsu
from skimage.measure import label, regionprops_table

from dp_assets.example.cells import CHANNELS
from dp_assets.example.project import write_example_project
from dp_assets.storage.profile_columns import (
    BATCH,
    COMPOUND,
    CONCENTRATION,
    CONTROL,
    IS_CONTROL,
    IS_TREATED,
    LABEL,
    REPLICATE,
    TREATMENT,
)
from dp_assets.storage.schemas import PLATE, SITE, WELL

HALF = 24  # pixels from the centre of a cell to the border of its window
PERCENTILES = (5, 50, 95)
RINGS = ((0, 6), (6, 12), (12, 18), (18, 24))  # pixels from the centre


@functools.cache
def example_profiles(plates: int = 2) -> pa.Table:
    """Profiles of the wells of the example project, before normalization.

    Parameters
    ----------
    plates : of 16 wells each: four of `DMSO` and four of each of three compounds; the compounds of the other
        plates have the same mechanisms.

    Returns
    -------
    Table of schema `profiles`: the mean over cells of what `measure` finds. Treatments are compounds, batches
    are plates.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_example_project(root, plates=plates, sites_per_well=1)
        index = pd.read_csv(root / "inputs/metadata/index.csv", dtype=str, keep_default_na=False)
        cells = pd.concat([_site(root, row) for _, row in index.iterrows()])
    wells = cells.groupby([PLATE, WELL]).mean().reset_index()
    told = (
        index.drop_duplicates([PLATE, WELL])
        .set_index([PLATE, WELL])
        .loc[list(zip(wells[PLATE], wells[WELL], strict=True))]
    )
    metadata = {
        PLATE: wells[PLATE],
        WELL: wells[WELL],
        TREATMENT: told["Compound"],
        COMPOUND: told["Compound"],
        CONCENTRATION: told["Concentration"],
        LABEL: told["MOA"],
        BATCH: told["Batch"],
        CONTROL: np.where(told["Compound"] == "DMSO", IS_CONTROL, IS_TREATED),
        REPLICATE: told["Replicate"],
    }
    features = wells.drop(columns=[PLATE, WELL])
    return pa.table(
        {name: pa.array(list(values), pa.string()) for name, values in metadata.items()}
        | {name: pa.array(features[name].to_numpy(np.float32)) for name in features}
    )


def measure(image: np.ndarray, centres: np.ndarray) -> pd.DataFrame:
    """Simple numbers of each cell: grey levels by percentile and by distance from the centre, edges, how
    channels go together; and the size and shape of the nucleus, of the field's mean where none is found.

    Parameters
    ----------
    image : (rows, cols, channels), DNA first.
    centres : (cells, 2) (row, col), pixels.

    Returns
    -------
    One row per cell whose window lies inside the image.
    """
    levels = image.astype(np.float64)
    edges = np.stack([sobel(levels[..., channel]) for channel in range(levels.shape[-1])], axis=-1)
    nuclei = label(levels[..., 0] > threshold_otsu(levels[..., 0]))
    shapes = pd.DataFrame(
        regionprops_table(nuclei, properties=("area", "eccentricity", "solidity", "extent"))
    ).add_prefix("Nuclei_")
    distance = np.hypot(*np.meshgrid(*[np.arange(-HALF, HALF + 1)] * 2, indexing="ij"))
    rings = [(distance >= low) & (distance < high) for low, high in RINGS]
    rows = []
    for row, col in np.rint(centres).astype(int):
        if not (HALF <= row < image.shape[0] - HALF and HALF <= col < image.shape[1] - HALF):
            continue
        window = (slice(row - HALF, row + HALF + 1), slice(col - HALF, col + HALF + 1))
        number = nuclei[row, col]
        shape = shapes.iloc[number - 1] if number else shapes.mean()
        rows.append({**_grey_levels(levels[window], edges[window], rings), **shape.to_dict()})
    return pd.DataFrame(rows)


def _grey_levels(levels: np.ndarray, edges: np.ndarray, rings: list[np.ndarray]) -> dict[str, float]:
    found = {}
    for number, channel in enumerate(CHANNELS):
        plane = levels[..., number]
        for percentile in PERCENTILES:
            found[f"Cells_p{percentile}_{channel}"] = float(np.percentile(plane, percentile))
        found[f"Cells_Spread_{channel}"] = float(plane.std() / plane.mean())
        found[f"Cells_Edge_{channel}"] = float(edges[..., number].mean() / plane.mean())
        for (low, high), ring in zip(RINGS, rings, strict=True):
            found[f"Cells_Ring_{low}_{high}_{channel}"] = float(plane[ring].mean() / plane.mean())
    together = np.corrcoef(levels.reshape(-1, len(CHANNELS)).T)
    for first in range(len(CHANNELS)):
        for second in range(first):
            name = f"Cells_Correlation_{CHANNELS[second]}_{CHANNELS[first]}"
            found[name] = float(together[first, second])
    return found


def _site(root: Path, row: pd.Series) -> pd.DataFrame:
    image = np.stack(
        [tifffile.imread(root / "inputs/images" / row[channel]) for channel in CHANNELS], axis=-1
    )
    name = f"{row[WELL]}-{row[SITE]}-Nuclei.csv"
    centres = pd.read_csv(root / "inputs/locations" / row[PLATE] / name)
    found = measure(image, centres[["Nuclei_Location_Center_Y", "Nuclei_Location_Center_X"]].to_numpy())
    return found.assign(**{PLATE: row[PLATE], WELL: row[WELL]})
