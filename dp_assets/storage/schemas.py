"""The one registry of table schemas: what every table of the graph must hold.

`Metadata_*` columns are strings, sites and cell numbers too: number-typed metadata ends up among the features
in AnnData and JUMP tools. Anything in a profile table that is not a feature starts with `Metadata_`.
"""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from dp_assets.config.errors import Problem, StoreError
from dp_assets.storage.profile_columns import REPLICATE, ROLES, TREATMENT

PLATE = "Metadata_Plate"
WELL = "Metadata_Well"
SITE = "Metadata_Site"
CELL = "Metadata_Cell"
CENTER_X = "Nuclei_Location_Center_X"
CENTER_Y = "Nuclei_Location_Center_Y"
SITE_KEY = (PLATE, WELL, SITE)
CELL_KEY = (PLATE, WELL, SITE, CELL)

# Columns of the second and further targets of a training set, without their number.
FURTHER_TARGETS = {"target_": pa.string(), "class_index_": pa.int32()}

Extra = Literal["none", "strings", "metadata", "features", "profiles", "targets", "any"]


@dataclass(frozen=True)
class TableSchema:
    """What a table must hold.

    Attributes
    ----------
    name : the asset's name, used in messages.
    required : name -> (type, nullable), in order; they come first in the table.
    extra : what further columns may be: "strings"; "metadata" (strings named `Metadata_*`); "features"
        (float32, not named `Metadata_*`); "profiles" (`Metadata_*` strings and float32 features); "targets"
        (strings `target_2`, ... and int32 `class_index_2`, ...); "any".
    key : columns that together name a row; no two rows may share them.
    """

    name: str
    required: dict[str, tuple[pa.DataType, bool]]
    extra: Extra = "none"
    key: tuple[str, ...] = ()

    def problems(self, table: pa.Table) -> tuple[Problem, ...]:
        """Everything in which `table` differs from this schema; empty when it fits."""
        found = [*self.schema_problems(table.schema)]
        if not found:
            found += self._null_problems(table)
            found += self._key_problems(table)
        return tuple(found)

    def schema_problems(self, schema: pa.Schema) -> list[Problem]:
        """What is wrong with the columns and types alone (all that can be known of a stream beforehand)."""
        found = []
        for name, (kind, _) in self.required.items():
            if name not in schema.names:
                found.append(self._problem(f"column {name} is missing", name))
            elif schema.names.count(name) == 1 and schema.field(name).type != kind:
                found.append(
                    self._problem(f"column {name} is {schema.field(name).type}; expected {kind}", name)
                )
        if len(set(schema.names)) != len(schema.names):
            doubled = sorted({name for name in schema.names if schema.names.count(name) > 1})
            found.append(self._problem(f"columns occur twice: {', '.join(doubled)}", doubled[0]))
        for field in schema:
            if field.name not in self.required and not _allowed(self.extra, field):
                found.append(
                    self._problem(f"column {field.name} ({field.type}) does not belong here", field.name)
                )
        return found

    def enforce(self, table: pa.Table) -> pa.Table:
        """`table` itself when it fits; StoreError with every problem otherwise."""
        problems = self.problems(table)
        if problems:
            raise StoreError(problems)
        return table

    def _null_problems(self, table: pa.Table) -> list[Problem]:
        return [
            self._problem(f"column {name} has {table[name].null_count} empty values", name)
            for name, (_, nullable) in self.required.items()
            if not nullable and table[name].null_count
        ]

    def _key_problems(self, table: pa.Table) -> list[Problem]:
        if not self.key or table.num_rows < 2:
            return []
        counts = table.group_by(list(self.key)).aggregate([([], "count_all")])
        doubled = counts.filter(pc.greater(counts["count_all"], 1))
        if doubled.num_rows == 0:
            return []
        first = ", ".join(str(doubled[name][0]) for name in self.key)
        return [
            self._problem(
                f"{doubled.num_rows} keys occur more than once, the first is ({first})", self.key[0]
            )
        ]

    def _problem(self, what: str, column: str) -> Problem:
        return Problem(
            what, f"table {self.name}: {column}", f"materialize {self.name} again; if it stays, report a bug"
        )


def _allowed(extra: Extra, field: pa.Field) -> bool:
    is_metadata = field.name.startswith("Metadata_") and pa.types.is_string(field.type)
    is_feature = not field.name.startswith("Metadata_") and field.type == pa.float32()
    return {
        "none": False,
        "strings": pa.types.is_string(field.type),
        "metadata": is_metadata,
        "features": is_feature,
        "profiles": is_metadata or is_feature,
        "targets": FURTHER_TARGETS.get(field.name.rstrip("0123456789")) == field.type,
        "any": True,
    }[extra]


def _columns(*names: str) -> dict[str, tuple[pa.DataType, bool]]:
    return {name: (pa.string(), False) for name in names}


IMAGE_INDEX = TableSchema("image_index", _columns(*SITE_KEY), extra="strings", key=SITE_KEY)

PLATE_IMAGES = TableSchema(
    "plate_images",
    {
        **_columns(*SITE_KEY, "channel", "path"),
        "height": (pa.int32(), True),
        "width": (pa.int32(), True),
        "dtype": (pa.string(), True),
        "bytes": (pa.int64(), True),
        "fingerprint": (pa.string(), True),
        "problem": (pa.string(), True),
    },
    key=(*SITE_KEY, "channel"),
)

IMAGE_QUALITY = TableSchema(
    "image_quality",
    {
        **_columns(*SITE_KEY, "channel"),
        "focus_slope": (pa.float64(), True),
        "coarse_slope": (pa.float64(), True),
        **dict.fromkeys(
            ("saturated_fraction", "noise", "p1", "p50", "p75", "p90", "p97", "p99_9"), (pa.float64(), False)
        ),
    },
    key=(*SITE_KEY, "channel"),
)

PLATE_OUTLINES = TableSchema(
    "plate_outlines",
    {
        **_columns(*SITE_KEY),
        "path": (pa.string(), True),
        "height": (pa.int32(), True),
        "width": (pa.int32(), True),
        "dtype": (pa.string(), True),
        "fingerprint": (pa.string(), True),
        "problem": (pa.string(), True),
    },
    key=SITE_KEY,
)

PLATE_ANNOTATIONS = TableSchema("plate_annotations", _columns(*SITE_KEY), extra="metadata", key=SITE_KEY)

CELL_LOCATIONS = TableSchema(
    "cell_locations",
    {**_columns(*CELL_KEY), CENTER_X: (pa.float64(), False), CENTER_Y: (pa.float64(), False)},
    extra="any",
    key=CELL_KEY,
)

CROP_INDEX = TableSchema(
    "crop index",
    {
        **_columns(*CELL_KEY),
        "offset": (pa.int64(), False),
        "length": (pa.int32(), False),
        "origin_row": (pa.int32(), False),
        "origin_col": (pa.int32(), False),
        "centre_row": (pa.float64(), False),
        "centre_col": (pa.float64(), False),
        "array_rows": (pa.int32(), False),
        "array_cols": (pa.int32(), False),
        "original_rows": (pa.int32(), False),
        "original_cols": (pa.int32(), False),
        "flat_channels": (pa.string(), False),
    },
    key=CELL_KEY,
)

MASKED_CROP_INDEX = TableSchema(
    "masked crop index", {**CROP_INDEX.required, "object": (pa.int64(), False)}, key=CELL_KEY
)

TRAINING_SET = TableSchema(
    "training_set",
    {
        **_columns(*CELL_KEY, "target", "split"),
        "class_index": (pa.int32(), False),
        "store_row": (pa.int64(), False),
    },
    extra="targets",
    key=CELL_KEY,
)

CELL_FEATURES = TableSchema("cell_features", _columns(*CELL_KEY), extra="features", key=CELL_KEY)

WELL_PROFILES = TableSchema("well_profiles", _columns(PLATE, WELL), extra="profiles", key=(PLATE, WELL))

SITE_PROFILES = TableSchema("site_profiles", _columns(*SITE_KEY), extra="profiles", key=SITE_KEY)

_ROLES = _columns(*ROLES)

CORRECTED_SITES = TableSchema(
    "corrected_sites", {**_columns(*SITE_KEY), **_ROLES}, extra="profiles", key=SITE_KEY
)

PROFILES = TableSchema("profiles", {**_columns(PLATE, WELL), **_ROLES}, extra="profiles", key=(PLATE, WELL))

TREATMENT_PROFILES = TableSchema(
    "treatment_profiles",
    {name: kind for name, kind in _ROLES.items() if name != REPLICATE},
    extra="profiles",
    key=(TREATMENT,),
)

SIMILARITY = TableSchema("similarity", _columns(TREATMENT), extra="profiles", key=(TREATMENT,))

PROFILE_MAP = TableSchema(
    "profile_map",
    {
        **_columns("Metadata_Level", TREATMENT, PLATE, WELL),
        **{name: (pa.float32(), False) for name in ("umap_1", "umap_2", "tsne_1", "tsne_2")},
    },
    extra="metadata",
)

CORRECTION_SWEEP = TableSchema(
    "correction_sweep",
    {
        "regularization": (pa.float64(), False),
        "score": (pa.string(), False),
        "half": (pa.string(), False),
        "split": (pa.int32(), False),
        "value": (pa.float64(), True),
        "n": (pa.int32(), False),
        "chosen": (pa.bool_(), False),
    },
)

SCHEMAS = {
    schema.name: schema
    for schema in (
        IMAGE_INDEX,
        PLATE_IMAGES,
        IMAGE_QUALITY,
        PLATE_OUTLINES,
        PLATE_ANNOTATIONS,
        CELL_LOCATIONS,
        CROP_INDEX,
        MASKED_CROP_INDEX,
        TRAINING_SET,
        CELL_FEATURES,
        WELL_PROFILES,
        SITE_PROFILES,
        CORRECTED_SITES,
        PROFILES,
        TREATMENT_PROFILES,
        SIMILARITY,
        PROFILE_MAP,
        CORRECTION_SWEEP,
    )
}
