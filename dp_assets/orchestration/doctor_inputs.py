"""What the doctor finds in the images, outlines and cell locations of a project."""

from functools import partial
from pathlib import Path

import pyarrow as pa
from upath import UPath

from dp_assets.config.errors import Problem
from dp_assets.config.sections import ImagesSettings
from dp_assets.orchestration.crop_inputs import outline_location
from dp_assets.orchestration.examination import Examination, attempt
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.image_sites import failures_of, sites_of_plate
from dp_assets.storage.outlines_file import read_outlines
from dp_assets.storage.plate_outlines import describe_plate_outlines, outline_failures
from dp_assets.storage.plate_tables import (
    cells_outside,
    collect_locations,
    describe_plate_images,
    image_paths,
    plate_rows,
)
from dp_assets.storage.schemas import PLATE, SITE, WELL
from dp_assets.storage.tables import read_provenance


def examine_images(
    resource: ProjectResource, index: pa.Table, settings: ImagesSettings, *, masked: bool, read: bool
) -> Examination:
    """Every image file, and every outline image where cells are masked.

    Parameters
    ----------
    read : read the files (finds truncated ones); otherwise only look whether they are there.
    """
    found = Examination("images")
    listing = None
    if masked:
        listing = attempt(found, lambda: read_outlines(resource.layout.metadata, index, resource.image_roots))
    count = 0
    for plate in index[PLATE].unique().to_pylist():
        if not read:
            count += _look_for_images(found, index, plate, settings.channels, resource)
            continue
        table = describe_plate_images(
            index,
            plate,
            settings.channels,
            resource.image_location(),
            bits=settings.bits,
            z=settings.z,
            workers=resource.workers,
            maximum_pixels=resource.maximum_image_pixels,
        )
        sites = sites_of_plate(plate, table, settings.channels, image_paths(table, resource.image_location()))
        failures = failures_of(sites)
        if listing is not None:
            outlines = describe_plate_outlines(
                table,
                listing,
                outline_location(resource),
                workers=resource.workers,
                maximum_pixels=resource.maximum_image_pixels,
            )
            failures += outline_failures(outlines)
            count += outlines.num_rows
        found.problems += [
            Problem(f.problem, f"plate {plate}, well {f.well}, site {f.site}", "replace the image")
            for f in failures
        ]
        count += table.num_rows
    found.summary = f"{count} files {'read' if read else 'looked for'}"
    return found


def _look_for_images(
    found: Examination, index: pa.Table, plate: str, channels: tuple[str, ...], resource: ProjectResource
) -> int:
    rows = plate_rows(index, plate)
    table = pa.table({"path": [value for channel in channels for value in rows[channel].to_pylist()]})
    paths = image_paths(table, resource.image_location())
    found.problems += [
        Problem(
            f"{value} does not exist", f"plate {plate}: {path}", "put the image there, or correct the index"
        )
        for value, path in paths.items()
        if not path.exists()
    ]
    return len(paths)


def examine_locations(
    resource: ProjectResource, index: pa.Table, size: tuple[int | None, int | None]
) -> Examination:
    """The cell locations of every plate; `size` is the configured (rows, cols) of the images."""
    found = Examination("cell locations")
    cells = 0
    for plate in index[PLATE].unique().to_pylist():
        rows = plate_rows(index, plate)
        sites = list(zip(rows[WELL].to_pylist(), rows[SITE].to_pylist(), strict=True))
        table = attempt(
            found,
            partial(collect_locations, plate, sites, resource.layout.locations, workers=resource.workers),
        )
        if table is None:
            continue
        cells += table.num_rows
        _warn_of_locations(found, plate, table, len(sites), size, resource.layout.locations)
    found.summary = f"{cells} cells"
    return found


def _warn_of_locations(
    found: Examination,
    plate: str,
    table: pa.Table,
    sites: int,
    size: tuple[int | None, int | None],
    folder: Path | UPath,
) -> None:
    without = read_provenance(table.schema)["without_file"]
    where = str(folder / plate)
    if len(without) == sites:
        found.problems.append(
            Problem("no site has a locations file", where, "write <well>-<site>-Nuclei.csv for every site")
        )
    elif without:
        found.warnings.append(
            Problem(
                f"{len(without)} sites have no locations file (no cells): {', '.join(without[:10])}",
                where,
                "write an empty table with a header where a site really has no cells",
            )
        )
    height, width = size
    outside = cells_outside(table, height, width) if height and width else 0
    if outside:
        found.warnings.append(
            Problem(
                f"{outside} cells lie outside the configured {height} x {width} pixels",
                where,
                "check that coordinates are pixels of the original image",
            )
        )
