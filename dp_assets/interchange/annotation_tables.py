"""What annotation tables tell of the rows of a table of profiles: joined on the columns that both have.

A table with plates and wells tells of wells; one with compounds and concentrations tells of treatments. Names
are compared without `Metadata_`, without stains and without case; wells as A01, numbers by their value,
plates and all other text as they are written.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from dp_assets.interchange.annotation_files import AnnotationTable, read_annotation
from dp_assets.interchange.annotation_values import RowValues, same_number, values_by_key
from dp_assets.interchange.column_names import (
    IMAGE_ROLE,
    PLATE_ROLE,
    SITE_ROLE,
    TABLE_ROLE,
    WELL_ROLE,
    NamedColumns,
    names_image_file,
    normal_well,
    same_name,
    shown_names,
)
from dp_assets.interchange.table_batches import TableFileError

__all__ = ["AnnotationTable", "JoinFacts", "Joined", "join_annotations", "read_annotation"]

_METADATA = "Metadata_"
# Beside plate and well, the other part of a well's name in JUMP.
_SOURCE = "source"
_PLACES = (PLATE_ROLE, WELL_ROLE, SITE_ROLE)
_IDENTITIES = (*_PLACES, IMAGE_ROLE, TABLE_ROLE)
_EXAMPLES = 5


@dataclass(frozen=True)
class AnnotationJoin:
    """What one annotation table has brought.

    Attributes
    ----------
    file : its name.
    key : the columns that rows were looked up by.
    columns : the `Metadata_*` columns that it fills.
    left_out : columns that have several values for one key -> the first such key and its values.
    matched, unmatched : rows of the profiles with and without an entry.
    examples : keys of some of those without.
    """

    file: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    left_out: dict[str, str]
    matched: int
    unmatched: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class JoinFacts:
    """What all annotation tables have brought, in the order they were joined."""

    joins: tuple[AnnotationJoin, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """File name -> what it has brought, for JSON."""
        return {join.file: asdict(join) for join in self.joins}


@dataclass(frozen=True)
class Joined:
    """A table with its annotations.

    Attributes
    ----------
    table : the rows and columns that came in, and the new `Metadata_*` columns (strings, "" without entry)
        behind the other metadata.
    facts : what came from where.
    """

    table: pa.Table
    facts: JoinFacts


def join_annotations(table: pa.Table, annotations: Sequence[AnnotationTable]) -> Joined:
    """Add what annotation tables tell of each row, one table after the other.

    A later table may be joined on columns that an earlier one has brought: an image table brings compound and
    concentration, by which a list of mechanisms is looked up then.

    The key is plate and well (and site, and `Metadata_Source`) where both tables have plate and well, else
    all columns that both have. A column is joined when it has one value for every key; names of image files
    never are. Where the profiles have the column already, empty values are filled in.

    Parameters
    ----------
    table : rows of profiles or sites, with `Metadata_*` columns of strings.
    annotations : in the order of `profiles.annotations`.

    Raises
    ------
    TableFileError : a table has no column in common with the profiles, tells of none of the rows, brings no
        column, or contradicts a value that is there.
    """
    joins = []
    for annotation in annotations:
        table, join = _join(table, annotation)
        joins.append(join)
    return Joined(table, JoinFacts(tuple(joins)))


@dataclass(frozen=True)
class _Shared:
    """A column that both tables have, and how its values are compared."""

    name: str
    ours: str
    theirs: str
    form: Callable[[str], str]


def _join(table: pa.Table, annotation: AnnotationTable) -> tuple[pa.Table, AnnotationJoin]:
    ours = NamedColumns([name for name in table.column_names if name.startswith(_METADATA)])
    theirs = NamedColumns([name for name in annotation.table.column_names if "Unnamed: " not in name])
    key = _key(ours, theirs, annotation)
    found = _look_up(table, annotation, key)
    if found.matched == 0 and key[-1].name == SITE_ROLE and len(key) > 1:
        # Sites may be numbered otherwise in the two tables.
        key = key[:-1]
        found = _look_up(table, annotation, key)
    if (told := _told_column(key, theirs, annotation)) is not None:
        key = [shared for shared in key if shared is not told]
        found = _look_up(table, annotation, key)
    if found.matched == 0:
        raise _nothing_matches(table, annotation, key)
    values, left_out = values_by_key(annotation.table.select(_other_columns(key, theirs)), found)
    if not values:
        raise _brings_nothing(annotation, key, left_out)
    filled = []
    for name, texts in values.items():
        target = _target(name, theirs, table)
        table = _filled(table, target, texts, annotation, name, found)
        filled.append(target)
    return table, AnnotationJoin(
        file=annotation.path.name,
        key=tuple(shared.ours for shared in key),
        columns=tuple(filled),
        left_out=left_out,
        matched=found.matched,
        unmatched=table.num_rows - found.matched,
        examples=tuple(dict.fromkeys(map("/".join, found.without_entry)))[:_EXAMPLES],
    )


def _key(ours: NamedColumns, theirs: NamedColumns, annotation: AnnotationTable) -> list[_Shared]:
    """The columns to look rows up by; the site comes last."""
    places = [
        _Shared(role, ours.roles[role], theirs.roles[role], normal_well if role == WELL_ROLE else _form(role))
        for role in _PLACES
        if role in ours.roles and role in theirs.roles
    ]
    identities = {columns.roles.get(role) for columns in (ours, theirs) for role in _IDENTITIES}
    by_name = {same_name(name): name for name in reversed(ours.names) if name not in identities}
    others = [
        _Shared(name, by_name[same_name(name)], column, _form(name))
        for column in theirs.names
        if column not in identities and not theirs.second_spelling(column)
        for name in [theirs.plain(column)]
        if same_name(name) in by_name
    ]
    if {PLATE_ROLE, WELL_ROLE} <= {shared.name for shared in places}:
        return [*(shared for shared in others if same_name(shared.name) == _SOURCE), *places]
    if places or others:
        return [*others, *places]
    raise TableFileError(
        f"the table has no column in common with the profiles; it has {shown_names(theirs.names)}; "
        f"the profiles have {shown_names(ours.names)}",
        where=str(annotation.path),
        remedy="rename the columns that say which rows belong together, or put a table that connects both "
        "before it in profiles.annotations",
    )


def _told_column(key: Sequence[_Shared], theirs: NamedColumns, annotation: AnnotationTable) -> _Shared | None:
    """What a list tells whose columns the profiles have already: the mechanism, by compound and dose.

    It is compared then, and filled in where it is empty. None when the list has other columns beside the key,
    or when no column of the key has one value for each of the rest.
    """
    if _other_columns(key, theirs):
        return None
    for shared in sorted(key, key=lambda one: -theirs.names.index(one.theirs)):
        rest = [other for other in key if other is not shared]
        if not rest or shared.name in _PLACES:
            continue
        entries = _keys([annotation.table[other.theirs].to_pylist() for other in rest], rest)
        column = annotation.table.select([shared.theirs])
        if values_by_key(column, RowValues(entries, entries))[0]:
            return shared
    return None


def _other_columns(key: Sequence[_Shared], theirs: NamedColumns) -> list[str]:
    """What a table tells beside the key."""
    used = {shared.theirs for shared in key}
    return [name for name in theirs.names if name not in used and _is_annotation(name, theirs)]


def _form(name: str) -> Callable[[str], str]:
    """How values are compared: plates as text, since 01 and 1 may be two plates; others by their number."""
    return str.strip if name == PLATE_ROLE else same_number


def _look_up(table: pa.Table, annotation: AnnotationTable, key: Sequence[_Shared]) -> RowValues:
    rows = _keys([table[shared.ours].to_pylist() for shared in key], key)
    entries = _keys([annotation.table[shared.theirs].to_pylist() for shared in key], key)
    return RowValues(rows, entries)


def _keys(columns: Sequence[list[str | None]], key: Sequence[_Shared]) -> list[tuple[str, ...]]:
    forms = []
    for values, shared in zip(columns, key, strict=True):
        known = {value: shared.form(value or "") for value in dict.fromkeys(values)}
        forms.append([known[value] for value in values])
    return list(zip(*forms, strict=True))


def _is_annotation(name: str, theirs: NamedColumns) -> bool:
    """Not the name or number of an image, and not a place once more."""
    is_identity = name in {theirs.roles.get(role) for role in _IDENTITIES}
    return not (is_identity or theirs.second_spelling(name) or names_image_file(name))


def _target(name: str, theirs: NamedColumns, table: pa.Table) -> str:
    """The column that is filled: the one of this name that is there, or a new one."""
    plain = theirs.plain(name)
    there = (ours for ours in table.column_names if ours.startswith(_METADATA))
    return next((ours for ours in there if same_name(ours) == same_name(plain)), f"{_METADATA}{plain}")


def _filled(
    table: pa.Table,
    target: str,
    texts: list[str],
    annotation: AnnotationTable,
    column: str,
    found: RowValues,
) -> pa.Table:
    """The table with values where it has none. Raises TableFileError where it has others."""
    if target not in table.column_names:
        place = sum(name.startswith(_METADATA) for name in table.column_names)
        return table.add_column(place, target, pa.array(texts, pa.string()))
    old = [text or "" for text in table[target].to_pylist()]
    for row, (mine, new) in enumerate(zip(old, texts, strict=True)):
        if mine.strip() and new and same_number(mine) != same_number(new):
            raise TableFileError(
                f"{'/'.join(found.rows[row])} has {column} {new!r}, but the profiles have {target} {mine!r}",
                where=str(annotation.path),
                remedy="correct one of them, or rename the column of the table to have both",
            )
    merged = [mine if mine.strip() else new for mine, new in zip(old, texts, strict=True)]
    return table.set_column(table.column_names.index(target), target, pa.array(merged, pa.string()))


def _nothing_matches(table: pa.Table, annotation: AnnotationTable, key: Sequence[_Shared]) -> TableFileError:
    found = _look_up(table, annotation, key)
    mine = ", ".join(dict.fromkeys(map("/".join, found.rows[:_EXAMPLES])))
    entries = ", ".join(dict.fromkeys(map("/".join, found.entries[:_EXAMPLES])))
    return TableFileError(
        f"none of its {annotation.table.num_rows:,} rows is about the profiles: by "
        f"{' and '.join(shared.theirs for shared in key)} it has {entries}; the profiles have {mine}",
        where=str(annotation.path),
        remedy="write these values alike, or leave the table out of profiles.annotations",
    )


def _brings_nothing(
    annotation: AnnotationTable, key: Sequence[_Shared], left_out: dict[str, str]
) -> TableFileError:
    by = " and ".join(shared.theirs for shared in key)
    if not left_out:
        return TableFileError(
            f"the table has no column beside {by}, which the profiles have already",
            where=str(annotation.path),
            remedy="leave the table out of profiles.annotations, or add columns to it",
        )
    reasons = "; ".join(f"{name}: {values}" for name, values in list(left_out.items())[:_EXAMPLES])
    return TableFileError(
        f"no column has one value for every {by}: {reasons}",
        where=str(annotation.path),
        remedy="keep one value for each, or add the column that tells these rows apart to the profiles",
    )
