"""The quality of a plate's images: focus, saturation, contrast, and whether channels fit their names."""

from collections.abc import Mapping
from contextlib import ExitStack

import dagster as dg
import numpy as np
import pyarrow as pa

from dp_assets.config.checks import ChecksSettings
from dp_assets.config.errors import StoreError
from dp_assets.imaging import plate_quality
from dp_assets.imaging.plate_quality import PlateQuality, measure_plate, quality_fingerprint
from dp_assets.orchestration.assets.plates import GROUP
from dp_assets.orchestration.assets.preparation import original_sites
from dp_assets.orchestration.image_checks import IMAGE_CHECKS, focus_picture, image_checks
from dp_assets.orchestration.outputs import Metadata, TableOutput, unchanged
from dp_assets.orchestration.partitions import plates
from dp_assets.orchestration.progress import reporter
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import (
    COMMON,
    failure_table,
    judged_checks,
    picture,
    schema_check,
    sites_check,
    stored_failures,
    table_checks,
)
from dp_assets.orchestration.stage_config import StageConfig
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.storage.image_sites import failures_of
from dp_assets.storage.tables import StoredTable, read_provenance, read_table

ASSET = "image_quality"
MOST_EARLIER = 20


def image_quality_asset(channels: tuple[str, ...], rules: ChecksSettings) -> dg.AssetsDefinition:
    """The measures of all images of a plate; nothing is made from them."""
    key = dg.AssetKey(ASSET)

    @dg.asset(
        key=key,
        group_name=GROUP,
        **COMMON,
        kinds={"parquet"},
        partitions_def=plates,
        io_manager_key="table_io",
        code_version=plate_quality.VERSION,
        check_specs=[
            *table_checks(key, "sites_complete"),
            *judged_checks(key, rules, *IMAGE_CHECKS),
        ],
    )
    def image_quality(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        project: ProjectResource,
        plate_images: pa.Table,
    ) -> dg.MaterializeResult:
        """Focus, saturation, noise and grey levels of every image as it came from the microscope.

        Its checks compare fields of view with the rest of the plate, and the plate with earlier ones. Nothing
        is made from this table.
        """
        plate = context.partition_key
        made = None
        with user_errors(), ExitStack() as held:
            sites = original_sites(plate, plate_images, channels, project)
            content = quality_fingerprint(sites, channels)
            if config.force or not project.is_current(context, ".parquet", content):
                held.enter_context(project.work(context).locked())
                made, _ = measure_plate(
                    sites, channels, progress=reporter(context, "sites"), **project.site_options(context)
                )
            measured = read_table(project.path((ASSET,), plate, ".parquet")) if made is None else made
            quality = PlateQuality.of(measured)
            rules = project.check_rules
            facts = read_provenance(measured.schema)
            failures = stored_failures(facts.get("failures", [])) or failures_of(sites)
            found = [
                schema_check(measured, ASSET),
                sites_check(failures),
                *image_checks(rules, plate, quality, _earlier_plates(context, project)),
            ]
            # The work folder holds the finished sites until the table is published.
            clear = project.work(context).clear

            def describe(_: StoredTable) -> Metadata:
                if made is not None:
                    clear()
                return {**_facts(plate, quality), **unchanged(made is not None), **failure_table(failures)}

            output = TableOutput(made, describe, held=held.pop_all())
        return dg.MaterializeResult(
            value=output,
            data_version=dg.DataVersion(facts["fingerprint"]),
            check_results=found,
        )

    return image_quality


def _earlier_plates(
    context: dg.AssetExecutionContext, project: ProjectResource
) -> Mapping[str, PlateQuality]:
    """The measures of the plates registered before this one, as far as they are there.

    Read on the side, without an edge in the graph: an earlier plate that is measured again must not make
    later ones stale.
    """
    registered = list(context.instance.get_dynamic_partitions(plates.name or ""))
    before = registered[: registered.index(context.partition_key)]
    found: dict[str, PlateQuality] = {}
    for plate in reversed(before):
        if len(found) == MOST_EARLIER:
            break
        try:
            found[plate] = PlateQuality.of(read_table(project.path((ASSET,), plate, ".parquet")))
        except FileNotFoundError:
            context.log.debug(f"{plate} is not measured yet")
        except StoreError as error:
            # It is no input of this plate: its own run says what to do about it.
            context.log.warning(f"{plate} is left out of the comparison: {error}")
    return dict(reversed(found.items()))


def _facts(plate: str, quality: PlateQuality) -> Metadata:
    medians = [
        dg.TableRecord(
            {
                "channel": channel,
                # What no image of a channel without contrast has is an empty cell: rows of a table have the
                # same columns.
                **{
                    name: round(float(np.nanmedian(values[:, number])), 4)
                    if np.isfinite(values[:, number]).any()
                    else None
                    for name, values in quality.measures.items()
                    if np.isfinite(values).any()
                },
            }
        )
        for number, channel in enumerate(quality.channels)
    ]
    facts: dict[str, dg.MetadataValue | str | int | float | bool] = {
        "fields": len(quality),
        "images": len(quality) * len(quality.channels),
        "medians": dg.MetadataValue.table(medians),
    }
    if np.isfinite(quality.measures["focus_slope"]).any():
        facts["focus"] = picture(focus_picture(plate, quality), "focus by well")
    return facts
