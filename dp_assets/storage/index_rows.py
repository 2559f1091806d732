"""Adding the fields of view of a plate to the image index."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from upath import UPath

from dp_assets.config.errors import ImageIndexError
from dp_assets.storage.atomic import write_bytes
from dp_assets.storage.image_planes import PlaneSelection, join_plane
from dp_assets.storage.index_file import read_index_strings
from dp_assets.storage.plate_fields import PlateField
from dp_assets.storage.schemas import PLATE, SITE, SITE_KEY, WELL


def index_rows(
    plate: str, prefix: str, fields: Sequence[PlateField], channels: Mapping[str, PlaneSelection]
) -> pd.DataFrame:
    """One row per field of view, one column per channel with the image's path and plane.

    Parameters
    ----------
    prefix : the plate's folder, relative to `inputs/images` or absolute.
    channels : name -> how it is written behind a path.
    """
    rows = [
        {
            PLATE: plate,
            WELL: field.well,
            SITE: field.site,
            **{name: join_plane(f"{prefix}/{field.image}", plane) for name, plane in channels.items()},
        }
        for field in fields
    ]
    return pd.DataFrame(rows, dtype=object)


def add_to_index(index: Path | UPath, rows: pd.DataFrame, *, replace: bool) -> None:
    """Write the rows of a plate into the index (made when it is not there), all at once or not at all.

    Parameters
    ----------
    index : index.csv or index.parquet.
    rows : of one plate; columns that the index does not have are added, those that it has more are empty.
    replace : take the place of the plate's rows; what other columns say of the same fields stays.

    Raises
    ------
    ImageIndexError : the index lists the plate already, and `replace` is false; or it cannot be read.
    """
    table = _merged(read_index_strings(index), rows, index, replace) if index.exists() else rows
    sink = io.BytesIO()
    if index.suffix == ".parquet":
        table.to_parquet(sink, index=False)
    else:
        table.to_csv(sink, index=False)
    write_bytes(index, sink.getvalue())


def _merged(old: pd.DataFrame, rows: pd.DataFrame, index: Path | UPath, replace: bool) -> pd.DataFrame:
    missing = [name for name in SITE_KEY if name not in old.columns]
    if missing:
        raise ImageIndexError(
            f"column {', '.join(missing)} is missing", where=str(index), remedy="add it to the index"
        )
    plate = rows[PLATE].iloc[0]
    former = old[old[PLATE] == plate]
    if len(former) and not replace:
        raise ImageIndexError(
            f"the index has {len(former)} rows of plate {plate} already",
            where=str(index),
            remedy="give the plate another name with --plate, or put its rows in their place with --replace",
        )
    known = [name for name in old.columns if name not in rows.columns]
    annotated = rows.merge(
        former[[*SITE_KEY, *known]].drop_duplicates(list(SITE_KEY)), on=list(SITE_KEY), how="left"
    )
    order = [*old.columns, *(name for name in rows.columns if name not in old.columns)]
    return pd.concat([old[old[PLATE] != plate], annotated])[order].fillna("")
