"""Which columns of another program's table are features, which say where a row comes from, and the rest.

Every program has its own rule. CellProfiler: names begin with the object and the measurement
(`Cells_AreaShape_Area`); positions, counts, parents and object numbers are no features. pycytominer and
JUMP: what does not begin with `Metadata_` (`Meta` in JUMP) is a feature. DeepProfiler: one name with running
numbers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dp_assets.config.profile_sections import FeaturesSettings
from dp_assets.interchange.column_names import (
    IMAGE_ROLE,
    PLATE_ROLE,
    SITE_ROLE,
    TABLE_ROLE,
    WELL_ROLE,
    NamedColumns,
    same_name,
    shown_names,
)
from dp_assets.interchange.table_batches import TableColumn, TableFileError

_STATISTIC = r"(?:(?:Mean|Median|StDev|Std)_)?"
_COMPARTMENT = re.compile(_STATISTIC + r"(?:Cells|Cytoplasm|Nuclei)_")
_MEASUREMENT = re.compile(
    _STATISTIC + r"(?:[A-Za-z0-9]+_)?(?:AreaShape|AreaOccupied|Colocalization|Correlation|Granularity|"
    r"ImageQuality|Intensity|Math|Neighbors|ObjectSkeleton|RadialDistribution|Texture)_"
)
# Where an object lies, what it is called, and what belongs to it.
_OF_OBJECTS = re.compile(
    r"(?:[A-Za-z0-9]+_){0,2}(?:Location_|Parent_|Children_|Number_Object_Number$|Object_?Number$|"
    r"AreaShape_Center_[XYZ]$|AreaShape_BoundingBox(?:Minimum|Maximum)_[XYZ]$|"
    r"Neighbors_(?:First|Second)ClosestObjectNumber(?:_|$))"
)
_OF_IMAGES = re.compile(
    r"(?:Image_)?(?:Count|FileName|PathName|URL|MD5Digest|ExecutionTime|ModuleError|ProcessingStatus|ImageSet|"
    r"Group_Index|Group_Number|Group_Length)(?:_|$)"
    r"|Image_(?:Width|Height|Scaling|Series|Frame|Channel)(?:_|$)"
    r"|(?:Image_)?(?:Image_?Number|Table_?Number)$"
)
_COUNT = re.compile(r"(?:.+_)?(?:cell|cells|nuclei|object|objects|site|well)s?_?count$", re.IGNORECASE)
_METADATA = re.compile(r"(?:Image_)*Metadata", re.IGNORECASE)
_NUMBERED = re.compile(r"(?P<stem>.+)_(?P<number>\d+)")
# Of one's own code: `0`, `PC1`, `emb_0`.
_ENDS_IN_NUMBER = re.compile(r"(?P<stem>.*?)_?(?P<number>\d+)")
_NO_NAME = re.compile(r"Unnamed: \d+|__index_level_\d+__")
_CELL_COUNTS = ("cell_count", "count_cells", "count_nuclei", "object_count", "nuclei_count")
_LEAST_NUMBERED = 8
_MOST_CARRIED = 64
_IDENTITIES = (PLATE_ROLE, WELL_ROLE, SITE_ROLE)


@dataclass(frozen=True)
class FeatureColumns:
    """The columns of a table of features.

    Attributes
    ----------
    roles : "plate", "well", "site", "image", "table", "object" -> column, for those that are there.
    features : in the order of the file.
    metadata : column -> its name among our annotations (`Metadata_*`).
    cell_count : the column with the number of cells of an image or well, or None.
    unused : other columns of numbers.
    positions : measurements of objects that say where these lie, how many there are and what they are
        called (`Cells_Location_Center_X`, `Nuclei_Number_Object_Number`); never features by themselves.
    """

    roles: dict[str, str]
    features: tuple[str, ...]
    metadata: dict[str, str]
    cell_count: str | None
    unused: tuple[str, ...]
    positions: tuple[str, ...]


def recognise_columns(
    columns: Sequence[TableColumn], settings: FeaturesSettings, where: str
) -> FeatureColumns:
    """Sort the columns of a table by what they are.

    Parameters
    ----------
    settings : `format`, `feature_columns` (these win over the rules) and the names of plate, well and site.
    where : the file, for messages.

    Raises
    ------
    TableFileError : a column that the settings name is not there; no column is a feature.
    """
    columns = [column for column in columns if not _NO_NAME.fullmatch(column.name)]
    named = NamedColumns([column.name for column in columns])
    roles = {**named.roles, **_asked_roles(named, settings, where)}
    candidates = [
        column
        for column in columns
        if not _METADATA.match(column.name)
        and column.name not in roles.values()
        and not named.second_spelling(column.name)
    ]
    if settings.feature_columns is None:
        features = _by_rule([c for c in candidates if not _never(c.name)], columns, settings.format)
    else:
        features = _by_pattern([c.name for c in candidates], settings.feature_columns, where)
    if not features:
        raise TableFileError(
            f"no column is known to be a feature; columns are: {shown_names(c.name for c in columns)}",
            where=where,
            remedy='name the features in features.feature_columns, such as ["Cells_*", "Nuclei_*"]',
        )
    rest = _rest(columns, set(features), {roles[role] for role in _IDENTITIES if role in roles}, named)
    return FeatureColumns(
        roles=roles,
        features=tuple(features),
        metadata=_metadata_names(rest, named, roles),
        cell_count=_cell_count(columns),
        unused=tuple(
            c.name
            for c in candidates
            if c.kind == "number" and c.name not in {*features, *rest} and not _never(c.name)
        ),
        positions=tuple(
            c.name
            for c in candidates
            if c.kind == "number" and _COMPARTMENT.match(c.name) and _never(c.name) and c.name not in features
        ),
    )


def _asked_roles(named: NamedColumns, settings: FeaturesSettings, where: str) -> dict[str, str]:
    """The columns that the settings name."""
    asked = {
        PLATE_ROLE: settings.plate_field,
        WELL_ROLE: settings.well_field,
        SITE_ROLE: settings.site_field,
    }
    found = {}
    for role, name in asked.items():
        if name is None:
            continue
        column = named.find(name)
        if column is None:
            raise TableFileError(
                f"there is no column {name!r}; columns are: {shown_names(named.names)}",
                where=where,
                remedy=f"correct features.{role}_field, or leave it out to have the column found",
            )
        found[role] = column
    return found


def _never(name: str) -> bool:
    """Identifiers, positions, counts and names of files."""
    return any(pattern.match(name) for pattern in (_OF_OBJECTS, _OF_IMAGES, _COUNT))


def _by_pattern(names: Sequence[str], patterns: Sequence[str], where: str) -> list[str]:
    """The columns that the user means; a pattern never means an identifier or a count, its full name does."""
    found: set[str] = set()
    for pattern in patterns:
        matched = [name for name in names if name == pattern] or [
            name for name in names if fnmatchcase(name, pattern) and not _never(name)
        ]
        if not matched:
            raise TableFileError(
                f"no feature is called {pattern!r}; columns are: {shown_names(names)}",
                where=where,
                remedy="correct features.feature_columns; * stands for any letters, case counts",
            )
        found.update(matched)
    return [name for name in names if name in found]


def _by_rule(candidates: Sequence[TableColumn], columns: Sequence[TableColumn], format_: str) -> list[str]:
    """The features by the rule of the table's program."""
    names = [column.name for column in candidates]
    in_compartments = [name for name in names if _COMPARTMENT.match(name)]
    if format_ == "jump" or (format_ == "auto" and _is_jump(columns)):
        return [name for name in names if not name.startswith("Meta")]
    if format_ == "pycytominer":
        return names
    if format_ != "deepprofiler" and in_compartments:
        return in_compartments
    if format_ == "deepprofiler":
        return _numbered(names, 2, _NUMBERED)
    most = max(1, sum(column.kind == "number" for column in candidates)) / 2
    numbered = _numbered(names, _LEAST_NUMBERED, _ENDS_IN_NUMBER)
    if format_ == "auto" and len(numbered) >= most:
        return numbered
    measured = [name for name in names if _MEASUREMENT.match(name)]
    if format_ == "cellprofiler" or len(measured) >= most:
        return measured
    if any(_METADATA.match(column.name) for column in columns):
        return names
    return []


def _is_jump(columns: Sequence[TableColumn]) -> bool:
    return any(column.name in ("Metadata_Source", "Metadata_JCP2022") for column in columns)


def _numbered(names: Sequence[str], least: int, form: re.Pattern[str]) -> list[str]:
    """Names that differ in a running number from 0 or 1 only: `efficientnet_0`, `efficientnet_1`, ..."""
    stems: dict[str, list[int]] = {}
    for name in names:
        match = form.fullmatch(name)
        if match is not None:
            stems.setdefault(match["stem"], []).append(int(match["number"]))
    running = {
        stem
        for stem, numbers in stems.items()
        if len(numbers) >= least
        and min(numbers) <= 1
        and max(numbers) - min(numbers) + 1 == len(set(numbers)) == len(numbers)
    }
    matches = ((name, form.fullmatch(name)) for name in names)
    return [name for name, match in matches if match is not None and match["stem"] in running]


def _rest(
    columns: Sequence[TableColumn], features: set[str], identities: set[str], named: NamedColumns
) -> list[str]:
    """Columns that tell something of a row: metadata, image numbers, and others that are no measurements."""
    numbers = {named.roles[role] for role in (IMAGE_ROLE, TABLE_ROLE) if role in named.roles}
    told = [
        column
        for column in columns
        if column.name not in features | identities and not named.second_spelling(column.name)
    ]
    kept = [c.name for c in told if _METADATA.match(c.name) or c.name in numbers]
    others = [c for c in told if c.name not in kept and not _is_measured(c.name) and not _never(c.name)]
    if len(others) > _MOST_CARRIED:
        others = [column for column in others if column.kind == "text"]
    return [*kept, *(column.name for column in others)]


def _is_measured(name: str) -> bool:
    return bool(_COMPARTMENT.match(name) or _MEASUREMENT.match(name) or name.startswith("Image_"))


def _metadata_names(rest: Sequence[str], named: NamedColumns, roles: dict[str, str]) -> dict[str, str]:
    """Column -> `Metadata_*`; of two that come to one name the first counts."""
    taken = {same_name(role) for role in _IDENTITIES if role in roles}
    names = {}
    for column in rest:
        plain = named.plain(column)
        if plain.casefold() not in taken:
            taken.add(plain.casefold())
            names[column] = f"Metadata_{plain}"
    return names


def _cell_count(columns: Sequence[TableColumn]) -> str | None:
    by_name = {same_name(column.name): column.name for column in columns}
    return next((by_name[name] for name in _CELL_COUNTS if name in by_name), None)
