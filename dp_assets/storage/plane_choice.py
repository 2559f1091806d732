"""Which plane of a file a channel of the index means, where its path does not say everything."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.image_planes import WHOLE_FILE, PlaneSelection, Projection

_NAMES_SHOWN = 12


@dataclass(frozen=True)
class ResolvedPlane:
    """One plane of a file, or a projection of several, with nothing left open.

    Attributes
    ----------
    channel, t : numbers counted from 0.
    z : the numbers of the planes along z; several for a projection.
    projection : "max" or "mean" over them; None for a single plane.
    selection : how it is written behind a path.
    """

    channel: int
    t: int
    z: range
    projection: Projection | None
    selection: PlaneSelection


@dataclass(frozen=True)
class StackLayout:
    """What a file of several planes holds.

    Attributes
    ----------
    channels, z, t : how many.
    names : one per channel where the file gives names (empty text for those without), else empty.
    pages : planes of which the file does not say what they are (nothing else is known then); else 1.
    """

    channels: int = 1
    z: int = 1
    t: int = 1
    names: tuple[str, ...] = ()
    pages: int = 1

    def __str__(self) -> str:
        if self.pages > 1:
            return f"{self.pages} pages, the file does not say of what"
        counts = [
            f"{count} {one if count == 1 else many}"
            for count, one, many in (
                (self.channels, "channel", "channels"),
                (self.z, "plane along z", "planes along z"),
                (self.t, "time point", "time points"),
            )
            if count > 1
        ]
        named = f" ({self._listed()})" if self.channels > 1 and any(self.names) else ""
        return (", ".join(counts) or "one plane") + named

    def _listed(self) -> str:
        shown = [f"{number} {name!r}" for number, name in enumerate(self.names[:_NAMES_SHOWN])]
        return ", ".join(shown) + (", ..." if len(self.names) > _NAMES_SHOWN else "")


@dataclass(frozen=True)
class ChannelRequest:
    """The channel of a field of view that a path stands for, as index and configuration have it.

    Attributes
    ----------
    selection : what the path says.
    column : the channel's name, which is that of its index column.
    position, channels : its number and all names, in the order of `dataset.images.channels`.
    sharing : how many channels of the field are in the same file, this one included.
    z : `dataset.images.z`.
    others_numbered : whether the path of another channel says which channel of the same file it is.
    """

    selection: PlaneSelection = WHOLE_FILE
    column: str = ""
    position: int = 0
    channels: tuple[str, ...] = ()
    sharing: int = 1
    z: int | Projection | None = None
    others_numbered: bool = False

    def in_order(self, planes: int) -> bool:
        """Whether the channels of the field are the planes of the file, one after the other.

        Not where some paths are numbered: two channels could come out as the same plane.
        """
        return self.sharing == len(self.channels) == planes and not self.others_numbered


def resolve_plane(layout: StackLayout, request: ChannelRequest, where: str) -> ResolvedPlane:
    """The plane of a file that a channel of the index means.

    Channel: as the path says; else the channel of the file with the name of the index column; else, when all
    columns name this file, none of them with a channel, and it has as many channels as they are, the one in
    the column's position. Plane along z: as the path says, else `dataset.images.z`.

    Raises
    ------
    ImageFileError : the file does not have it, or has several and nothing says which; what the file holds and
        what to write are in the message.
    """
    known = _with_known_pages(layout, request, where)
    said = request.selection
    channel = _channel(known, request, where)
    t = _checked_number("t", said.t, known.t, known, where)
    if t is None:
        raise _refused(known, where, "write #t= and the number of a time point behind its path", said)
    z = _z(known, request, where)
    selection = PlaneSelection(
        # Pages that were taken for planes along z have no channel.
        channel=None if known.z > layout.z else channel,
        z=z if known.z > 1 else None,
        t=t if known.t > 1 else None,
    )
    if isinstance(z, int):
        return ResolvedPlane(channel, t, range(z, z + 1), None, selection)
    return ResolvedPlane(channel, t, range(known.z), z, selection)


def _with_known_pages(layout: StackLayout, request: ChannelRequest, where: str) -> StackLayout:
    """The layout, with pages of unknown meaning taken for channels or for planes along z."""
    if layout.pages == 1:
        return layout
    said = request.selection
    silent = said == WHOLE_FILE
    if (silent and request.in_order(layout.pages)) or (said.channel is not None and said.z is None):
        return replace(layout, channels=layout.pages, pages=1)
    projected = silent and request.z is not None and request.sharing == 1
    if projected or (said.z is not None and said.channel is None):
        return replace(layout, z=layout.pages, pages=1)
    raise _refused(
        layout, where, "write #c= or #z= and a number (from 0) behind its path, or set dataset.images.z", said
    )


def _channel(layout: StackLayout, request: ChannelRequest, where: str) -> int:
    said = request.selection.channel
    if isinstance(said, int):
        number = _checked_number("c", said, layout.channels, layout, where)
        return number or 0
    if said is not None:
        return _channel_named(said, layout, where)
    if layout.channels == 1:
        return 0
    names = layout.names
    if names.count(request.column) == 1:
        return names.index(request.column)
    if request.in_order(layout.channels) and not any(name in names for name in request.channels):
        return request.position
    raise _refused(
        layout,
        where,
        f"write {_example(layout)} behind its path (column {request.column})",
        request.selection,
    )


def _channel_named(name: str, layout: StackLayout, where: str) -> int:
    if layout.names.count(name) == 1:
        return layout.names.index(name)
    if name in layout.names:
        raise _refused(layout, where, f"several are called {name!r}: write the number of one, #c=0")
    raise ImageFileError(
        f"there is no channel {name!r}; the image has {layout}",
        where=where,
        remedy="correct #c= behind the path in the index",
    )


def _example(layout: StackLayout) -> str:
    name = next((name for name in layout.names if name and not name.isdecimal()), None)
    return "#c=0 or another number" + (f", or #c={quote(name, safe='')}," if name else "")


def _z(layout: StackLayout, request: ChannelRequest, where: str) -> int | Projection:
    said = request.selection.z
    if layout.z == 1:
        if isinstance(said, int):
            _checked_number("z", said, 1, layout, where)
        return 0
    wanted = said if said is not None else request.z
    if wanted is None:
        raise _refused(
            layout,
            where,
            "set dataset.images.z (max, mean or the number of a plane), or write #z=max behind its path",
            request.selection,
        )
    if isinstance(wanted, int):
        _checked_number("z", wanted, layout.z, layout, where)
    return wanted


def _checked_number(key: str, number: int | None, count: int, layout: StackLayout, where: str) -> int | None:
    """`number`, or 0 when there is nothing to choose; None when nothing says which."""
    if number is None:
        return 0 if count == 1 else None
    if number >= count:
        raise ImageFileError(
            f"there is no {key}={number} (numbers begin with 0); the image has {layout}",
            where=where,
            remedy=f"correct #{key}= behind the path in the index"
            + (", or dataset.images.z" if key == "z" else ""),
        )
    return number


def _refused(
    layout: StackLayout, where: str, what_to_do: str, said: PlaneSelection = WHOLE_FILE
) -> ImageFileError:
    after = f", and #{said.fragment} leaves open which is meant" if said else ""
    # What to do is part of what is wrong: tables of problems have room for one text.
    return ImageFileError(
        f"expected a single image; the file has {layout}{after}: {what_to_do}",
        where=where,
        remedy=what_to_do,
    )


def names_in_order(names: Sequence[str | None], channels: int) -> tuple[str, ...]:
    """Channel names as a layout holds them: one each, or none at all."""
    found = tuple((name or "").strip() for name in names)
    return found if len(found) == channels and any(found) else ()
