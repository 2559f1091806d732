"""What a training set is drawn from: crop stores, or the images themselves, of all plates in the split."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from dp_assets.config.errors import Problem, TrainingDataError
from dp_assets.config.stages import TrainingSettings
from dp_assets.orchestration.assets.single_cells import PREFIX
from dp_assets.orchestration.crop_inputs import crop_geometry, geometry_digest, image_inputs, site_crops
from dp_assets.orchestration.io_managers import FAN_IN
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.folders import Folder, open_folder
from dp_assets.storage.tables import StoredTable
from dp_assets.training.crop_supply import CropSupply, StoreSupply, crop_origin
from dp_assets.training.image_supply import ImageSupply
from dp_assets.training.plate_images import PlateImages
from dp_assets.training.random_views import ViewSupply

STORES = "crop_stores"


def supply_inputs(settings: TrainingSettings) -> dict[str, dg.AssetIn]:
    """The inputs, for all plates, that the cells of a training set come from."""
    return {
        name: dg.AssetIn(
            list(path), metadata={**FAN_IN, "lazy": True}, partition_mapping=dg.AllPartitionMapping()
        )
        for name, path in supply_assets(settings).items()
    }


def supply_digest(settings: TrainingSettings) -> str:
    """The settings that decide how crops are drawn from images; empty for stores, which know themselves."""
    origin = crop_origin(settings)
    return "" if origin == "stores" else f"-{origin}-{geometry_digest(settings)}"


def supply_of_inputs(
    settings: TrainingSettings, plates: Iterable[str], inputs: Mapping[str, Any], project: ProjectResource
) -> CropSupply:
    """The crops of these plates.

    Parameters
    ----------
    plates : those with images in the split; others are not looked at.
    inputs : the values of `supply_inputs(settings)`, each plate -> its result.

    Raises
    ------
    TrainingDataError : something of a plate has not been made yet; all of it is named.
    """
    assets = supply_assets(settings)
    wanted = list(plates)
    _require_made(
        [(plate, path) for plate in wanted for name, path in assets.items() if plate not in inputs[name]]
    )
    return _supply(
        settings, {plate: {name: inputs[name][plate] for name in assets} for plate in wanted}, project
    )


def supply_of_project(
    settings: TrainingSettings, plates: Iterable[str], project: ProjectResource
) -> CropSupply:
    """The crops of these plates as they are published now, opened on the side.

    Raises
    ------
    TrainingDataError : something of a plate is not there any more; all of it is named.
    """
    found: dict[str, dict[str, Any]] = {}
    missing = []
    for plate in plates:
        found[plate] = {}
        for name, path in supply_assets(settings).items():
            try:
                found[plate][name] = _published(name, path, plate, project)
            except FileNotFoundError:
                missing.append((plate, path))
    _require_made(missing)
    return _supply(settings, found, project)


def supply_assets(settings: TrainingSettings) -> dict[str, tuple[str, ...]]:
    """Input name -> key of the plate asset behind it."""
    if crop_origin(settings) == "stores":
        return {STORES: (PREFIX, settings.set_name)}
    return {
        name: tuple(given.key.path) if given.key is not None else (name,)
        for name, given in image_inputs(settings).items()
    }


def _published(
    name: str, path: tuple[str, ...], plate: str, project: ProjectResource
) -> CropStore | StoredTable | Folder:
    if name == STORES:
        return CropStore.open(project.path(path, plate))
    table = project.path(path, plate, ".parquet")
    return StoredTable(table) if table.exists() else open_folder(project.path(path, plate))


def _require_made(missing: Sequence[tuple[str, tuple[str, ...]]]) -> None:
    problems = [
        Problem(
            f"plate {plate} is in the split, but its {'/'.join(path)} is not there",
            "/".join(path),
            f"materialize {'/'.join(path)} for plate {plate}"
            + (" (job export_single_cells)" if path[0] == PREFIX else " (job prepare)"),
        )
        for plate, path in missing
    ]
    if problems:
        raise TrainingDataError(problems)


def _supply(
    settings: TrainingSettings, values: Mapping[str, Mapping[str, Any]], project: ProjectResource
) -> CropSupply:
    channels, normalization = settings.images.channels, settings.single_cells.normalization
    origin = crop_origin(settings)
    if origin == "stores":
        stores = {plate: found[STORES] for plate, found in values.items()}
        return StoreSupply(stores, channels, crop_geometry(settings), normalization)
    images = PlateImages(
        {plate: site_crops(settings, plate, _read(found), project) for plate, found in values.items()},
        channels,
        normalization,
        maximum_pixels=project.maximum_image_pixels,
        cells_held=settings.sampling.cache_size,
    )
    return ImageSupply(images) if origin == "images" else ViewSupply(images)


def _read(found: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of one plate, read; those of plates outside the split never are."""
    return {name: value.read() if isinstance(value, StoredTable) else value for name, value in found.items()}
