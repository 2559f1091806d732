"""The files of a field of view, each with the channels that are in it, so that each is read once."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from upath import UPath

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.allowed_paths import why_elsewhere
from dp_assets.storage.image_planes import WHOLE_FILE, Projection, join_plane
from dp_assets.storage.index_file import IndexLocation, locate_image
from dp_assets.storage.plane_choice import ChannelRequest
from dp_assets.storage.plane_files import inspect_planes


@dataclass(frozen=True)
class SiteFile:
    """A file that one or more channels of a site name.

    Attributes
    ----------
    row : number of the site.
    path, file : as in the index, without the plane; the file that is meant.
    channels, values, requests : numbers of the channels, their cells of the index, and what is known of each.
    problem : why the path names no file.
    """

    row: int
    path: str
    file: Path | UPath
    channels: list[int]
    values: list[str]
    requests: list[ChannelRequest]
    problem: ImageFileError | None = None


def files_of_site(
    number: int, row: dict, channels: tuple[str, ...], location: IndexLocation, z: int | Projection | None
) -> list[SiteFile]:
    """The files of one site, in the order in which its channels name them."""
    files: dict[str, SiteFile] = {}
    for position, channel in enumerate(channels):
        path, selection, problem = row[channel], WHOLE_FILE, None
        file: Path | UPath = location.images
        try:
            found = locate_image(row[channel], location)
            path, file, selection = found.path, found.file, found.selection
            refuse_elsewhere(file, location)
        except ImageFileError as error:
            problem = error
        here = files.setdefault(path, SiteFile(number, path, file, [], [], [], problem))
        here.channels.append(position)
        here.values.append(row[channel])
        here.requests.append(ChannelRequest(selection, channel, position, channels, z=z))
    return [replace(file, requests=_with_neighbours(file.requests)) for file in files.values()]


def refuse_elsewhere(file: Path | UPath, location: IndexLocation) -> None:
    """Raise ImageFileError where a symbolic link leads out of the folders that may hold images."""
    why = why_elsewhere(file, location.images, location.image_roots)
    if why:
        raise ImageFileError(why, where=str(file), remedy="add its folder to image_roots, or copy the file")


def _with_neighbours(requests: list[ChannelRequest]) -> list[ChannelRequest]:
    """The channels of one file, each with what is known of the others."""
    numbered = any(request.selection.channel is not None for request in requests)
    return [replace(request, sharing=len(requests), others_numbered=numbered) for request in requests]


def describe_file(file: SiteFile, *, maximum_pixels: int) -> list[dict]:
    """What plate_images says of each channel in a file."""
    if file.problem is not None:
        return [{"path": value, "problem": _in_words(file.problem)} for value in file.values]
    return [
        {"path": value, "problem": _in_words(found)}
        if isinstance(found, ImageFileError)
        else {"path": join_plane(file.path, found[1]), **asdict(found[0])}
        for value, found in zip(
            file.values, inspect_planes(file.file, file.requests, maximum_pixels), strict=True
        )
    ]


def _in_words(error: ImageFileError) -> str:
    return "; ".join(f"{problem.where}: {problem.what}" for problem in error.problems)
