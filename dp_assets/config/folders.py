"""Where a project's images, locations and index lie, when not in ``inputs``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dp_assets.config.errors import Problem

# key of the older section `paths` -> (attribute here, the folder or file it means by default)
LEGACY_PATHS = {
    "images": ("images", "inputs/images"),
    "locations": ("locations", "inputs/locations"),
    "index": ("index", "inputs/metadata/index.csv"),
}


@dataclass(frozen=True)
class Folders:
    """Places that are not the usual ones; None for the usual ones.

    Attributes
    ----------
    images : folder (or URL) that the image paths of the index are relative to.
    locations : folder of the cell locations.
    index : the image index, a CSV or Parquet file.
    """

    images: str | None = None
    locations: str | None = None
    index: str | None = None


def with_legacy_paths(
    folders: Folders, data: Mapping[str, Any], file: str, root: Path, image_roots: tuple[str, ...]
) -> tuple[Folders, tuple[Problem, ...]]:
    """Places that the section ``paths`` of an experiment names, where ``project.yaml`` names none.

    The original program put the project's folder before these paths; both readings are tried. A place outside
    the project counts only under one of the ``image_roots``.

    Parameters
    ----------
    data : the experiment's file.
    file : its name, for messages.

    Returns
    -------
    The places, and a problem for each one that does not count.
    """
    paths = data.get("paths")
    problems = []
    for key, (attribute, usual) in LEGACY_PATHS.items():
        value = paths.get(key) if isinstance(paths, Mapping) else None
        if not isinstance(value, str) or not value.strip() or getattr(folders, attribute) is not None:
            continue
        inside = (root / value.strip().lstrip("/")).resolve()
        given = Path(value)
        if inside == (root / usual).resolve() or given.resolve() == (root / usual).resolve():
            continue
        if inside.exists() and inside.is_relative_to(root.resolve()):
            folders = replace(folders, **{attribute: str(inside)})
        elif given.is_absolute() and _allowed(given, root, image_roots):
            folders = replace(folders, **{attribute: str(given)})
        else:
            problems.append(
                Problem(
                    f'"{value}" is not a place in the project, and not below one of its image_roots',
                    f"{file}: paths.{key}",
                    f"Write {attribute}: {value} in project.yaml if that is meant.",
                )
            )
    return folders, tuple(problems)


def _allowed(path: Path, root: Path, image_roots: tuple[str, ...]) -> bool:
    roots = [root.resolve(), *(Path(text).resolve() for text in image_roots if "://" not in text)]
    return any(path.resolve().is_relative_to(allowed) for allowed in roots)
