"""Made well profiles for the real wells of BBBC021, with mechanisms planted so that the scores are known.

Every mechanism is a direction of its own, every plate has an offset and a gain for each feature. Some
treatments are given the direction of another mechanism: these, and only these, have a neighbour with another
label.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

PLATE, WELL = "Image_Metadata_Plate_DAPI", "Image_Metadata_Well_DAPI"
COMPOUND, CONCENTRATION = "Image_Metadata_Compound", "Image_Metadata_Concentration"
FEATURES = 60
SIGNAL = 20.0

# treatment -> the mechanism it is made to look like.
MISPLACED: Mapping[tuple[str, float], str] = {
    ("nocodazole", 1.0): "Eg5 inhibitors",
    ("AZ258", 1.0): "Protein degradation",
    ("AZ138", 0.3): "Microtubule destabilizers",
}


def wells_with_mechanisms(images: Path, mechanisms: Path) -> pd.DataFrame:
    """The wells of the image table: plate, well, compound, dose (a number), mechanism ("" if unknown)."""
    listed = pd.read_csv(images, dtype=str, keep_default_na=False).drop_duplicates([PLATE, WELL])
    known = pd.read_csv(mechanisms, dtype={"concentration": float})
    by_treatment = {(row.compound, row.concentration): row.moa for row in known.itertuples()}
    wells = listed[[PLATE, WELL, COMPOUND]].reset_index(drop=True)
    wells["dose"] = listed[CONCENTRATION].astype(float).to_numpy()
    wells["moa"] = [by_treatment.get(key, "") for key in zip(wells[COMPOUND], wells["dose"], strict=True)]
    return wells


def planted_features(
    wells: pd.DataFrame, misplaced: Mapping[tuple[str, float], str], seed: int = 0
) -> pd.DataFrame:
    """A row per well in CellProfiler's naming: plate, well and features, and nothing else."""
    random = np.random.default_rng(seed)
    axes = np.linalg.qr(random.normal(size=(FEATURES, FEATURES)))[0].T
    mechanisms = sorted(set(wells["moa"]) - {"", "DMSO"})
    directions = dict(zip(mechanisms, axes, strict=False))
    own = {key: axes[len(mechanisms) + number] for number, key in enumerate(misplaced)}
    values = random.normal(size=(len(wells), FEATURES))
    others: dict[tuple[str, float], np.ndarray] = {}
    for row, well in enumerate(wells.itertuples()):
        key = (getattr(well, COMPOUND), well.dose)
        if key in misplaced:
            values[row] += SIGNAL * (directions[misplaced[key]] + 0.7 * own[key])
        elif well.moa in directions:
            values[row] += SIGNAL * directions[well.moa]
        elif key[0] != "DMSO":
            values[row] += SIGNAL * others.setdefault(key, _unit(random.normal(size=FEATURES)))
    plates, numbers = np.unique(wells[PLATE].to_numpy(str), return_inverse=True)
    gain = np.exp(0.5 * random.normal(size=(len(plates), FEATURES)))
    offset = 100 * random.normal(size=(len(plates), FEATURES))
    values = values * gain[numbers] + offset[numbers]
    return pd.concat(
        [wells[[PLATE, WELL]], pd.DataFrame(values, columns=feature_names(), index=wells.index)], axis=1
    )


def feature_names() -> list[str]:
    """Names as CellProfiler writes them."""
    kinds = ("Cells_AreaShape", "Nuclei_Texture_AngularSecondMoment_DAPI", "Cytoplasm_Intensity_MeanActin")
    return [f"{kinds[number % 3]}_{number}" for number in range(FEATURES)]


def expected_scores(wells: pd.DataFrame, features: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """NSC and NSCB by the protocol, in plain loops: (right, of how many).

    z-score to the DMSO wells of each plate, mean of the wells of a treatment, cosine.
    """
    values = features[feature_names()].to_numpy()
    scaled = np.empty_like(values)
    for plate in set(wells[PLATE]):
        here = (wells[PLATE] == plate).to_numpy()
        controls = values[here & (wells[COMPOUND] == "DMSO").to_numpy()]
        scaled[here] = (values[here] - controls.mean(axis=0)) / controls.std(axis=0)
    labelled = wells[~wells["moa"].isin(["", "DMSO"])]
    treatments = []
    for (compound, _), group in labelled.groupby([COMPOUND, "dose"]):
        profile = scaled[group.index].mean(axis=0)
        weeks = ",".join(dict.fromkeys(plate.partition("_")[0] for plate in group[PLATE]))
        treatments.append((compound, group["moa"].iloc[0], weeks, _unit(profile)))
    single = {"Cholesterol-lowering", "Kinase inhibitors"}
    return {
        "nsc": _nearest(treatments, treatments, lambda one, other: one[0] != other[0]),
        "nscb": _nearest(
            [one for one in treatments if one[1] not in single],
            [one for one in treatments if one[1] not in single],
            lambda one, other: one[0] != other[0] and one[2] != other[2],
        ),
    }


def _nearest(
    queries: list[tuple], library: list[tuple], allowed: Callable[[tuple, tuple], bool]
) -> tuple[int, int]:
    right = 0
    for one in queries:
        candidates = [other for other in library if allowed(one, other)]
        best = max(candidates, key=lambda other: float(one[3] @ other[3]))
        right += best[1] == one[1]
    return right, len(queries)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
