"""What crops are cut from: the inputs an experiment's crops need, and the sites behind them."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from dp_assets.config.stages import CropSettings
from dp_assets.imaging.cropping import CropGeometry
from dp_assets.imaging.full_image import grid_cells
from dp_assets.imaging.masks import PlateMasks
from dp_assets.imaging.plate_compression import compressed_sites
from dp_assets.imaging.plate_crops import SiteCells, cells_by_site
from dp_assets.imaging.site_crops import SiteCrops
from dp_assets.orchestration.assets.preparation import original_sites
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.folders import Folder
from dp_assets.storage.image_sites import ImageSite, usable
from dp_assets.storage.index_file import IndexLocation
from dp_assets.storage.outlines_file import OUTLINES_FILE, OUTLINES_FOLDER
from dp_assets.storage.plate_outlines import site_outlines, with_outlines


def is_full_image(settings: CropSettings) -> bool:
    """Whether crops are views of whole images instead of cells."""
    return settings.locations.mode == "full_image"


def crop_geometry(settings: CropSettings) -> CropGeometry:
    """Box, sampling and margin of an experiment's crops; the margin is an eighth of the box if not given."""
    view_size = settings.locations.view_size if is_full_image(settings) else None
    return CropGeometry(
        settings.locations.box_size, settings.single_cells.sampling, settings.margin, view_size
    )


def geometry_digest(settings: CropSettings) -> str:
    """The settings that decide which windows are cut."""
    parts = [str(value) for value in crop_geometry(settings).facts().values()]
    if settings.locations.mask_objects:
        parts += ["masked", settings.single_cells.masks]
    return "-".join(parts)


def reads_compressed(settings: CropSettings) -> bool:
    """Whether crops come from compressed images."""
    return settings.compression is not None and settings.compression.implement


def image_inputs(settings: CropSettings) -> dict[str, dg.AssetIn]:
    """The inputs that pixels come from; an edge the configuration does not use is left out."""
    inputs = {"plate_images": dg.AssetIn()}
    if not is_full_image(settings):
        inputs["cell_locations"] = dg.AssetIn()
    if settings.locations.mask_objects:
        inputs["plate_outlines"] = dg.AssetIn()
    if reads_compressed(settings):
        inputs["compressed_images"] = dg.AssetIn()
    return inputs


def sites_to_cut(
    settings: CropSettings, plate: str, inputs: Mapping[str, Any], project: ProjectResource
) -> tuple[list[ImageSite], tuple[int, int], str]:
    """The sites with the images that crops are cut from, and those images' (rows, cols) and type.

    A site without usable outlines has a problem where cells are masked.
    """
    sites = original_sites(plate, inputs["plate_images"], settings.images.channels, project)
    if settings.locations.mask_objects:
        sites = with_outlines(sites, inputs["plate_outlines"])
    folder: Folder | None = inputs.get("compressed_images")
    if folder is not None:
        rows, cols = folder.manifest["array_shape"]
        return compressed_sites(folder, sites), (rows, cols), folder.manifest["dtype"]
    first = next(row for row in inputs["plate_images"].to_pylist() if row["problem"] is None)
    return sites, (first["height"], first["width"]), first["dtype"]


def outline_location(project: ProjectResource) -> IndexLocation:
    """What the paths of outline images are relative to."""
    folder = project.layout.metadata
    return IndexLocation(folder / OUTLINES_FILE, folder.parent / OUTLINES_FOLDER, tuple(project.image_roots))


def cells_to_cut(
    settings: CropSettings, inputs: Mapping[str, Any], sites: Sequence[ImageSite]
) -> dict[tuple[str, str], SiteCells]:
    """(well, site) -> its cells; in full-image mode the windows of its grid.

    Raises
    ------
    ConfigurationError : the windows are larger than the images.
    """
    view_size = crop_geometry(settings).view
    if is_full_image(settings):
        return {(site.well, site.site): grid_cells(site.original_shape, view_size) for site in usable(sites)}
    return cells_by_site(inputs["cell_locations"])


def plate_masks(
    settings: CropSettings, inputs: Mapping[str, Any], project: ProjectResource
) -> PlateMasks | None:
    """The masks of a plate's cells; None when they are not masked."""
    if not settings.locations.mask_objects:
        return None
    outlines = site_outlines(inputs["plate_outlines"], outline_location(project))
    return PlateMasks(outlines, settings.single_cells.masks)


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
        cells=cells_to_cut(settings, inputs, sites),
        geometry=crop_geometry(settings),
        channel_order=tuple(order),
        masks=plate_masks(settings, inputs, project),
    )
