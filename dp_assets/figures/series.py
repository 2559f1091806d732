"""How the curves, points and bars of one experiment look in every figure."""

from dp_assets.figures.canvas import SERIES_COLOURS

_LINES = ("-", "--", ":")


def series_colour(place: int) -> str:
    """The colour of the experiment at a place of the list."""
    return SERIES_COLOURS[place % len(SERIES_COLOURS)]


def series_line(place: int) -> str:
    """The line style of the experiment at a place; it tells apart the ones of equal colour."""
    return _LINES[place // len(SERIES_COLOURS) % len(_LINES)]
