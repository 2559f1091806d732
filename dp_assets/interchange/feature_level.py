"""What a row of another program's feature table is: a cell, a site or a well."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dp_assets.interchange.feature_rows import FeatureSource, RowKeys
from dp_assets.interchange.table_batches import TableFileError

Level = Literal["cell", "site", "well"]
_SHOWN = 5
_ENOUGH_ROWS = 1_000
_CELLS_PER_SITE = 5


def find_level(source: FeatureSource, asked: Literal["auto", "cell", "site", "well"]) -> Level:
    """What the rows are.

    With "auto": a cell where most sites have several rows; else a site where a column of its own tells the
    site, or where most wells have several images; else a well. A few keys that come twice are no cells:
    `check_unique` complains of them.

    Raises
    ------
    TableFileError : wells have several rows, and nothing tells whether these are sites or cells; sites are
        asked for, and nothing tells them apart.
    """
    if asked == "site" and not source.sites_known:
        raise TableFileError(
            "no column tells the site of a row",
            where="features.level",
            remedy='name it in features.site_field, or write "level": "cell" or "well"',
        )
    if asked != "auto":
        return asked
    if source.always_cells:
        return "cell"
    sites: Counter[tuple[str, str, str]] = Counter()
    wells: Counter[tuple[str, str]] = Counter()
    for keys in source.row_keys():
        sites.update(zip(keys.plate, keys.well, keys.site, strict=True))
        wells.update(zip(keys.plate, keys.well, strict=True))
        if source.sites_known and _surely_cells(sites):
            return "cell"
    if source.sites_known:
        if _mostly_several(sites):
            return "cell"
        return "site" if source.sites_named or _mostly_several(wells) else "well"
    if _mostly_several(wells):
        well, rows = wells.most_common(1)[0]
        raise TableFileError(
            f"well {'/'.join(well)} has {rows} rows, and nothing tells whether they are cells or sites",
            where="features.level",
            remedy='write "level": "cell", or name the column with the site in features.site_field',
        )
    return "well"


def _surely_cells(sites: Counter) -> bool:
    """Whether enough rows have been seen of a table that may be of many gigabytes."""
    return sites.total() >= max(_ENOUGH_ROWS, _CELLS_PER_SITE * len(sites)) and _mostly_several(sites)


def _mostly_several(counts: Counter) -> bool:
    """Whether most keys come more than once."""
    several = sum(count > 1 for count in counts.values())
    return 2 * several > len(counts)


def check_unique(parts: Sequence[RowKeys], level: Level) -> None:
    """Raise TableFileError when a site or well has more than one row; the first ones are named."""
    first: dict[tuple[str, ...], tuple[Path, int]] = {}
    doubled: list[str] = []
    count = 0
    for keys in parts:
        columns = (keys.plate, keys.well) if level == "well" else (keys.plate, keys.well, keys.site)
        for key, number in zip(zip(*columns, strict=True), keys.numbers, strict=True):
            before = first.setdefault(key, (keys.path, int(number)))
            if before != (keys.path, int(number)):
                count += 1
                if len(doubled) < _SHOWN:
                    other = "" if before[0] == keys.path else f"{before[0].name}, "
                    doubled.append(
                        f"{'/'.join(key)} ({other}row {before[1]}; {keys.path.name}, row {number})"
                    )
    if doubled:
        more = f", and {count - _SHOWN} more" if count > _SHOWN else ""
        raise TableFileError(
            f"there is more than one row for {', '.join(doubled)}{more}",
            where="features.files",
            remedy=f"keep one row per {level}, or say in features.level what else a row is",
        )
