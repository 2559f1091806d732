"""CSV files as people and programs write them: every cell as the string that stands there."""

from pathlib import Path

import pandas as pd
from upath import UPath

from dp_assets.config.errors import ProjectError


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
            )
    except pd.errors.EmptyDataError:
        return None
    except (pd.errors.ParserError, UnicodeDecodeError) as problem:
        raise error(
            f"the file cannot be read: {str(problem).strip()}",
            where=str(path),
            remedy="save it as UTF-8 CSV with a header and as many cells in every line",
        ) from problem
    names = [name or f"Unnamed: {position}" for position, name in enumerate(lines.iloc[0])]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise error(
            f"more than one column is called {', '.join(doubled)}",
            where=f"{path}, line 1",
            remedy="rename or remove all but one",
        )
    rows = lines.iloc[1:].set_axis(names, axis=1)
    rows.index = pd.RangeIndex(2, len(lines) + 1, name="line")
    return rows[(rows != "").any(axis=1)]
