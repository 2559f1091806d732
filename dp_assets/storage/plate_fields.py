"""The fields of view of a plate as its files name them: an OME-Zarr HCS plate, or a folder of OME-TIFFs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upath import UPath

from dp_assets.config.errors import ImageFileError, ImageIndexError
from dp_assets.storage.image_bytes import blaming_the_file
from dp_assets.storage.image_planes import PlaneSelection
from dp_assets.storage.index_file import why_outside
from dp_assets.storage.plane_files import read_layout
from dp_assets.storage.zarr_planes import DAMAGED_METADATA, ENDING, ome_metadata

TIFF_ENDINGS = (".tif", ".tiff", ".btf")
FILE_PATTERN = (
    r"(?<![A-Za-z0-9])(?P<well>[A-Za-z]{1,2}\d{1,2})"
    r"(?:[^A-Za-z0-9]+(?:s|f|site|field)?|s|f|site|field)[^A-Za-z0-9]*(?P<site>\d+)"
)
"""Well and site in names such as `A01_s1.ome.tif` and `B12_field_03.tif`.

The well stands alone and something stands between it and the site: neither is part of a longer number."""


@dataclass(frozen=True)
class PlateField:
    """One field of view.

    Attributes
    ----------
    well, site : its names.
    image : its file or Zarr group, relative to the plate's folder.
    """

    well: str
    site: str
    image: str


def find_fields(plate: Path | UPath, pattern: str = FILE_PATTERN) -> list[PlateField]:
    """The fields of view of a plate.

    Parameters
    ----------
    plate : an OME-Zarr plate (a folder that ends in `.zarr`), or a folder of TIFF files.
    pattern : regular expression with the groups `well` and `site`, searched in the names of TIFF files.

    Returns
    -------
    In the order of the plate's metadata, or of the file names. The Zarr well `A/1` is called `A01`.

    Raises
    ------
    ImageFileError : there are none, or the plate's metadata cannot be read. ImageIndexError : the pattern is
        none, finds nothing in a name, or the same field in two.
    """
    is_zarr_plate = plate.name.lower().endswith(ENDING)
    fields = _fields_of_zarr(plate) if is_zarr_plate else _fields_of_folder(plate, pattern)
    if not fields:
        raise ImageFileError(
            "there are no fields of view here",
            where=str(plate),
            remedy="name an OME-Zarr plate (its folder ends in .zarr) or a folder of OME-TIFF files",
        )
    return fields


def find_channels(
    plate: Path | UPath, fields: Sequence[PlateField], given: Sequence[str] = ()
) -> dict[str, PlaneSelection]:
    """Channel -> how it is written behind the path of an image, from the first image of a plate.

    Parameters
    ----------
    given : names for the channels in the order of the image; by default those in its metadata.

    Raises
    ------
    ImageFileError : the image cannot be read, has another number of channels, or does not name them.
    """
    first = plate / fields[0].image
    layout = read_layout(first)
    if given:
        if len(given) != layout.channels:
            raise ImageFileError(
                f"{len(given)} channels were named ({', '.join(given)}); the image has {layout}",
                where=str(first),
                remedy="name all channels of the image, in its order",
            )
        return {name: PlaneSelection(channel=number) for number, name in enumerate(given)}
    names = layout.names
    if not names or "" in names or len(set(names)) < len(names):
        raise ImageFileError(
            f"the image does not name its channels; it has {layout}",
            where=str(first),
            remedy="name them with --channels, in the order of the image",
        )
    return {name: _written(name, number) for number, name in enumerate(names)}


def _written(name: str, number: int) -> PlaneSelection:
    """By name, which holds for images with other orders too; a name of digits would be taken for a number."""
    return PlaneSelection(channel=number if name.isdecimal() else name)


def _fields_of_zarr(plate: Path | UPath) -> list[PlateField]:
    fields = []
    for place in _listed_paths(plate, "plate", "wells"):
        row, _, column = place.partition("/")
        name = f"{row}{column.zfill(2)}" if column.isdecimal() else f"{row}{column}"
        for image in _listed_paths(plate / place, "well", "images"):
            fields.append(PlateField(name, image, f"{place}/{image}"))
    return fields


def _listed_paths(group: Path | UPath, section: str, key: str) -> list[str]:
    """What the NGFF metadata of a plate or well list, as paths below it. None leads out of it."""
    from dp_assets.storage.zarr_store import open_group

    with blaming_the_file(DAMAGED_METADATA, str(group)):
        paths = [str(entry["path"]) for entry in ome_metadata(open_group(group)[0])[section][key]]
        outside = [path for path in paths if why_outside(path, ()) is not None]
        if outside:
            raise ValueError(f"the path {outside[0]!r} leads out of the {section}")
        return paths


def _fields_of_folder(folder: Path | UPath, pattern: str) -> list[PlateField]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise _bad_pattern(f"{pattern!r} is no regular expression ({error})") from error
    if not {"well", "site"} <= set(expression.groupindex):
        raise _bad_pattern(f"{pattern!r} lacks the group well or site")
    if not folder.is_dir():
        return []
    found: dict[tuple[str, str], str] = {}
    names = [path.name for path in folder.iterdir()]
    for name in sorted(name for name in names if name.lower().endswith(TIFF_ENDINGS) and name[0] != "."):
        match = expression.search(name)
        if match is None:
            raise _bad_pattern(f"{name} does not say its well and site")
        key = (match["well"], match["site"])
        if key in found:
            raise _bad_pattern(f"{name} and {found[key]} are both well {key[0]}, site {key[1]}")
        found[key] = name
    return [PlateField(well, site, name) for (well, site), name in found.items()]


def _bad_pattern(what: str) -> ImageIndexError:
    return ImageIndexError(
        what, where="--pattern", remedy=r"give one with both, such as '(?P<well>[A-P]\d\d)_s(?P<site>\d+)'"
    )
