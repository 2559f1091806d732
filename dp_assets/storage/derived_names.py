"""Names of files that are made from the channels of a field of view."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from dp_assets.storage.image_planes import PlaneSelection


def derived_names(
    names: Sequence[str], planes: Sequence[PlaneSelection], channels: Sequence[str]
) -> tuple[str, ...]:
    """Names for files made from the channels of a site, one each.

    A file of one image gives its own name. Of a file with several, the channel's name is added:
    `P1/A01_s1.ome.tif#c=1` gives `P1/A01_s1_RNA.tif`. Every name made here ends in `.tif`, to be replaced.

    Parameters
    ----------
    names : the paths as plate_images has them.
    planes : the plane each of them means.
    channels : names of the channels.
    """
    bases = [name.rpartition("#")[0] if plane else name for name, plane in zip(names, planes, strict=True)]
    safe = _distinct([re.sub(r"[^A-Za-z0-9_-]", "_", name) for name in channels])
    found = []
    for base, plane, channel in zip(bases, planes, safe, strict=True):
        alone = bases.count(base) == 1
        found.append(base if not plane else f"{_bare(base)}{'' if alone else '_' + channel}.tif")
    return tuple(found)


def _bare(path: str) -> str:
    """A path without its ending; `.ome.tif` is one ending, and folders have none."""
    name = PurePosixPath(path).name
    ending = re.search(r"(\.ome)?\.(tiff?|btf|tf[28]|lsm|stk)$", name, re.IGNORECASE)
    return path.rstrip("/").removesuffix(ending.group() if ending else "")


def _distinct(names: Sequence[str]) -> list[str]:
    return [name if names.count(name) == 1 else f"{name}_{number}" for number, name in enumerate(names)]
