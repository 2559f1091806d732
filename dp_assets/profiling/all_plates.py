"""The profiles of all plates as one table."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from dp_assets.config.errors import StoreError
from dp_assets.storage.tables import read_provenance

METADATA = "Metadata_"


def join_plates(tables: Mapping[str, pa.Table], asset: str) -> pa.Table:
    """Stack the tables of plates, sorted by plate.

    A metadata column that some plates lack is empty there. The result carries no provenance.

    Parameters
    ----------
    tables : plate -> table of `Metadata_*` strings and float32 features.
    asset : whose tables these are, for messages.

    Raises
    ------
    StoreError : there is no plate; or plates differ in their features, or in the model or its layer that
        made them.
    """
    if not tables:
        raise StoreError(
            "no plate has been profiled", where=asset, remedy="run the stage `profile` for at least one plate"
        )
    _require_one_origin(tables, asset)
    names = [name for name in next(iter(tables.values())).column_names if not name.startswith(METADATA)]
    metadata = list(
        dict.fromkeys(
            name for table in tables.values() for name in table.column_names if name.startswith(METADATA)
        )
    )
    stacked = pa.concat_tables(
        [_completed(tables[plate], metadata, names) for plate in sorted(tables)]
    ).combine_chunks()
    return stacked.replace_schema_metadata(None)


def _completed(table: pa.Table, metadata: list[str], names: list[str]) -> pa.Table:
    empty = pa.array([""] * table.num_rows, pa.string())
    columns = {
        name: pc.fill_null(table[name], "") if name in table.column_names else empty for name in metadata
    }
    return pa.table({**columns, **{name: table[name] for name in names}})


def _require_one_origin(tables: Mapping[str, pa.Table], asset: str) -> None:
    origins: dict[tuple[str, ...], list[str]] = {}
    for plate, table in tables.items():
        features = [name for name in table.column_names if not name.startswith(METADATA)]
        facts = read_provenance(table.schema)
        model, layer = (str(facts.get(name, "unknown")) for name in ("model", "layer"))
        origins.setdefault((model, layer, *features), []).append(plate)
    if len(origins) > 1:
        found = "; ".join(
            f"{len(names)} features ({', '.join(names[:2])}, ...) of layer {layer} of model {model}: plates "
            f"{', '.join(plates[:5])}"
            for (model, layer, *names), plates in origins.items()
        )
        raise StoreError(
            f"the features of these plates were not made by one layer of one model: {found}",
            where=asset,
            remedy="run the stage `profile` again for the plates that were made by the former model",
        )
