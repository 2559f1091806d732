"""Profiles as AnnData (.h5ad), for scanpy and pycytominer."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from dp_assets.interchange.export_targets import appearing_file, require_free
from dp_assets.storage.profile_columns import TREATMENT
from dp_assets.storage.profile_parts import feature_array, feature_names, metadata_names
from dp_assets.storage.schemas import PLATE, SITE, WELL


def export_h5ad(table: pa.Table, path: Path, *, overwrite: bool = False) -> Path:
    """Write profiles as AnnData: features in `X`, what a row is in `obs`.

    `X` is (rows, features) float32 with the features' names in `var_names`; `obs` holds the `Metadata_*`
    columns as categories of text, and `obs_names` are unique: plate_well, plate_well_site, or the treatment.

    Parameters
    ----------
    table : `Metadata_*` strings and float32 features.

    Raises
    ------
    ProjectError : the file is there, and may not be overwritten.
    """
    import anndata

    require_free([path], overwrite=overwrite)
    data = anndata.AnnData(
        feature_array(table),
        obs=pd.DataFrame(
            {name: _categories(table[name]) for name in metadata_names(table)},
            index=_objects(row_names(table)),
        ),
        var=pd.DataFrame(index=_objects(feature_names(table))),
    )
    with appearing_file(path) as temporary:
        data.write_h5ad(temporary)
    return path


def row_names(table: pa.Table) -> list[str]:
    """A name for every row, none twice: of the key it has (plate, well, site), or of its treatment."""
    key = [name for name in (PLATE, WELL, SITE) if name in table.column_names]
    columns = key if WELL in key else [TREATMENT]
    parts = [table[name].to_pylist() for name in columns if name in table.column_names]
    names = ["_".join(values) for values in zip(*parts, strict=True)] or [""] * table.num_rows
    if len(set(names)) < len(names):
        return [f"{name}_{number}" for number, name in enumerate(names)]
    return names


def _objects(values: list[str]) -> pd.Index:
    # anndata 0.12 cannot write the string type that pandas 3 would choose.
    return pd.Index(np.asarray(values, dtype=object), dtype=object)


def _categories(column: pa.ChunkedArray) -> pd.Categorical:
    codes, found = pd.factorize(np.asarray(column.to_pylist(), dtype=object), sort=True)
    return pd.Categorical.from_codes(codes, categories=_objects(list(found)))
