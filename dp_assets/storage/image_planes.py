"""Which plane of a file with several is meant: `A01_s1.ome.tif#c=DNA&z=max`.

c is a channel (its number counted from 0, or its name), z a plane (number, `max` or `mean`), t a time point
(number). What a path leaves open is found in the file, in the index and in the configuration, or refused
(`plane_choice`).
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

from dp_assets.config.errors import ImageFileError

Projection = Literal["max", "mean"]
PROJECTIONS = ("max", "mean")

_FRAGMENT = re.compile(r"[czt]=[^&#]*(&[czt]=[^&#]*)*")


@dataclass(frozen=True)
class PlaneSelection:
    """What a path says about the plane; None where it says nothing.

    Attributes
    ----------
    channel : number counted from 0, or name.
    z : number counted from 0, or "max" or "mean" over all planes.
    t : number of the time point, counted from 0.
    """

    channel: int | str | None = None
    z: int | Projection | None = None
    t: int | None = None

    @property
    def fragment(self) -> str:
        """As it stands behind the `#` of a path; empty when nothing is said."""
        parts = (("c", self.channel), ("z", self.z), ("t", self.t))
        return "&".join(f"{key}={quote(str(value), safe='')}" for key, value in parts if value is not None)

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return self != WHOLE_FILE


WHOLE_FILE = PlaneSelection()


def split_plane(value: str) -> tuple[str, PlaneSelection]:
    """A path of the index without its plane, and the plane.

    A `#` that no `c=`, `z=` or `t=` follows belongs to the file's name.

    Raises
    ------
    ImageFileError : a `z` or `t` that is no plane, or a key given twice.
    """
    file, mark, fragment = value.rpartition("#")
    if not mark or not file or not _FRAGMENT.fullmatch(fragment):
        return value, WHOLE_FILE
    pairs = [part.split("=", 1) for part in fragment.split("&")]
    said = {key: unquote(text).strip() for key, text in pairs}
    if len(said) != len(pairs):
        raise _unusable(value, f"#{fragment} says the same twice")
    for key, text in said.items():
        if not text or (key == "t" and not _is_number(text)):
            raise _unusable(value, f"{key}={text} names no plane")
        if key == "z" and not (_is_number(text) or text in PROJECTIONS):
            raise _unusable(value, f"z={text} names no plane")
    return file, PlaneSelection(
        channel=_number_or(said.get("c")),
        z=_number_or(said.get("z")),  # type: ignore[arg-type]
        t=_number_or(said.get("t")),  # type: ignore[arg-type]
    )


def join_plane(file: str, selection: PlaneSelection) -> str:
    """A path with the plane behind it."""
    return f"{file}#{selection.fragment}" if selection else file


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _number_or(text: str | None) -> int | str | None:
    return int(text) if text is not None and _is_number(text) else text


def _unusable(value: str, what: str) -> ImageFileError:
    return ImageFileError(
        f"{what}; c is a channel's number or name, z a number, max or mean, t a number (from 0)",
        where=value,
        remedy="correct the path in the index",
    )
