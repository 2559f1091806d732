"""Colours and marks of categories: few get one each, many share, a great many become a scale."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from dp_assets.figures.canvas import INK, SERIES_COLOURS

MOST_CATEGORIES = 15
SCALE = "viridis"
FAINT = "#c9d0d7"
# Tol's muted palette (2021), for categories beyond the first eight; those have another mark, too.
MORE_COLOURS = ("#332288", "#999933", "#882255", "#44aa99", "#ddcc77", "#aa4499", "#117733")
NOTHING = "none"
OTHER_COLOUR = "#98a2ad"
# What these words say is the same in every figure, so their colours are.
_FIXED = {
    "correct": ("#0072b2", "o"),
    "wrong": ("#d55e00", "s"),
    "not scored": (FAINT, "o"),
    "control": (INK, "s"),
    "treated": ("#56b4e9", "o"),
    "yes": ("#0072b2", "o"),
    "no": (FAINT, "o"),
}


@dataclass(frozen=True)
class Category:
    """One entry of a legend: its name, how many rows have it, its colour and its mark."""

    name: str
    count: int
    colour: str
    mark: str = "o"


@dataclass(frozen=True)
class Categories:
    """How rows are coloured.

    Attributes
    ----------
    entries : in the order of the legend.
    codes : (rows,) int, the entry of each row.
    is_scale : whether the entries are too many for a legend and their colours run along a scale.
    """

    entries: tuple[Category, ...]
    codes: np.ndarray
    is_scale: bool = False

    @property
    def colours(self) -> np.ndarray:
        """(rows,) the colour of each row."""
        return np.array([entry.colour for entry in self.entries], object)[self.codes]


def categorize(values: Sequence[str] | np.ndarray, *, most: int = MOST_CATEGORIES) -> Categories:
    """Give every category a colour and a mark.

    Up to `most` categories have one each, sorted by name as people do (P2 before P10). Of more, the most
    frequent have one and the rest are "others", unless that would be most of the rows: then all lie on a
    scale. The empty string is "none", in faint grey.

    Parameters
    ----------
    values : (rows,) str or bool.
    """
    texts = _as_texts(values)
    counts = Counter(text for text in texts if text)
    names = sorted(counts, key=natural_key)
    if len(names) > most:
        kept = [name for name, _ in sorted(counts.items(), key=lambda one: (-one[1], natural_key(one[0])))]
        kept = kept[:most]
        if 2 * sum(counts[name] for name in kept) < counts.total():
            return _scale(texts, names, counts)
        names = sorted(kept, key=natural_key)
    entries = [_entry(name, counts[name], place) for place, name in enumerate(names)]
    place_of = {name: place for place, name in enumerate(names)}
    left = counts.total() - sum(counts[name] for name in names)
    if left:
        entries.append(Category(f"{len(counts) - len(names)} others", left, OTHER_COLOUR))
    missing = len(texts) - counts.total()
    codes = [place_of.get(text, len(names)) if text else len(entries) for text in texts]
    if missing:
        entries.append(Category(NOTHING, missing, FAINT))
    return Categories(tuple(entries), np.array(codes, int))


def natural_key(text: str) -> tuple[tuple[bool, int, str], ...]:
    """For sorting names with numbers in them: `Week2` before `Week10`."""
    return tuple(
        (not part.isdigit(), int(part) if part.isdigit() else 0, part.lower())
        for part in re.split(r"([0-9]+)", text)
    )


def _as_texts(values: Sequence[str] | np.ndarray) -> list[str]:
    array = np.asarray(values)
    if array.dtype == bool:
        return ["yes" if value else "no" for value in array]
    return [str(value) for value in array]


def _entry(name: str, count: int, place: int) -> Category:
    if name in _FIXED:
        return Category(name, count, *_FIXED[name])
    first = len(SERIES_COLOURS)
    if place < first:
        return Category(name, count, SERIES_COLOURS[place])
    return Category(name, count, MORE_COLOURS[(place - first) % len(MORE_COLOURS)], "s")


def _scale(texts: Sequence[str], names: Sequence[str], counts: Counter[str]) -> Categories:
    steps = colormaps[SCALE](np.linspace(0, 1, len(names)))
    entries = [
        Category(name, counts[name], to_hex(colour)) for name, colour in zip(names, steps, strict=True)
    ]
    place_of = {name: place for place, name in enumerate(names)}
    missing = len(texts) - counts.total()
    if missing:
        entries.append(Category(NOTHING, missing, FAINT))
    codes = np.array([place_of.get(text, len(names)) for text in texts], int)
    return Categories(tuple(entries), codes, is_scale=True)
