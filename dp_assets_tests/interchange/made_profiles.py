"""Made tables of profiles: two plates of two batches, controls, labels, features of known values."""

import numpy as np
import pyarrow as pa

PLATES = ("Week1_1", "Week2_1")
WELLS = ("A01", "A02", "B01", "B02", "C01", "C02")
COMPOUNDS = ("DMSO", "DMSO", "taxol", "taxol", "ALLN", "ALLN")
LABELS = ("", "", "Microtubule, stabilizers", "Microtubule, stabilizers", "Protein degradation", "")


def made_wells(features: int = 8, seed: int = 0) -> pa.Table:
    """A table of schema `profiles`: 12 wells, two controls on each plate; treatments keep to themselves."""
    random = np.random.default_rng(seed)
    rows = len(PLATES) * len(WELLS)
    centres = {compound: random.normal(size=features) for compound in dict.fromkeys(COMPOUNDS)}
    values = np.stack([centres[compound] for compound in COMPOUNDS * len(PLATES)])
    values = (values + 0.1 * random.normal(size=(rows, features))).astype(np.float32)
    plates = [plate for plate in PLATES for _ in WELLS]
    compounds = list(COMPOUNDS) * len(PLATES)
    text = {
        "Metadata_Plate": plates,
        "Metadata_Well": list(WELLS) * len(PLATES),
        "Metadata_Treatment": [f"{compound}@1" for compound in compounds],
        "Metadata_Compound": compounds,
        "Metadata_Concentration": ["1"] * rows,
        "Metadata_MOA": list(LABELS) * len(PLATES),
        "Metadata_Batch": [plate.partition("_")[0] for plate in plates],
        "Metadata_Control": ["true" if compound == "DMSO" else "false" for compound in compounds],
        "Metadata_Replicate": ["1", "2"] * (rows // 2),
        "Metadata_Cell_Count": [str(100 + row) for row in range(rows)],
    }
    columns = {name: pa.array(values, pa.string()) for name, values in text.items()}
    return pa.table(columns | {f"cnn_{n}": pa.array(column) for n, column in enumerate(values.T.copy())})


def made_treatments(features: int = 8, seed: int = 0) -> pa.Table:
    """A table of schema `treatment_profiles`: the treated compounds of `made_wells`, one row each."""
    wells = made_wells(features, seed)
    keep = ["Metadata_Treatment", "Metadata_Compound", "Metadata_Concentration", "Metadata_MOA"]
    rows = wells.take(pa.array([2, 4])).drop_columns(
        ["Metadata_Plate", "Metadata_Well", "Metadata_Replicate", "Metadata_Cell_Count"]
    )
    return rows.select([*keep, *(name for name in rows.column_names if name not in keep)])
