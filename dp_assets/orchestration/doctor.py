"""Looking a project over before work begins: every problem at once, with its remedy."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from upath import UPath

from dp_assets.config.errors import ImageFileError, Problem
from dp_assets.config.project import Project, load_project
from dp_assets.networks.devices import list_devices
from dp_assets.orchestration.crop_inputs import is_full_image
from dp_assets.orchestration.doctor_inputs import examine_images, examine_locations
from dp_assets.orchestration.doctor_profiles import examine_profiles, site_annotations
from dp_assets.orchestration.examination import Examination, attempt
from dp_assets.orchestration.experiment_checks import experiment_problems
from dp_assets.orchestration.instance import damaged_records, opened_instance
from dp_assets.orchestration.lanes import unavailable
from dp_assets.orchestration.lost_runs import lost_runs
from dp_assets.orchestration.network_checks import network_problems
from dp_assets.orchestration.partitions import PLATES
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.project_setup import INSTANCE_FILE, missing_settings
from dp_assets.storage.atomic import is_local
from dp_assets.storage.index_file import locate_image, read_index
from dp_assets.storage.schemas import PLATE

# Outputs take about this share of the raw images: compressed images, crops, features.
EXPECTED_OUTPUT_SHARE = 1.0


def examine(root: Path, *, read_images: bool = True) -> Iterator[Examination]:
    """Look a project over, part by part.

    Parameters
    ----------
    read_images : read every image file (finds truncated ones) and every feature table; otherwise only look
        whether they are there.

    Yields
    ------
    One examination per part. A part that needs an earlier one that failed is left out.
    """
    found = Examination("configuration")
    project = attempt(found, lambda: load_project(root))
    if project is not None:
        _examine_configuration(found, project)
    yield found
    if project is None:
        return
    resource = ProjectResource.of(project)
    yield _examine_networks(project, resource)
    images = project.reference.sections.images.settings if project.reference is not None else None
    index: pa.Table | None = None
    if images is not None:
        found = Examination("image index")
        index = attempt(found, lambda: read_index(resource.index_location(), images.channels))
        if index is not None:
            _summarise_index(found, index)
        yield found
        if index is not None:
            yield _examine_experiments(project, index, resource)
            crops = [e.crops() for e in project.experiments.values() if e.has_crops]
            masked = any(settings.locations.mask_objects for settings in crops)
            yield examine_images(resource, index, images, masked=masked, read=read_images)
            if any(not is_full_image(settings) for settings in crops):
                yield examine_locations(resource, index, (images.height, images.width))
            yield _examine_disk(resource, index, images.channels)
    yield _examine_profiles(project, resource, index, read=read_images)
    yield _examine_device()
    yield _examine_instance(resource)


def _examine_configuration(found: Examination, project: Project) -> None:
    for problems in project.broken.values():
        found.problems += problems
    found.warnings += project.doubts
    for experiment in project.experiments.values():
        found.problems += unavailable(experiment)
        found.warnings += experiment.warnings
    if not project.experiments and not project.broken:
        found.problems.append(
            Problem(
                "there is no experiment configuration",
                str(project.root / "inputs" / "config"),
                "copy one from configs/experiments and change it",
            )
        )
    found.summary = f"experiments: {', '.join(project.experiments) or 'none'}"


def _examine_networks(project: Project, resource: ProjectResource) -> Examination:
    experiments = [e for e in project.experiments.values() if e.has_training or e.has_profile]
    problems = network_problems(experiments, resource) if experiments else []
    return Examination("networks and plugins", f"of {len(experiments)} experiments", problems)


def _summarise_index(found: Examination, index: pa.Table) -> None:
    names = index[PLATE].unique().to_pylist()
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    found.summary = f"{len(names)} plates ({shown}), {index.num_rows} fields of view"


def _examine_experiments(project: Project, index: pa.Table, resource: ProjectResource) -> Examination:
    usable = {name: found for name, found in project.experiments.items() if not unavailable(found)}
    problems = experiment_problems(usable, index, resource)
    return Examination("experiments", f"{len(usable)} can be run", problems)


def _examine_profiles(
    project: Project, resource: ProjectResource, index: pa.Table | None, *, read: bool
) -> Examination:
    usable = [experiment for experiment in project.experiments.values() if not unavailable(experiment)]
    images = project.reference.sections.images.settings if project.reference is not None else None
    if index is None or images is None:
        return examine_profiles(usable, resource, None, read=read)
    unread = Examination("image index")
    sites = attempt(unread, lambda: site_annotations(index, images.channels))
    found = examine_profiles(usable, resource, sites, read=read)
    found.problems[:0] = unread.problems
    return found


def _examine_disk(resource: ProjectResource, index: pa.Table, channels: tuple[str, ...]) -> Examination:
    found = Examination("disk")
    raw = sum(_bytes_of(file) for file in _image_files(resource, index, channels))
    store = resource.layout.store
    free = shutil.disk_usage(_nearest_folder(Path(store) if is_local(store) else Path(resource.root))).free
    needed = int(raw * EXPECTED_OUTPUT_SHARE)
    found.summary = f"{_size(free)} free, images take {_size(raw)}"
    if not is_local(store):
        found.summary += f", outputs go to {store}"
        attempt(found, UPath(store).exists)
    elif free < needed:
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


def _image_files(resource: ProjectResource, index: pa.Table, channels: tuple[str, ...]) -> set[Path | UPath]:
    """The different files of all images; several channels may be in one."""
    values = {value for channel in channels for value in index[channel].to_pylist()}
    files = set()
    for value in values:
        try:
            files.add(locate_image(value, resource.image_location()).file)
        except ImageFileError:
            # named where the images are examined
            continue
    return files


def _bytes_of(file: Path | UPath) -> int:
    """The size of a file, or of everything in the folder of a Zarr image; 0 when it is not there."""
    if file.is_dir():
        return sum(part.stat().st_size for part in file.rglob("*") if part.is_file())
    return file.stat().st_size if file.exists() else 0


def _nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _examine_device() -> Examination:
    listing = list_devices()
    names = ", ".join(map(str, listing.devices))
    found = Examination("compute device", f"{len(listing.devices)} GPUs: {names}")
    if not listing.devices:
        found.summary = "no GPU: the CPU is used" if listing.problem is None else "no GPU is known"
    if listing.problem is not None:
        found.warnings.append(listing.problem)
    return found


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
    found.problems += damaged_records(home)
    if found.problems:
        return found
    state = attempt(found, lambda: _state_of_instance(home))
    if state is None:
        return found
    registered, lost = state
    if lost:
        found.warnings.append(
            Problem(
                f"runs were killed and may still hold a place in pool gpu: {', '.join(lost)}",
                str(home),
                "`dp-assets run` frees it before it starts anything",
            )
        )
    if missing := missing_settings(home):
        found.warnings.append(
            Problem(
                f"{', '.join(missing)}: not set, so that killed runs are not found and started again, or two "
                "runs may begin the same plate",
                str(file),
                "move the file away and run `dp-assets setup`, or copy the settings from "
                "configs/dagster/local.yaml",
            )
        )
    found.summary = f"{home}, {registered} plates registered"
    return found


def _state_of_instance(home: Path) -> tuple[int, list[str]]:
    """How many plates are registered, and the ids of lost runs."""
    with opened_instance(home) as instance:
        registered = len(instance.get_dynamic_partitions(PLATES))
        return registered, [run.run_id for run in lost_runs(instance)]


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
