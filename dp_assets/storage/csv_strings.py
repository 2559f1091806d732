"""CSV files as people and programs write them: every cell as the string that stands there."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from upath import UPath

from dp_assets.config.errors import ProjectError

CELLS_AT_ONCE = 2**22


def read_csv_strings(path: Path | UPath, error: type[ProjectError]) -> pd.DataFrame | None:
    """The rows of a CSV file; None when the file has no header either.

    Parameters
    ----------
    path : UTF-8, with or without a byte-order mark.
    error : what is raised when the file cannot be used.

    Returns
    -------
    Strings only, empty cells are empty strings, lines without any value are left out. The index, named
    "line", counts as editors do: the header is line 1. Columns without a name are called "Unnamed:
    <position>".

    Raises
    ------
    error : not UTF-8, a line with more cells than the header, two columns of one name.
    """
    return next(_parts(path, error, None), None)


def read_csv_header(path: Path | UPath, error: type[ProjectError]) -> list[str]:
    """The column names of a CSV file, in order; empty when it has none. Raises as `read_csv_strings`."""
    first = next(_parts(path, error, 1), None)
    return [] if first is None else list(first.columns)


def csv_parts(
    path: Path | UPath, error: type[ProjectError], columns: int, cells_at_once: int = CELLS_AT_ONCE
) -> Iterator[pd.DataFrame]:
    """The rows of a large CSV file, some at a time and in order, as `read_csv_strings` gives all of them.

    Parameters
    ----------
    columns : how many the file has (`read_csv_header`).
    cells_at_once : most values in memory at a time.
    """
    return _parts(path, error, max(1, cells_at_once // max(1, columns)))


def _parts(path: Path | UPath, error: type[ProjectError], rows: int | None) -> Iterator[pd.DataFrame]:
    names: list[str] | None = None
    line = 1
    try:
        with path.open("rb") as stream:
            # Without `header=None` a line that is one cell too long would shift every column by one,
            # silently.
            lines = pd.read_csv(
                stream,
                header=None,
                dtype=str,
                keep_default_na=False,
                na_filter=False,
                skip_blank_lines=False,
                encoding="utf-8-sig",
                chunksize=rows,
            )
            for part in [lines] if isinstance(lines, pd.DataFrame) else lines:
                found = part
                if names is None:
                    names, found = _column_names(part.iloc[0], path, error), part.iloc[1:]
                    line += 1
                table = found.set_axis(names, axis=1)
                table.index = pd.RangeIndex(line, line + len(table), name="line")
                line += len(table)
                yield table[(table != "").any(axis=1)]
    except pd.errors.EmptyDataError:
        return
    except (pd.errors.ParserError, UnicodeDecodeError) as problem:
        raise error(
            f"the file cannot be read: {str(problem).strip()}",
            where=str(path),
            remedy="save it as UTF-8 CSV with a header and as many cells in every line",
        ) from problem


def _column_names(header: pd.Series, path: Path | UPath, error: type[ProjectError]) -> list[str]:
    names = [name or f"Unnamed: {position}" for position, name in enumerate(header)]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise error(
            f"more than one column is called {', '.join(doubled)}",
            where=f"{path}, line 1",
            remedy="rename or remove all but one",
        )
    return names
