"""Looking a project over before work begins: every problem at once, with its remedy."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import yaml
from dagster import DagsterInstance

from dp_assets.config.errors import Problem, ProjectError
from dp_assets.config.project import Project, load_project
from dp_assets.networks.devices import list_devices
from dp_assets.orchestration.experiment_checks import experiment_problems
from dp_assets.orchestration.lanes import unavailable
from dp_assets.orchestration.lost_runs import lost_runs
from dp_assets.orchestration.partitions import PLATES
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.project_setup import INSTANCE_FILE
from dp_assets.storage.atomic import is_local
from dp_assets.storage.image_sites import failures_of, sites_of_plate
from dp_assets.storage.index_file import read_index
from dp_assets.storage.plate_tables import (
    cells_outside,
    collect_locations,
    describe_plate_images,
    image_paths,
    plate_rows,
)
from dp_assets.storage.schemas import PLATE, SITE, WELL
from dp_assets.storage.tables import read_provenance

Found = TypeVar("Found")

# Outputs take about this share of the raw images: compressed images, crops, features.
EXPECTED_OUTPUT_SHARE = 1.0


@dataclass
class Examination:
    """What the doctor looked at and found.

    Attributes
    ----------
    name : what was looked at.
    summary : one line about it.
    problems : what keeps work from succeeding.
    warnings : what may be a mistake.
    """

    name: str
    summary: str = ""
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def examine(root: Path, *, read_images: bool = True) -> Iterator[Examination]:
    """Look a project over, part by part.

    Parameters
    ----------
    read_images : read every image file (finds truncated ones); otherwise only look whether they are there.

    Yields
    ------
    One examination per part. A part that needs an earlier one that failed is left out.
    """
    found = Examination("configuration")
    project = _attempt(found, lambda: load_project(root))
    if project is not None:
        _examine_configuration(found, project)
    yield found
    if project is None:
        return
    resource = ProjectResource.of(project)
    images = project.reference.sections.images.settings if project.reference is not None else None
    if images is not None:
        found = Examination("image index")
        index = _attempt(found, lambda: read_index(resource.index_location(), images.channels))
        if index is not None:
            _summarise_index(found, index)
        yield found
        if index is not None:
            yield _examine_experiments(project, index, resource)
            yield _examine_images(resource, index, images.channels, images.bits, read_images)
            yield _examine_locations(resource, index, (images.height, images.width))
            yield _examine_disk(resource, index, images.channels)
    yield _examine_device()
    yield _examine_instance(resource)


def _attempt(found: Examination, action: Callable[[], Found]) -> Found | None:
    try:
        return action()
    except ProjectError as error:
        found.problems += error.problems
        return None


def _examine_configuration(found: Examination, project: Project) -> None:
    for problems in project.broken.values():
        found.problems += problems
    for experiment in project.experiments.values():
        found.problems += unavailable(experiment)
        found.warnings += experiment.warnings
    if project.reference is None and not project.broken:
        found.problems.append(
            Problem(
                "there is no experiment configuration",
                str(project.root / "inputs" / "config"),
                "copy one from configs/experiments and change it",
            )
        )
    found.summary = f"experiments: {', '.join(project.experiments) or 'none'}"


def _summarise_index(found: Examination, index: pa.Table) -> None:
    names = index[PLATE].unique().to_pylist()
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    found.summary = f"{len(names)} plates ({shown}), {index.num_rows} fields of view"


def _examine_experiments(project: Project, index: pa.Table, resource: ProjectResource) -> Examination:
    usable = {name: found for name, found in project.experiments.items() if not unavailable(found)}
    problems = experiment_problems(usable, index, resource)
    return Examination("experiments", f"{len(usable)} can be run", problems)


def _examine_images(
    resource: ProjectResource, index: pa.Table, channels: tuple[str, ...], bits: int, read: bool
) -> Examination:
    found = Examination("images")
    location = resource.image_location()
    count = 0
    for plate in index[PLATE].unique().to_pylist():
        if read:
            table = describe_plate_images(
                index,
                plate,
                channels,
                location,
                bits=bits,
                workers=resource.workers,
                maximum_pixels=resource.maximum_image_pixels,
            )
            sites = sites_of_plate(plate, table, channels, image_paths(table, location))
            found.problems += [
                Problem(f.problem, f"plate {plate}, well {f.well}, site {f.site}", "replace the image")
                for f in failures_of(sites)
            ]
            count += table.num_rows
        else:
            count += _look_for_images(found, index, plate, channels, resource)
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


def _examine_locations(
    resource: ProjectResource, index: pa.Table, size: tuple[int | None, int | None]
) -> Examination:
    found = Examination("cell locations")
    cells = 0
    for plate in index[PLATE].unique().to_pylist():
        rows = plate_rows(index, plate)
        sites = list(zip(rows[WELL].to_pylist(), rows[SITE].to_pylist(), strict=True))
        table = _attempt(
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
    folder: Path,
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


def _examine_disk(resource: ProjectResource, index: pa.Table, channels: tuple[str, ...]) -> Examination:
    found = Examination("disk")
    location = resource.image_location()
    values = pa.table({"path": [value for channel in channels for value in index[channel].to_pylist()]})
    raw = sum(path.stat().st_size for path in image_paths(values, location).values() if path.exists())
    store = resource.layout.store
    free = shutil.disk_usage(_nearest_folder(Path(store) if is_local(store) else Path(resource.root))).free
    needed = int(raw * EXPECTED_OUTPUT_SHARE)
    found.summary = f"{_size(free)} free, images take {_size(raw)}"
    if free < needed:
        found.problems.append(
            Problem(
                f"outputs may take {_size(needed)}, but only {_size(free)} are free",
                str(resource.layout.store),
                "free some space, or set `store` in project.yaml to another disk",
            )
        )
    if not os.access(resource.root, os.W_OK):
        found.problems.append(
            Problem("the project folder cannot be written to", resource.root, "change its permissions")
        )
    return found


def _nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _examine_device() -> Examination:
    devices = list_devices()
    names = ", ".join(str(device) for device in devices)
    return Examination(
        "compute device", f"{len(devices)} GPUs: {names}" if devices else "no GPU: the CPU is used"
    )


def _examine_instance(resource: ProjectResource) -> Examination:
    found = Examination("Dagster instance")
    home = Path(os.environ.get("DAGSTER_HOME") or resource.layout.dagster_home)
    found.summary = str(home)
    file = home / INSTANCE_FILE
    if not file.exists():
        found.problems.append(
            Problem(
                "there is no Dagster instance, so plates cannot be registered",
                str(file),
                "run `dp-assets setup`",
            )
        )
        return found
    try:
        yaml.safe_load(file.read_text(encoding="utf-8"))
        with DagsterInstance.from_config(str(home)) as instance:
            registered = list(instance.get_dynamic_partitions(PLATES))
            lost = [run.run_id for run in lost_runs(instance)]
    except (yaml.YAMLError, sqlite3.Error, OSError) as error:
        found.problems.append(
            Problem(f"the instance cannot be opened: {error}", str(file), "mend or remove the file")
        )
        return found
    if lost:
        found.warnings.append(
            Problem(
                f"runs were killed and may still hold a place in pool gpu: {', '.join(lost)}",
                str(home),
                "`dp-assets run` frees it before it starts anything",
            )
        )
    found.summary = f"{home}, {len(registered)} plates registered"
    return found


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
