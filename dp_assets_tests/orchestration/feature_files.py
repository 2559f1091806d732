"""External experiments over small tables with a planted structure."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from dp_assets_tests.orchestration.materializing import Workshop

PLATES, COMPOUNDS, MECHANISMS, CONTROLS = ("P1", "P2", "P3", "P4"), 8, 4, 4


def planted_wells(seed: int = 0, effect: float = 4.0) -> pd.DataFrame:
    """Four plates, each with four controls and one well of every compound; two compounds share a mechanism.

    Columns are named as CellProfiler names them. A mechanism moves its wells by `effect` in directions of its
    own, so that the nearest treatment of another compound has the same mechanism.
    """
    random = np.random.default_rng(seed)
    shifts = effect * random.normal(size=(MECHANISMS, 12))
    rows = []
    for number, plate in enumerate(PLATES):
        kinds = [("DMSO", "")] * CONTROLS + [(f"c{c}", f"m{c % MECHANISMS}") for c in range(COMPOUNDS)]
        for well, (compound, mechanism) in enumerate(kinds):
            shift = shifts[int(mechanism[1:])] if mechanism else 0.0
            values = random.normal(size=12) + shift
            rows.append(
                {
                    "Metadata_Plate": plate,
                    "Metadata_Well": f"{'ABCDEFGH'[well // 6]}{well % 6 + 1:02d}",
                    "Metadata_Batch": f"B{number // 2}",
                    "Metadata_Compound": compound,
                    "Metadata_MOA": mechanism,
                    **{f"Cells_Intensity_F{i}": value for i, value in enumerate(values)},
                }
            )
    return pd.DataFrame(rows)


def external_experiment(**changes: object) -> dict:
    """A configuration that scores `wells.csv` against DMSO, quick enough for tests."""
    return {
        "features": {"files": ["wells.csv"]},
        "profiles": {
            "treatment_fields": ["Compound"],
            "control_field": "Compound",
            "control_values": ["DMSO"],
            "correction": {"method": "sphering", "regularization": 0.1},
            "regularization_sweep": {"values": [1.0, 0.1], "splits": 2},
        },
        "evaluation": {"permutations": 200, "bootstraps": 50, "null_draws": 50, "ks": [1, 2]},
        **changes,
    }


def write_external(root: Path, table: pd.DataFrame, experiments: dict[str, dict]) -> Workshop:
    """A project of external experiments over one table."""
    for folder in ("config", "features", "metadata"):
        (root / "inputs" / folder).mkdir(parents=True)
    table.to_csv(root / "inputs" / "features" / "wells.csv", index=False)
    for name, settings in experiments.items():
        (root / "inputs" / "config" / f"{name}.json").write_text(json.dumps(settings), encoding="utf-8")
    return Workshop(root)


def lane(name: str, *, sweep: bool = True) -> tuple[str, ...]:
    """The assets of an external experiment, as strings."""
    assets = (
        "site_profiles",
        "well_profiles",
        "corrected_sites",
        "profiles",
        "treatment_profiles",
        "similarity",
        "profile_map",
        "evaluation",
        *(("correction_sweep",) if sweep else ()),
    )
    return tuple(f"{name}/{asset}" for asset in assets)
