"""Pictures of the maps of wells and treatments."""

from collections.abc import Mapping, Sequence

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.orchestration.results import picture
from dp_assets.storage.profile_columns import BATCH, COMPOUND, CONTROL, IS_CONTROL, LABEL
from dp_assets.storage.schemas import PLATE, WELL

LEVEL = "Metadata_Level"
# Of more compounds nobody tells the colours apart.
MOST_COMPOUNDS = 60
COORDINATES = ("umap_1", "umap_2", "tsne_1", "tsne_2")
MAPS = {"UMAP": COORDINATES[:2], "t-SNE": COORDINATES[2:]}


def map_pictures(table: pa.Table) -> Mapping[str, dg.MarkdownMetadataValue]:
    """Wells and treatments on the UMAP, by label, plate, batch and control; on the t-SNE by label."""
    found = {}
    for level in ("well", "treatment"):
        rows = table.filter(pc.equal(table[LEVEL], level))
        if not rows.num_rows:
            continue
        found[f"{level}s_umap"] = picture(
            draw_map(rows, "UMAP", map_colourings(rows, level)), f"UMAP of {level}s"
        )
        found[f"{level}s_tsne"] = picture(
            draw_map(rows, "t-SNE", {"label": _text(rows, LABEL)}), f"t-SNE of {level}s"
        )
    return found


def draw_map(rows: pa.Table, projection: str, colourings: Mapping[str, Sequence[str] | np.ndarray]) -> bytes:
    """One of the two maps, once for every colouring.

    Parameters
    ----------
    rows : of one level, of a table of schema `profile_map`.
    projection : "UMAP" or "t-SNE".
    colourings : heading -> (rows,).
    """
    from dp_assets.figures.profile_map import profile_map

    places = np.stack([rows[name].to_numpy() for name in MAPS[projection]], axis=1)
    level = rows[LEVEL][0].as_py()
    return profile_map(places, colourings, f"{projection} of {level}s", axis=projection)


def map_colourings(rows: pa.Table, level: str) -> dict[str, np.ndarray]:
    """Heading -> (rows,) what wells or treatments are, without what is the same for all."""
    control = np.where(_text(rows, CONTROL) == IS_CONTROL, "control", "treated")
    shown = {"label": _text(rows, LABEL), "batch": _text(rows, BATCH), "compound": _text(rows, COMPOUND)}
    if level == "well":
        shown |= {"plate": _text(rows, PLATE), "control": control}
    if level == "well" or len(set(shown["compound"])) > MOST_COMPOUNDS:
        del shown["compound"]
    return {name: values for name, values in shown.items() if len(set(values)) > 1} or {
        "label": shown["label"]
    }


def places_of_wells(wells: ProfileSet, table: pa.Table) -> np.ndarray:
    """(wells, 2), where each well lies on the UMAP; NaN for those that are not on it."""
    rows = table.filter(pc.equal(table[LEVEL], "well"))
    keys = zip(rows[PLATE].to_pylist(), rows[WELL].to_pylist(), strict=True)
    umap = np.stack([rows[name].to_numpy() for name in MAPS["UMAP"]], axis=1)
    found = dict(zip(keys, umap, strict=True))
    nowhere = np.full(2, np.nan)
    keys_of_wells = zip(wells.plates, wells.wells, strict=True)
    return np.array([found.get(key, nowhere) for key in keys_of_wells]).reshape(len(wells), 2)


def _text(rows: pa.Table, name: str) -> np.ndarray:
    return np.array(rows[name].to_pylist(), object)
