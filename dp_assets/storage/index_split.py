"""Dividing the image index into parts for several machines (handbook 4, `split`)."""

from pathlib import Path

import pandas as pd

from dp_assets.config.errors import ImageIndexError, ProjectError
from dp_assets.storage.index_file import find_index, read_index_strings
from dp_assets.storage.schemas import PLATE, WELL


def split_index(index: Path, parts: int, by: str = "plate") -> list[Path]:
    """Write `index-000.csv`, `index-001.csv`, ... beside the index; together they hold every row once.

    Parameters
    ----------
    index : the image index, or the folder where it has its usual name.
    parts : how many files.
    by : "plate" keeps plates whole (illumination functions need all images of a plate); "well" keeps wells
        whole.

    Returns
    -------
    The files, in order; their numbers of rows differ by no more than the largest plate (or well).

    Raises
    ------
    ImageIndexError : there is no index. ProjectError : fewer plates (or wells) than parts.
    """
    path = index / find_index(index).name if index.is_dir() else index
    frame = read_index_strings(path)
    columns = [PLATE] if by == "plate" else [PLATE, WELL]
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ImageIndexError(
            f"column {', '.join(missing)} is missing", where=str(path), remedy="add it to the index"
        )
    groups = [group for _, group in frame.groupby(columns, sort=False)]
    if not 1 <= parts <= len(groups):
        raise ProjectError(
            f"{parts} parts were asked for; the index has {len(groups)} {by}s",
            where=str(path),
            remedy=f"ask for 1 to {len(groups)} parts" + (", or split by well" if by == "plate" else ""),
        )
    return [_write_part(path, number, rows) for number, rows in enumerate(_shared_out(groups, parts))]


def _shared_out(groups: list[pd.DataFrame], parts: int) -> list[pd.DataFrame]:
    """Give each group, largest first, to the part with the fewest rows so far; rows keep their order."""
    shares: list[list[pd.DataFrame]] = [[] for _ in range(parts)]
    for group in sorted(groups, key=len, reverse=True):
        min(shares, key=lambda share: sum(map(len, share))).append(group)
    return [pd.concat(share).sort_index() for share in shares]


def _write_part(index: Path, number: int, rows: pd.DataFrame) -> Path:
    path = index.with_name(f"{index.stem}-{number:03d}.csv")
    rows.to_csv(path, index=False)
    return path
