"""Projects on images whose cell features are made up: from them profiles are made in seconds."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from dp_assets.storage.schemas import SCHEMAS
from dp_assets.storage.tables import with_provenance, write_table
from dp_assets_tests.orchestration.materializing import Ran, Workshop

PLATES = ("P1", "P2", "P3")
CELLS, FEATURES = 4, 6
RAW = ("cnn/site_profiles", "cnn/well_profiles")
CORRECTED = ("cnn/corrected_sites", "cnn/profiles", "cnn/treatment_profiles")
SCORED = (*CORRECTED, "cnn/similarity", "cnn/profile_map", "cnn/evaluation")


def configuration(**changes: object) -> dict:
    """An experiment `cnn` that is quick to score; `changes` are whole sections."""
    return {
        "dataset": {
            "metadata": {"label_field": "Compound", "control_value": "DMSO"},
            "images": {"channels": ["DNA"], "file_format": "tif", "bits": 8, "width": 64, "height": 64},
            "locations": {"mode": "single_cells", "box_size": 32},
        },
        "train": {"model": {"name": "cnn", "crop_generator": "sampled_crop_generator"}},
        "profile": {"feature_layer": "features", "checkpoint": "some.hdf5"},
        "evaluation": {"metrics": ["nsc", "map"], "bootstraps": 20},
        **changes,
    }


def site_index(plates: tuple[str, ...] = PLATES) -> pd.DataFrame:
    """Two sites in each of eight wells of every plate: four of controls, one of each of four compounds."""
    rows = []
    for plate in plates:
        for well in range(8):
            compound = "DMSO" if well < 4 else f"c{well - 4}"
            rows += [
                {
                    "Metadata_Plate": plate,
                    "Metadata_Well": f"A{well + 1:02d}",
                    "Metadata_Site": str(site),
                    "DNA": f"{plate}/{well}_{site}.tif",
                    "Compound": compound,
                    "MOA": "" if compound == "DMSO" else f"m{well % 2}",
                }
                for site in (1, 2)
            ]
    return pd.DataFrame(rows)


def made_up_project(root: Path, index: pd.DataFrame | None = None, settings: dict | None = None) -> Workshop:
    """A project with the assets that profiles start from; its plates are registered."""
    index = site_index() if index is None else index
    for folder in ("config", "metadata", "images"):
        (root / "inputs" / folder).mkdir(parents=True)
    text = json.dumps(settings or configuration())
    (root / "inputs" / "config" / "cnn.json").write_text(text, encoding="utf-8")
    workshop = Workshop(root)
    annotate(workshop, index)
    write_cells(root, index)
    return workshop


def annotate(workshop: Workshop, index: pd.DataFrame) -> None:
    """Write the index, and make what follows from it."""
    index.to_csv(workshop.root / "inputs" / "metadata" / "index.csv", index=False)
    assert workshop.make("image_index").succeeded
    for plate in index["Metadata_Plate"].unique():
        assert workshop.make("plate_annotations", plate=plate).succeeded


def write_cells(
    root: Path, index: pd.DataFrame, *, plates: tuple[str, ...] | None = None, **origin: str
) -> None:
    """Publish `cell_features`; a label moves its cells. `origin` is model and layer."""
    random = np.random.default_rng(0)
    shifts = {"": 0.0, "m0": 3 * random.normal(size=FEATURES), "m1": 3 * random.normal(size=FEATURES)}
    facts = {"model": "this one", "layer": "features", **origin}
    for plate, sites in index.groupby("Metadata_Plate"):
        if plates is not None and plate not in plates:
            continue
        sites = sites.loc[sites.index.repeat(CELLS)]
        shift = np.stack([np.broadcast_to(shifts.get(label, 0.0), FEATURES) for label in sites["MOA"]])
        values = (random.normal(size=shift.shape) + shift).astype(np.float32)
        keys = {name: sites[name].tolist() for name in ("Metadata_Plate", "Metadata_Well", "Metadata_Site")}
        cells = {**keys, "Metadata_Cell": [str(row % CELLS) for row in range(len(sites))]}
        table = pa.table(
            {
                **{name: pa.array(column, pa.string()) for name, column in cells.items()},
                **{f"cnn_{number}": values[:, number] for number in range(FEATURES)},
            }
        )
        path = root / "outputs" / "cnn" / "features" / f"{plate}.parquet"
        write_table(
            path, with_provenance(table, fingerprint=f"{plate} {facts}", **facts), SCHEMAS["cell_features"]
        )


def profile(workshop: Workshop, *plates: str) -> dict[str, Ran]:
    """Site and well profiles of some plates."""
    made = {plate: workshop.make(*RAW, plate=plate) for plate in plates}
    assert all(ran.succeeded for ran in made.values())
    return made
