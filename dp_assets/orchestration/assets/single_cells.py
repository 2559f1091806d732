"""Exported crops: one crop store per plate and set, shared by experiments with the same geometry."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np

from dp_assets.config.checks import ChecksSettings
from dp_assets.config.stages import CropSettings
from dp_assets.figures.false_colour import shrink
from dp_assets.imaging import plate_crops
from dp_assets.imaging.plate_crops import CropPlan, export_crops
from dp_assets.interchange.crops_import import IMPORTED
from dp_assets.orchestration.assets.plates import GROUP
from dp_assets.orchestration.crop_inputs import (
    cells_to_cut,
    crop_geometry,
    geometry_digest,
    image_inputs,
    is_full_image,
    plate_masks,
    sites_to_cut,
)
from dp_assets.orchestration.outputs import FolderOutput, Metadata, unchanged
from dp_assets.orchestration.partitions import plates
from dp_assets.orchestration.plate_folders import plate_folder_result
from dp_assets.orchestration.progress import reporter
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import (
    COMMON,
    check,
    checks,
    judged,
    judged_checks,
    picture,
    sites_check,
    stored_failures,
    table,
)
from dp_assets.orchestration.stage_config import StageConfig
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.storage.crop_parts import EarlierCrops
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.folders import Folder
from dp_assets.storage.plate_tables import annotation_column
from dp_assets.storage.schemas import SITE, WELL
from dp_assets.storage.tables import read_table

PREFIX = "single_cells"
SHEET_ROWS, SHEET_COLUMNS = 8, 8
OBJECTS_CHECK = "cells_in_objects"
CROPS_NOT_FLAT = "crops_not_flat"


def single_cells_asset(
    settings: CropSettings, label: str | None, rules: ChecksSettings
) -> dg.AssetsDefinition:
    """The crop store of one set.

    Parameters
    ----------
    label : the index column whose values name the rows of the picture; None when the project has no labels.
    rules : which checks block.
    """
    key = dg.AssetKey([PREFIX, settings.set_name])
    is_masked = settings.locations.mask_objects

    @dg.asset(
        key=key,
        group_name=GROUP,
        **COMMON,
        kinds={"crops"},
        partitions_def=plates,
        io_manager_key="crop_store_io",
        ins=image_inputs(settings),
        code_version=f"{plate_crops.VERSION}-{geometry_digest(settings)}",
        check_specs=[
            *checks(key, "sites_complete"),
            *judged_checks(key, rules, CROPS_NOT_FLAT),
            *([_objects_spec(key)] if is_masked else []),
        ],
        description=_description(settings),
    )
    def single_cells(
        context: dg.AssetExecutionContext, config: StageConfig, project: ProjectResource, **inputs: Any
    ) -> dg.MaterializeResult:
        with user_errors():
            rules = project.check_rules
            imported = _imported_store(context, project)
            if imported is not None and not config.force:
                return _kept(imported, project, label, is_masked, rules)
            sites, shape, dtype = sites_to_cut(settings, context.partition_key, inputs, project)
            plan = CropPlan(
                sites=sites,
                channels=settings.images.channels,
                cells=cells_to_cut(settings, inputs, sites),
                geometry=crop_geometry(settings),
                array_shape=shape,
                dtype=dtype,
                masks=plate_masks(settings, inputs, project),
            )
            result = plate_folder_result(
                context,
                config,
                project,
                plan.fingerprint,
                make=lambda published: export_crops(
                    plan,
                    progress=reporter(context, "sites"),
                    earlier=EarlierCrops(CropStore(published)) if published else None,
                    **project.site_options(context),
                )[0],
                describe=lambda folder: _store_facts(CropStore(folder), project, label),
                judge=lambda manifest: _crops_not_flat(rules, manifest),
            )
            if not is_masked:
                return result
            # The manifest is that of the new folder, or of the published one that is kept.
            writer = result.value.writer
            manifest = writer.facts if writer else project.published_folder(context).manifest
            return result._replace(check_results=[*result.check_results, _cells_in_objects(manifest)])

    return single_cells


def _imported_store(context: dg.AssetExecutionContext, project: ProjectResource) -> Folder | None:
    """The published store, when it was brought from elsewhere: it cannot be made again from images here."""
    try:
        folder = project.published_folder(context)
    except FileNotFoundError:
        return None
    return folder if IMPORTED in folder.manifest else None


def _kept(
    imported: Folder, project: ProjectResource, label: str | None, is_masked: bool, rules: ChecksSettings
) -> dg.MaterializeResult:
    """The result of leaving an imported store as it is."""
    manifest = imported.manifest
    failures = stored_failures(manifest["failures"])

    def describe(folder: Folder) -> Metadata:
        kept = {**unchanged(False), "kept_because": f"imported from {manifest[IMPORTED]}"}
        return {**_store_facts(CropStore(folder), project, label), **kept}

    results = [sites_check(failures), _crops_not_flat(rules, manifest)]
    return dg.MaterializeResult(
        value=FolderOutput(None, describe),
        data_version=dg.DataVersion(imported.fingerprint),
        check_results=[*results, _cells_in_objects(manifest)] if is_masked else results,
    )


def _description(settings: CropSettings) -> str:
    locations = settings.locations
    if is_full_image(settings):
        what = f"Windows of {locations.view_size} pixels that cover every field of view of the plate"
    else:
        what = f"Every cell of the plate as a window of {locations.box_size} pixels and a margin"
    masks = ", with a plane that says which pixels are the cell's own" if locations.mask_objects else ""
    return (
        f"{what}{masks}, lossless and in the bit depth of its source. Holds no labels: what a crop is for is "
        "decided by the training set."
    )


def _objects_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        OBJECTS_CHECK, asset=key, description="Every cell's centre lies on an object of its own."
    )


def _cells_in_objects(manifest: Mapping) -> dg.AssetCheckResult:
    outside, shared = manifest["cells_without_object"], manifest["cells_sharing_object"]
    return check(
        OBJECTS_CHECK,
        outside == shared == 0,
        cells=manifest["cells"],
        cells_on_no_object=outside,
        cells_sharing_an_object=shared,
    )


def _crops_not_flat(rules: ChecksSettings, manifest: Mapping) -> dg.AssetCheckResult:
    flat, cells = manifest["flat_cells"], manifest["cells"]
    share = sum(flat.values()) / max(1, cells)
    rows = [
        {"flat in": names, "crops": count, "fraction": round(count / max(1, cells), 4)}
        for names, count in sorted(flat.items(), key=lambda item: -item[1])
    ]
    return judged(
        rules,
        CROPS_NOT_FLAT,
        not flat,
        mild=share <= rules.flat_fraction,
        remedy="flat crops are kept out of training, but have features: look whether the channel is empty "
        "there (check fields_not_empty of image_quality), and whether cells lie outside their image",
        flat_crops=sum(flat.values()),
        fraction=round(share, 4),
        threshold_that_blocks=rules.flat_fraction,
        **({"flat": table(rows)} if rows else {}),
    )


def _store_facts(store: CropStore, project: ProjectResource, label: str | None) -> Metadata:
    from dp_assets.figures.crop_sheet import TITLE, crop_sheet

    geometry = store.folder.manifest["geometry"]
    facts: dict[str, dg.MetadataValue | str | int | float] = {
        "cells": len(store),
        "window_pixels": store.side,
        "channels": ", ".join(store.channels),
        "dtype": str(store.dtype),
    }
    if len(store):
        labels = _cell_labels(store, project, label)
        rows = rows_per_label(labels, SHEET_ROWS, SHEET_COLUMNS)
        pictures = shown_crops(store, rows, geometry["margin"])
        title = TITLE if geometry.get("view_size") is None else "Views"
        sheet = crop_sheet(pictures, [labels[row] for row in rows], store.channels, title)
        facts["crops"] = picture(sheet, "crops by treatment")
    return facts


def shown_crops(store: CropStore, rows: np.ndarray, margin: int) -> np.ndarray:
    """Some windows as pictures, without their margin and masked where cells are, small enough for a sheet.

    Returns
    -------
    (cells, rows, cols, channels) float32, at most 72 pixels a side.
    """
    from dp_assets.figures.crop_sheet import LONGEST_SIDE

    found = []
    inner = slice(margin, store.side - margin)
    # One after the other: windows of whole images are large.
    for row in rows:
        if store.mask_sampling is None:
            window = store.windows([row])[0]
        else:
            windows, masks = store.windows_and_masks([row])
            window = windows[0] * (masks[0, ..., None] > 0)
        found.append(shrink(window[inner, inner], LONGEST_SIDE))
    return np.stack(found)


def _cell_labels(store: CropStore, project: ProjectResource, label: str | None) -> list[str]:
    """The treatment of every cell, or its well where treatments are not known (yet).

    Read on the side, without an edge in the graph: a corrected label must not make pixels stale.
    """
    wells = store.index[WELL].to_pylist()
    path = project.path(("plate_annotations",), store.folder.manifest["plate"], ".parquet")
    if label is None or not path.exists():
        return wells
    annotations = read_table(path)
    if annotation_column(label) not in annotations.column_names:
        return wells
    columns = (annotations[name].to_pylist() for name in (WELL, SITE, annotation_column(label)))
    treatments = {(well, site): value for well, site, value in zip(*columns, strict=True)}
    sites = store.index[SITE].to_pylist()
    return [treatments.get(key, key[0]) for key in zip(wells, sites, strict=True)]


def rows_per_label(labels: Sequence[str], most_labels: int, per_label: int) -> np.ndarray:
    """Row numbers for a sheet: for up to `most_labels` labels, `per_label` cells spread evenly over each."""
    by_label: dict[str, list[int]] = {}
    for row, name in enumerate(labels):
        by_label.setdefault(name, []).append(row)
    names = sorted(by_label)
    shown = [names[i] for i in np.linspace(0, len(names) - 1, min(most_labels, len(names))).astype(int)]
    chosen = []
    for name in shown:
        rows = by_label[name]
        chosen += [rows[i] for i in np.linspace(0, len(rows) - 1, min(per_label, len(rows))).astype(int)]
    return np.asarray(chosen)
