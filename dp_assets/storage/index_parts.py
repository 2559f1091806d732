"""Parts of the image index that arrive in a folder: checked, merged into the index, put away.

A part is an index of some plates, in the format of the index. It is merged as a whole or not at all: the
index is replaced by one rename, and only then is the part moved. Killed in between, the next merge finds
every row of the part listed already, adds nothing, and moves it.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from dp_assets.config.errors import ImageIndexError, Problem, ProjectError
from dp_assets.storage.atomic import write_bytes
from dp_assets.storage.fingerprints import fingerprint_bytes
from dp_assets.storage.held_names import TEMPORARY_MARK
from dp_assets.storage.index_file import (
    MOST_PROBLEMS,
    IndexLocation,
    read_index,
    read_index_strings,
)
from dp_assets.storage.schemas import SITE_KEY

PART_ENDINGS = (".csv", ".parquet")
PROBLEM_ENDING = ".problem.txt"
TAKEN = "taken"


@dataclass(frozen=True)
class Part:
    """A file in the watched folder.

    Attributes
    ----------
    path : the file.
    fingerprint : of its bytes when it was looked at.
    """

    path: Path
    fingerprint: str


@dataclass(frozen=True)
class TakenPart:
    """A part that is in the index now.

    Attributes
    ----------
    name : of its file.
    rows : how many rows it added; those listed already are not counted.
    """

    name: str
    rows: int


def waiting_parts(folder: Path) -> list[Part]:
    """The parts in the folder, by name. Hidden files and those ending in .tmp are still being written."""
    if not folder.is_dir():
        return []
    return [
        Part(path, fingerprint_bytes(path.read_bytes()))
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in PART_ENDINGS
        and not path.name.startswith(".")
        and not path.name.endswith(TEMPORARY_MARK)
        and path.is_file()
    ]


def take_part(part: Part, index: IndexLocation, channels: Sequence[str], taken: Path) -> TakenPart:
    """Merge a part into the index, then move it to the folder `taken`.

    Parameters
    ----------
    part : as it was looked at.
    index : where the index lies, or will lie when there is none yet.
    channels : the columns with image paths.
    taken : where parts go that are in the index.

    Raises
    ------
    ImageIndexError : the part cannot be read, has other columns than the index, or lists a field of view in
        another way than the index does. Index and part are as they were.
    """
    data = part.path.read_bytes()
    if fingerprint_bytes(data) != part.fingerprint:
        raise ImageIndexError(
            "the file changed while it was read", where=str(part.path), remedy="wait until it is complete"
        )
    read_index(IndexLocation(part.path, index.images, index.image_roots), channels)
    rows = read_index_strings(part.path)
    added = len(rows)
    if not index.path.exists():
        write_bytes(index.path, _as_ending(data, part.path, index.path))
    else:
        listed = read_index_strings(index.path)
        new = _new_rows(rows, listed, part.path, index.path)
        added = len(new)
        if added:
            write_bytes(index.path, _extended(index.path, new))
    _put_away(part.path, data, taken)
    return TakenPart(part.path.name, added)


def _new_rows(rows: pd.DataFrame, listed: pd.DataFrame, part: Path, index: Path | UPath) -> pd.DataFrame:
    """The rows of a part that the index does not list, in the order of its columns."""
    if set(rows.columns) != set(listed.columns):
        lacking = [name for name in listed.columns if name not in rows.columns]
        more = [name for name in rows.columns if name not in listed.columns]
        found = [f"lacks {', '.join(lacking)}"] if lacking else []
        found += [f"has {', '.join(more)} besides"] if more else []
        raise ImageIndexError(
            f"the part has other columns than the index: it {' and '.join(found)}",
            where=str(part),
            remedy=f"give it the columns of {index}",
        )
    rows = rows[list(listed.columns)]
    known = dict(zip(_keys(listed), listed.itertuples(index=False, name=None), strict=True))
    problems, is_new = [], []
    for number, key, row in zip(
        rows.index, _keys(rows), rows.itertuples(index=False, name=None), strict=True
    ):
        is_new.append(key not in known)
        if key in known and known[key] != row:
            column, here, there = next(
                (name, new, old)
                for name, new, old in zip(rows.columns, row, known[key], strict=True)
                if new != old
            )
            problems.append(
                Problem(
                    f"plate {key[0]}, well {key[1]}, site {key[2]} is in the index already, with {column} "
                    f"{there!r} instead of {here!r}",
                    f"{part}, {rows.index.name} {number}",
                    f"remove this row, or change {index} itself",
                )
            )
    if problems:
        raise ImageIndexError(problems[:MOST_PROBLEMS])
    return rows[is_new]


def _keys(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    return list(frame[list(SITE_KEY)].itertuples(index=False, name=None))


def _extended(index: Path | UPath, new: pd.DataFrame) -> bytes:
    """The index file with further rows; what stands in it stays as it is."""
    old = index.read_bytes()
    if index.suffix == ".parquet":
        return _extended_parquet(old, new, str(index))
    # An index ends its lines as its header does.
    ending = "\r\n" if b"\r\n" in old.split(b"\n", 1)[0] + b"\n" else "\n"
    lines = new.to_csv(index=False, header=False, lineterminator=ending).encode()
    gap = b"" if old.endswith(b"\n") else ending.encode()
    return old + gap + lines


def _extended_parquet(old: bytes, new: pd.DataFrame, where: str) -> bytes:
    table = pq.read_table(io.BytesIO(old), page_checksum_verification=True)
    names = [name for name in table.column_names if name in new.columns]
    table = table.select(names)
    columns = []
    for name in names:
        kind = table.schema.field(name).type
        values = pa.array(new[name].astype(object), pa.string())
        try:
            columns.append(values if pa.types.is_string(kind) else values.cast(kind))
        except pa.ArrowInvalid as error:
            raise ImageIndexError(
                f"column {name} of the index holds {kind}, and the part something else: {error}",
                where=where,
                remedy="save the index with text in this column",
            ) from error
    added = pa.Table.from_arrays(columns, schema=table.schema)
    stream = io.BytesIO()
    pq.write_table(pa.concat_tables([table, added]), stream, write_page_checksum=True)
    return stream.getvalue()


def _as_ending(data: bytes, part: Path, index: Path | UPath) -> bytes:
    """The bytes of a part as the first index; parts and index may be of two formats."""
    if part.suffix.lower() == index.suffix:
        return data
    frame = read_index_strings(part)
    if index.suffix == ".parquet":
        stream = io.BytesIO()
        frame.to_parquet(stream, index=False)
        return stream.getvalue()
    return frame.to_csv(index=False, lineterminator="\n").encode()


def _put_away(part: Path, data: bytes, taken: Path) -> None:
    """Move a part whose rows are in the index; another one of its name that lies there stays."""
    place, number = taken / part.name, 1
    while place.exists() and place.read_bytes() != data:
        number += 1
        place = taken / f"{part.stem}-{number}{part.suffix}"
    if not place.exists():
        # copied, not renamed: the watched folder may lie on another disk
        write_bytes(place, data)
    part.unlink()
    problem_file(part).unlink(missing_ok=True)


def problem_file(part: Path) -> Path:
    """Where it stands why a part is not taken."""
    return part.with_name(part.name + PROBLEM_ENDING)


def explain(part: Part, error: ProjectError) -> None:
    """Write beside a part why it is not taken, unless that stands there."""
    path, text = problem_file(part.path), f"{error}\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_bytes(path, text.encode())


def forget_problems(folder: Path) -> None:
    """Remove the words on parts that are not there any more."""
    for path in folder.glob(f"*{PROBLEM_ENDING}") if folder.is_dir() else ():
        if not path.with_name(path.name.removesuffix(PROBLEM_ENDING)).exists():
            path.unlink(missing_ok=True)
