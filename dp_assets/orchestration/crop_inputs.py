"""What crops are cut from: the inputs an experiment's crops need, and the sites behind them."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from dp_assets.config.stages import CropSettings
from dp_assets.imaging.cropping import CropGeometry
from dp_assets.imaging.plate_compression import compressed_sites
from dp_assets.imaging.plate_crops import cells_by_site
from dp_assets.imaging.site_crops import SiteCrops
from dp_assets.orchestration.assets.preparation import original_sites
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.folders import Folder
from dp_assets.storage.image_sites import ImageSite


def crop_geometry(settings: CropSettings) -> CropGeometry:
    """Box, sampling and margin of an experiment's crops; the margin is an eighth of the box if not given."""
    return CropGeometry(settings.locations.box_size, settings.single_cells.sampling, settings.margin)


def geometry_digest(settings: CropSettings) -> str:
    """The settings that decide which windows are cut."""
    geometry = crop_geometry(settings)
    return f"{geometry.box_size}-{geometry.sampling}-{geometry.margin}"


def reads_compressed(settings: CropSettings) -> bool:
    """Whether crops come from compressed images."""
    return settings.compression is not None and settings.compression.implement


def image_inputs(settings: CropSettings) -> dict[str, dg.AssetIn]:
    """The inputs that pixels come from; an edge the configuration does not use is left out."""
    inputs = {"plate_images": dg.AssetIn(), "cell_locations": dg.AssetIn()}
    if reads_compressed(settings):
        inputs["compressed_images"] = dg.AssetIn()
    return inputs


def sites_to_cut(
    settings: CropSettings, plate: str, inputs: Mapping[str, Any], project: ProjectResource
) -> tuple[list[ImageSite], tuple[int, int], str]:
    """The sites with the images that crops are cut from, and those images' (rows, cols) and type."""
    sites = original_sites(plate, inputs["plate_images"], settings.images.channels, project)
    folder: Folder | None = inputs.get("compressed_images")
    if folder is not None:
        rows, cols = folder.manifest["array_shape"]
        return compressed_sites(folder, sites), (rows, cols), folder.manifest["dtype"]
    first = next(row for row in inputs["plate_images"].to_pylist() if row["problem"] is None)
    return sites, (first["height"], first["width"]), first["dtype"]


def site_crops(
    settings: CropSettings,
    plate: str,
    inputs: Mapping[str, Any],
    project: ProjectResource,
    channel_order: Sequence[int] | None = None,
) -> SiteCrops:
    """The crops of a plate, to be cut straight from its images.

    Parameters
    ----------
    inputs : the values of `image_inputs(settings)`.
    channel_order : positions in `settings.images.channels`; all in order by default.
    """
    sites, _, _ = sites_to_cut(settings, plate, inputs, project)
    order = range(len(settings.images.channels)) if channel_order is None else channel_order
    return SiteCrops(
        sites=sites,
        cells=cells_by_site(inputs["cell_locations"]),
        geometry=crop_geometry(settings),
        channel_order=tuple(order),
    )
