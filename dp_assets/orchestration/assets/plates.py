"""What a plate consists of: the image index, and per plate its images, annotations and cell locations."""

from collections import Counter

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from dp_assets.config.checks import ChecksSettings
from dp_assets.config.digest import settings_digest
from dp_assets.config.sections import ImagesSettings, MetadataSettings
from dp_assets.orchestration.location_checks import (
    COUNTS_USUAL,
    INSIDE,
    ON_NUCLEI,
    cell_count_check,
    inside_check,
    nuclei_check,
    sample_centres,
)
from dp_assets.orchestration.outputs import TableOutput
from dp_assets.orchestration.partitions import plates, register_plates
from dp_assets.orchestration.progress import reporter
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import (
    COMMON,
    check,
    failure_table,
    identified,
    judged_checks,
    picture,
    schema_check,
    sites_check,
    table_checks,
)
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.storage import plate_tables
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.image_sites import failures_of, refuse_failures, sites_of_plate
from dp_assets.storage.index_file import read_index
from dp_assets.storage.plate_tables import (
    annotate_plate,
    collect_locations,
    describe_plate_images,
    image_paths,
)
from dp_assets.storage.schemas import CENTER_X, CENTER_Y, PLATE, SITE, WELL
from dp_assets.storage.tables import StoredTable, read_provenance, read_table

GROUP = "plates"
LOCATIONS_VERSION = "1"


def plate_assets(
    images: ImagesSettings, rules: ChecksSettings, metadata: MetadataSettings | None
) -> list[dg.AssetsDefinition]:
    """The assets that describe one plate.

    Parameters
    ----------
    rules : which checks block.
    metadata : which wells are controls; None when the project does not say.
    """
    return [
        _plate_images(images),
        _plate_annotations(images.channels),
        _cell_locations(images, rules, metadata),
    ]


def _channels_version(channels: tuple[str, ...]) -> str:
    """The code version of assets that read nothing of the configuration but which columns are images."""
    return fingerprint(list(channels))


def image_index_asset(channels: tuple[str, ...]) -> dg.AssetsDefinition:
    """The image index of a project with these channels."""

    @dg.asset(
        group_name=GROUP,
        **COMMON,
        kinds={"parquet"},
        io_manager_key="table_io",
        code_version=_channels_version(channels),
        check_specs=table_checks(dg.AssetKey("image_index"), "plates_listed"),
    )
    def image_index(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        """The image index: one row per field of view, checked. Materializing it registers the plates.

        Read from `inputs/metadata/index.csv` (or `.parquet`). Plates become partitions; those that vanish
        from the index stay registered.
        """
        with user_errors():
            index = read_index(project.index_location(), channels)
        listed = index[PLATE].unique().to_pylist()
        known = set(context.instance.get_dynamic_partitions(plates.name))
        new = [plate for plate in listed if plate not in known]
        register_plates(context.instance, new)
        vanished = sorted(known - set(listed))
        table, version = identified(index)
        return dg.MaterializeResult(
            value=table,
            data_version=version,
            metadata={
                "plates": len(listed),
                "new_plates": ", ".join(new) or "none",
                "wells": len(set(zip(index[PLATE].to_pylist(), index[WELL].to_pylist(), strict=True))),
                "channels": ", ".join(channels),
            },
            check_results=[
                schema_check(table, "image_index"),
                check("plates_listed", not vanished, vanished=", ".join(vanished) or "none"),
            ],
        )

    return image_index


def _plate_images(settings: ImagesSettings) -> dg.AssetsDefinition:
    channels = settings.channels

    @dg.asset(
        group_name=GROUP,
        **COMMON,
        kinds={"parquet"},
        partitions_def=plates,
        io_manager_key="table_io",
        code_version=f"{plate_tables.VERSION}-{settings_digest(settings)}",
        check_specs=table_checks(dg.AssetKey("plate_images"), "sites_complete", "configured_size"),
    )
    def plate_images(
        context: dg.AssetExecutionContext, project: ProjectResource, image_index: pa.Table
    ) -> dg.MaterializeResult:
        """The plate's image files: path, size, type and content fingerprint of every channel of every site.

        Each file is read once. Everything made from pixels depends on these fingerprints, so a file that was
        touched but not changed recomputes nothing.
        """
        location = project.image_location()
        with user_errors():
            images = describe_plate_images(
                image_index,
                context.partition_key,
                channels,
                location,
                bits=settings.bits,
                workers=project.workers,
                z=settings.z,
                maximum_pixels=project.maximum_image_pixels,
                progress=reporter(context, "images"),
            )
            sites = sites_of_plate(context.partition_key, images, channels, image_paths(images, location))
            failures = failures_of(sites)
            good = len(sites) - len(failures)
            refuse_failures(
                failures,
                plate=context.partition_key,
                finished=0,
                on_bad_site=project.on_bad_site if good else "fail",
            )
        table, version = identified(images)
        return dg.MaterializeResult(
            value=table,
            data_version=version,
            metadata={**_image_facts(images), **failure_table(failures)},
            check_results=[
                schema_check(table, "plate_images"),
                sites_check(failures),
                _configured_size(images, settings),
            ],
        )

    return plate_images


def _image_facts(images: pa.Table) -> dict[str, dg.MetadataValue | str | int]:
    rows = images.to_pylist()
    sizes = Counter(f"{row['height']} x {row['width']} {row['dtype']}" for row in rows if row["height"])
    return {
        "sites": len({(row[WELL], row[SITE]) for row in rows}),
        "wells": len({row[WELL] for row in rows}),
        "images": len(rows),
        "size_rows_x_columns": ", ".join(f"{size} ({count})" for size, count in sizes.most_common()),
        "image_bytes": sum(row["bytes"] or 0 for row in rows),
    }


def _configured_size(images: pa.Table, settings: ImagesSettings) -> dg.AssetCheckResult:
    """The configured width and height are a check only: crops follow the size of the files."""
    stated = (settings.height, settings.width)
    found = {(row["height"], row["width"]) for row in images.to_pylist() if row["height"]}
    differing = [
        size
        for size in sorted(found)
        if any(want is not None and want != have for want, have in zip(stated, size, strict=True))
    ]
    return check(
        "configured_size",
        not differing,
        configured=f"{stated[0]} x {stated[1]} (rows x columns)",
        found=", ".join(f"{rows} x {cols}" for rows, cols in sorted(found)) or "none",
    )


def _plate_annotations(channels: tuple[str, ...]) -> dg.AssetsDefinition:
    @dg.asset(
        group_name=GROUP,
        **COMMON,
        kinds={"parquet"},
        partitions_def=plates,
        io_manager_key="table_io",
        code_version=_channels_version(channels),
        check_specs=table_checks(dg.AssetKey("plate_annotations")),
    )
    def plate_annotations(context: dg.AssetExecutionContext, image_index: pa.Table) -> dg.MaterializeResult:
        """The plate's treatments, labels, splits and replicates: every index column but the image paths.

        Training, profiles and scores depend on it; images and crops do not, so a corrected label recomputes
        no pixel.
        """
        with user_errors():
            annotations = annotate_plate(image_index, context.partition_key, channels)
        table, version = identified(annotations)
        return dg.MaterializeResult(
            value=table,
            data_version=version,
            metadata={"columns": ", ".join(annotations.column_names)},
            check_results=[schema_check(table, "plate_annotations")],
        )

    return plate_annotations


def _cell_locations(
    images: ImagesSettings, rules: ChecksSettings, metadata: MetadataSettings | None
) -> dg.AssetsDefinition:
    key = dg.AssetKey("cell_locations")

    @dg.asset(
        group_name=GROUP,
        **COMMON,
        kinds={"parquet"},
        partitions_def=plates,
        io_manager_key="table_io",
        code_version=LOCATIONS_VERSION,
        check_specs=[
            *table_checks(key, "cells_found"),
            *judged_checks(key, rules, COUNTS_USUAL, INSIDE, ON_NUCLEI),
        ],
    )
    def cell_locations(
        context: dg.AssetExecutionContext, project: ProjectResource, plate_images: pa.Table
    ) -> dg.MaterializeResult:
        """The centres of all cells of the plate, in pixels of the original images.

        Read from a table of the plate or of several in `inputs/locations`, or from one file per site,
        `inputs/locations/<plate>/<well>-<site>-Nuclei.csv`; a site without a file has no cells.
        """
        sites = list(dict.fromkeys(zip(*(plate_images[n].to_pylist() for n in (WELL, SITE)), strict=True)))
        with user_errors():
            locations = collect_locations(
                context.partition_key,
                sites,
                project.layout.locations,
                workers=project.workers,
                roots=project.image_roots,
            )
            judged_by_cells = _location_checks(
                context.partition_key, images, metadata, project, plate_images, locations
            )
        table, version = identified(locations)
        counts = read_provenance(table.schema)["sites"]
        return dg.MaterializeResult(
            value=TableOutput(table, lambda _: _location_facts(context.partition_key, counts)),
            data_version=version,
            check_results=[
                schema_check(table, "cell_locations"),
                _cells_found(table),
                *judged_by_cells,
            ],
        )

    return cell_locations


def _location_facts(plate: str, counts: dict[str, int]) -> dict[str, dg.MetadataValue | str | int]:
    from dp_assets.figures.plate_heatmap import plate_heatmap

    wells: Counter[str] = Counter()
    for key, count in counts.items():
        wells[key.split("/", 1)[0]] += count
    cells = sorted(counts.values())
    return {
        "cells": sum(cells),
        "sites_without_cells": sum(1 for count in cells if count == 0),
        "cells_per_site": f"{cells[0]} to {cells[-1]}, median {cells[len(cells) // 2]}",
        "cell_counts": picture(
            plate_heatmap(dict(wells), f"{plate}: cells per well", "cells"), "cells per well"
        ),
    }


def _cells_found(table: pa.Table) -> dg.AssetCheckResult:
    facts = read_provenance(table.schema)
    place = [WELL, SITE, CENTER_X, CENTER_Y]
    twice = table.num_rows - table.group_by(place).aggregate([]).num_rows
    return check(
        "cells_found",
        table.num_rows > 0 and not facts["without_file"] and not twice,
        cells=table.num_rows,
        cells_listed_again=twice,
        sites_without_file=", ".join(facts["without_file"][:20]) or "none",
    )


def _location_checks(
    plate: str,
    images: ImagesSettings,
    metadata: MetadataSettings | None,
    project: ProjectResource,
    plate_images: pa.Table,
    cells: pa.Table,
) -> list[dg.AssetCheckResult]:
    rules = project.check_rules
    sizes = Counter((row["height"], row["width"]) for row in plate_images.to_pylist() if row["height"])
    paths = image_paths(plate_images, project.image_location())
    sampled = sample_centres(
        sites_of_plate(plate, plate_images, images.channels, paths),
        cells,
        project.workers,
        project.maximum_image_pixels,
    )
    counts = read_provenance(cells.schema)["sites"]
    return [
        cell_count_check(rules, plate, counts, control_wells(plate, metadata, project)),
        inside_check(rules, plate, cells, sizes.most_common(1)[0][0] if sizes else None),
        nuclei_check(rules, plate, images.channels, sampled),
    ]


def control_wells(plate: str, metadata: MetadataSettings | None, project: ProjectResource) -> list[str]:
    """The wells of a plate that the published index calls controls; none when it is not known which are.

    Read on the side, without an edge in the graph: a corrected label must make no location stale.
    """
    if metadata is None or metadata.control_value is None:
        return []
    path = project.path(("image_index",), None, ".parquet")
    if not path.exists() or metadata.label_field not in StoredTable(path).schema().names:
        return []
    index = read_table(path, [PLATE, WELL, metadata.label_field])
    is_control = pc.and_(
        pc.equal(index[PLATE], plate), pc.equal(index[metadata.label_field], metadata.control_value)
    )
    return index.filter(is_control)[WELL].unique().to_pylist()
