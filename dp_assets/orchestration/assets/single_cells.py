"""Exported single cells: one crop store per plate and set, shared by experiments with the same geometry."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np

from dp_assets.config.stages import CropSettings
from dp_assets.figures.crop_sheet import crop_sheet
from dp_assets.imaging import plate_crops
from dp_assets.imaging.plate_crops import CropPlan, cells_by_site, export_crops
from dp_assets.orchestration.assets.plates import GROUP
from dp_assets.orchestration.crop_inputs import crop_geometry, geometry_digest, image_inputs, sites_to_cut
from dp_assets.orchestration.outputs import Metadata
from dp_assets.orchestration.partitions import plates
from dp_assets.orchestration.plate_folders import plate_folder_result
from dp_assets.orchestration.progress import reporter
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import (
    COMMON,
    check,
    checks,
    picture,
)
from dp_assets.orchestration.stage_config import StageConfig
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.plate_tables import annotation_column
from dp_assets.storage.schemas import SITE, WELL
from dp_assets.storage.tables import read_table

PREFIX = "single_cells"
SHEET_ROWS, SHEET_COLUMNS = 8, 8


def single_cells_asset(settings: CropSettings, label: str | None) -> dg.AssetsDefinition:
    """The crop store of one set.

    Parameters
    ----------
    label : the index column whose values name the rows of the picture; None when the project has no labels.
    """
    key = dg.AssetKey([PREFIX, settings.set_name])

    @dg.asset(
        key=key,
        group_name=GROUP,
        **COMMON,
        kinds={"crops"},
        partitions_def=plates,
        io_manager_key="crop_store_io",
        ins=image_inputs(settings),
        code_version=f"{plate_crops.VERSION}-{geometry_digest(settings)}",
        check_specs=checks(key, "sites_complete", "crops_not_flat"),
        description=(
            f"Every cell of the plate as a window of {settings.locations.box_size} pixels and a "
            "margin, lossless and in the bit depth of its source. Holds no labels: what a crop is for is "
            "decided by the training set."
        ),
    )
    def single_cells(
        context: dg.AssetExecutionContext, config: StageConfig, project: ProjectResource, **inputs: Any
    ) -> dg.MaterializeResult:
        with user_errors():
            sites, shape, dtype = sites_to_cut(settings, context.partition_key, inputs, project)
            plan = CropPlan(
                sites=sites,
                channels=settings.images.channels,
                cells=cells_by_site(inputs["cell_locations"]),
                geometry=crop_geometry(settings),
                array_shape=shape,
                dtype=dtype,
            )
            return plate_folder_result(
                context,
                config,
                project,
                plan.fingerprint,
                make=lambda: export_crops(
                    plan, progress=reporter(context, "sites"), **project.site_options(context)
                )[0],
                describe=lambda folder: _store_facts(CropStore(folder), plan, project, label),
                judge=_crops_not_flat,
            )

    return single_cells


def _crops_not_flat(manifest: Mapping) -> dg.AssetCheckResult:
    flat = manifest["flat_cells"]
    return check("crops_not_flat", not flat, **{f"flat in {names}": count for names, count in flat.items()})


def _store_facts(store: CropStore, plan: CropPlan, project: ProjectResource, label: str | None) -> Metadata:
    facts: dict[str, dg.MetadataValue | str | int | float] = {
        "cells": len(store),
        "window_pixels": store.side,
        "channels": ", ".join(store.channels),
        "dtype": str(store.dtype),
    }
    if len(store):
        labels = _cell_labels(store, project, label)
        rows = rows_per_label(labels, SHEET_ROWS, SHEET_COLUMNS)
        margin = plan.geometry.margin
        crops = store.windows(rows)[:, margin : store.side - margin, margin : store.side - margin]
        sheet = crop_sheet(crops, [labels[row] for row in rows], store.channels)
        facts["crops"] = picture(sheet, "crops by treatment")
    return facts


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
