"""The outline images of one plate as a table, and what the crops of a site need of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from upath import UPath

from dp_assets.config.errors import ImageFileError, Problem
from dp_assets.storage.image_bytes import DEFAULT_MAXIMUM_PIXELS
from dp_assets.storage.image_sites import ImageSite, SiteFailure
from dp_assets.storage.images import ImageInfo
from dp_assets.storage.index_file import IndexLocation, resolve_image
from dp_assets.storage.label_images import inspect_label_image
from dp_assets.storage.outlines_file import OutlinesListing
from dp_assets.storage.plate_tables import Progress
from dp_assets.storage.read_ahead import read_ahead
from dp_assets.storage.schemas import PLATE, PLATE_OUTLINES, SITE, WELL
from dp_assets.storage.site_files import refuse_elsewhere


@dataclass(frozen=True)
class SiteOutlines:
    """The outline image of one field of view.

    Attributes
    ----------
    path : the file.
    fingerprint : of the file's bytes.
    """

    path: Path | UPath
    fingerprint: str


def describe_plate_outlines(
    plate_images: pa.Table,
    listing: OutlinesListing,
    location: IndexLocation,
    *,
    workers: int,
    maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS,
    progress: Progress = lambda *_: None,
) -> pa.Table:
    """One row per site: path, size, type and content fingerprint of its outline image.

    A site whose outlines are not listed, cannot be read, or have another size than its images gets the reason
    in column `problem`.

    Parameters
    ----------
    plate_images : table of schema `plate_images`; its sites, in its order.
    location : what paths are relative to.

    Returns
    -------
    Table of schema `plate_outlines`.
    """
    sizes = _image_sizes(plate_images)

    def inspect(key: tuple[str, str, str]) -> ImageInfo | ImageFileError | None:
        if key not in listing.paths:
            return None
        try:
            file = resolve_image(listing.paths[key], location)
            refuse_elsewhere(file, location)
            return inspect_label_image(file, maximum_pixels)
        except ImageFileError as error:
            return error

    records = []
    for key, found in read_ahead(list(sizes), inspect, workers=workers):
        record: dict[str, Any] = dict(zip((PLATE, WELL, SITE), key, strict=True))
        record["path"] = listing.paths.get(key)
        if isinstance(found, ImageInfo):
            record |= {
                "height": found.height,
                "width": found.width,
                "dtype": found.dtype,
                "fingerprint": found.fingerprint,
                "problem": _size_problem(listing.paths[key], found, sizes[key]),
            }
        elif found is None:
            record["problem"] = f"{listing.source} has no outlines of this site, but mask_objects is true"
        else:
            record["problem"] = "; ".join(f"{problem.where}: {problem.what}" for problem in found.problems)
        records.append(record)
        progress(len(records), len(sizes))
    schema = pa.schema([pa.field(name, kind) for name, (kind, _) in PLATE_OUTLINES.required.items()])
    return pa.Table.from_pylist(records, schema=schema)


def _image_sizes(plate_images: pa.Table) -> dict[tuple[str, str, str], tuple[int, int] | None]:
    """(plate, well, site) -> (rows, cols) of its images; None where they could not be read."""
    sizes: dict[tuple[str, str, str], tuple[int, int] | None] = {}
    for row in plate_images.to_pylist():
        known = (row["height"], row["width"]) if row["height"] else None
        key = (row[PLATE], row[WELL], row[SITE])
        sizes[key] = sizes.get(key) or known
    return sizes


def _size_problem(path: str, found: ImageInfo, expected: tuple[int, int] | None) -> str | None:
    if expected is None or (found.height, found.width) == expected:
        return None
    return (
        f"the outlines {path} are {found.height} x {found.width} (rows x columns); "
        f"the images of the site are {expected[0]} x {expected[1]}"
    )


def outline_failures(plate_outlines: pa.Table) -> list[SiteFailure]:
    """The sites whose outlines cannot be used."""
    return [
        SiteFailure(row[WELL], row[SITE], row["problem"])
        for row in plate_outlines.to_pylist()
        if row["problem"] is not None
    ]


def refuse_outline_failures(
    failures: Sequence[SiteFailure], *, plate: str, sites: int, on_bad_site: str
) -> None:
    """Raise ImageFileError naming every site without usable outlines, unless the project goes on without it.

    Parameters
    ----------
    sites : how many sites the plate has; a plate without any usable outlines is refused in any case.
    """
    if not failures or (on_bad_site == "skip" and len(failures) < sites):
        return
    raise ImageFileError(
        [
            Problem(
                failure.problem,
                f"plate {plate}, well {failure.well}, site {failure.site}",
                "correct outlines.csv or replace the outlines and run again, or set `on_bad_site: skip` in "
                "project.yaml to go on without the site",
            )
            for failure in failures
        ]
    )


def site_outlines(plate_outlines: pa.Table, location: IndexLocation) -> dict[tuple[str, str], SiteOutlines]:
    """(well, site) -> its outline image, of the sites whose outlines can be used."""
    return {
        (row[WELL], row[SITE]): SiteOutlines(resolve_image(row["path"], location), row["fingerprint"])
        for row in plate_outlines.to_pylist()
        if row["problem"] is None
    }


def with_outlines(sites: Sequence[ImageSite], plate_outlines: pa.Table) -> list[ImageSite]:
    """The sites, with a problem where there are no usable outlines."""
    problems = {(row[WELL], row[SITE]): row["problem"] for row in plate_outlines.to_pylist()}
    unknown = "plate_outlines does not know the site: materialize plate_outlines again"
    found = []
    for site in sites:
        problem = problems.get((site.well, site.site), unknown)
        told = "; ".join(text for text in (site.problem, problem) if text)
        found.append(replace(site, problem=told or None))
    return found
