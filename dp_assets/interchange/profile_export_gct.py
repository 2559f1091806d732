"""Profiles as GCT, the text format of Morpheus (https://software.broadinstitute.org/morpheus)."""

import warnings
from pathlib import Path

import pyarrow as pa

from dp_assets.config.errors import ProjectError
from dp_assets.interchange.export_targets import appearing_file, require_free
from dp_assets.storage.profile_parts import feature_names, metadata_names

# Characters that end a field or a line of the format.
_SEPARATORS = ("\t", "\n", "\r", '"')


def export_gct(table: pa.Table, path: Path, *, overwrite: bool = False) -> Path:
    """Write profiles as GCT 1.3 with pycytominer: a row per feature, a column per profile.

    Parameters
    ----------
    table : `Metadata_*` strings and float32 features. The format names columns without `Metadata_`.

    Raises
    ------
    ProjectError : the file is there, and may not be overwritten; or a value holds a tab or a line break.
    """
    import pandas as pd
    from pycytominer.cyto_utils.write_gct import write_gct

    require_free([path], overwrite=overwrite)
    _require_plain_text(table, path)
    with appearing_file(path) as temporary, warnings.catch_warnings():
        # It inserts columns one by one; that is its business, and no user's.
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
        write_gct(
            table.to_pandas(),
            str(temporary),
            features=feature_names(table),
            meta_features=metadata_names(table),
        )
    return path


def _require_plain_text(table: pa.Table, path: Path) -> None:
    for name in metadata_names(table):
        for value in table[name].unique().to_pylist():
            if value and any(mark in value for mark in _SEPARATORS):
                raise ProjectError(
                    f"{name} is {value!r}; GCT cannot hold tabs, quotation marks and line breaks",
                    where=str(path),
                    remedy="correct the table it comes from, or export to another format",
                )
