"""The outline images of a plate, in projects whose experiments mask cells."""

import dagster as dg
import pyarrow as pa

from dp_assets.orchestration.assets.plates import GROUP
from dp_assets.orchestration.crop_inputs import outline_location
from dp_assets.orchestration.partitions import plates
from dp_assets.orchestration.progress import reporter
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import (
    COMMON,
    failure_table,
    identified,
    schema_check,
    sites_check,
    table_checks,
)
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.storage.outlines_file import read_outlines
from dp_assets.storage.plate_outlines import (
    describe_plate_outlines,
    outline_failures,
    refuse_outline_failures,
)

OUTLINES_VERSION = "1"


def plate_outlines_asset() -> dg.AssetsDefinition:
    """The outline image of every field of view."""

    @dg.asset(
        group_name=GROUP,
        **COMMON,
        kinds={"parquet"},
        partitions_def=plates,
        io_manager_key="table_io",
        code_version=OUTLINES_VERSION,
        check_specs=table_checks(dg.AssetKey("plate_outlines"), "sites_complete"),
    )
    def plate_outlines(
        context: dg.AssetExecutionContext,
        project: ProjectResource,
        image_index: pa.Table,
        plate_images: pa.Table,
    ) -> dg.MaterializeResult:
        """The plate's outline or label images: path, size, type and content fingerprint of each site's.

        Listed in `inputs/metadata/outlines.csv`, or in the column `Outlines` of the image index. Masked crops
        depend on these fingerprints, so a changed outline recomputes its site and no other.
        """
        with user_errors():
            listing = read_outlines(project.layout.metadata, image_index, project.image_roots)
            outlines = describe_plate_outlines(
                plate_images,
                listing,
                outline_location(project),
                workers=project.workers,
                maximum_pixels=project.maximum_image_pixels,
                progress=reporter(context, "outlines"),
            )
            failures = outline_failures(outlines)
            refuse_outline_failures(
                failures,
                plate=context.partition_key,
                sites=outlines.num_rows,
                on_bad_site=project.on_bad_site,
            )
        table, version = identified(outlines)
        return dg.MaterializeResult(
            value=table,
            data_version=version,
            metadata={
                "sites": table.num_rows,
                "types": ", ".join(sorted({kind for kind in table["dtype"].to_pylist() if kind})),
                "listed_in": listing.source,
                **failure_table(failures),
            },
            check_results=[schema_check(table, "plate_outlines"), sites_check(failures)],
        )

    return plate_outlines
