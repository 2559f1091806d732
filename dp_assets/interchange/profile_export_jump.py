"""Profiles as the JUMP Cell Painting consortium lays them out: a file per plate, metadata as categories."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dp_assets.config.errors import ProjectError
from dp_assets.interchange.export_targets import require_free
from dp_assets.interchange.profile_export_table import export_csv, export_parquet
from dp_assets.storage.profile_columns import BATCH, CONTROL, IS_CONTROL
from dp_assets.storage.profile_parts import feature_names, metadata_names
from dp_assets.storage.schemas import PLATE, SITE, WELL

SOURCE = "Metadata_Source"
PERTURBATION_TYPE = "Metadata_pert_type"
TREATED, NEGATIVE_CONTROL = "trt", "negcon"
DEFAULT_SOURCE = "dp_assets"
# Of the consortium's profiling recipe.
CSV_NUMBERS = "%.5g"
_NO_BATCH = "Batch"


def export_jump(
    table: pa.Table,
    folder: Path,
    *,
    source: str | None = None,
    with_csv: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write well profiles as `profiles/<batch>/<plate>/<plate>.parquet` below a folder.

    First come Metadata_Source, Metadata_Plate, Metadata_Well and Metadata_pert_type ("trt" or "negcon",
    unless the table has one), then the other metadata, all as dictionaries (categories), then float32
    features.
    Columns `Location_*` are left out: readers take whatever does not start with "Meta" for a feature.

    Parameters
    ----------
    table : well profiles with `Metadata_Batch` and `Metadata_Control`.
    source : the data-generating centre; None for what the table says, else "dp_assets".
    with_csv : write `<plate>.csv.gz` beside it, with five digits.

    Returns
    -------
    The files, plates in order.

    Raises
    ------
    ProjectError : the rows are not wells; or a file is there, and may not be overwritten.
    """
    if WELL not in table.column_names or SITE in table.column_names:
        raise ProjectError(
            "JUMP's files hold profiles of wells",
            where=str(folder),
            remedy="use --level well, or another format",
        )
    described = _jump_columns(table, source)
    endings = (".parquet", ".csv.gz") if with_csv else (".parquet",)
    plates = list(_plates(described, folder))
    _require_distinct([place for place, _ in plates])
    targets = [place.with_name(place.name + ending) for place, _ in plates for ending in endings]
    require_free(targets, overwrite=overwrite)
    written = []
    for place, rows in plates:
        parquet = place.with_name(place.name + ".parquet")
        written.append(export_parquet(_with_categories(rows), parquet, overwrite=overwrite))
        if with_csv:
            csv = place.with_name(place.name + ".csv.gz")
            written.append(export_csv(rows, csv, number_format=CSV_NUMBERS, overwrite=overwrite))
    return written


def _jump_columns(table: pa.Table, source: str | None) -> pa.Table:
    columns = {name: table[name] for name in metadata_names(table)}
    if source is not None or SOURCE not in columns:
        columns[SOURCE] = pa.array([source or DEFAULT_SOURCE] * table.num_rows, pa.string())
    if PERTURBATION_TYPE not in columns and CONTROL in columns:
        is_control = pc.equal(table[CONTROL], IS_CONTROL)
        columns[PERTURBATION_TYPE] = pc.if_else(is_control, NEGATIVE_CONTROL, TREATED)
    first = [name for name in (SOURCE, PLATE, WELL, PERTURBATION_TYPE) if name in columns]
    others = [name for name in columns if name not in first]
    features = [name for name in feature_names(table) if not name.startswith("Location_")]
    return pa.table(
        {**{name: columns[name] for name in (*first, *others)}, **{name: table[name] for name in features}}
    )


def _plates(table: pa.Table, folder: Path) -> Iterator[tuple[Path, pa.Table]]:
    """The place of each plate (without ending) and its rows."""
    plates = np.asarray(table[PLATE].to_pylist(), dtype=object)
    batches = np.asarray(
        table[BATCH].to_pylist() if BATCH in table.column_names else [""] * len(plates), dtype=object
    )
    for batch, plate in sorted(set(zip(batches, plates, strict=True))):
        rows = np.flatnonzero((plates == plate) & (batches == batch))
        name = _folder_name(plate)
        yield folder / "profiles" / _folder_name(batch or _NO_BATCH) / name / name, table.take(pa.array(rows))


def _require_distinct(places: list[Path]) -> None:
    doubled = [place for place in places if places.count(place) > 1]
    if doubled:
        raise ProjectError(
            "two plates would have this place: their names differ only in characters no folder can have",
            where=str(doubled[0]),
            remedy="rename one of the plates or batches, or export to another format",
        )


def _folder_name(text: str) -> str:
    """`text` as the name of a folder: nothing in it leads elsewhere."""
    return re.sub(r"[/\\:\0]|^\.+", "_", text)


def _with_categories(table: pa.Table) -> pa.Table:
    columns = {name: table[name].dictionary_encode() for name in metadata_names(table)}
    return pa.table({**columns, **{name: table[name] for name in feature_names(table)}})
