"""Preparation of a plate: illumination functions and compressed images."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import dagster as dg
import pyarrow as pa

from dp_assets.config.checks import ChecksSettings
from dp_assets.config.digest import settings_digest
from dp_assets.config.errors import ConfigurationError
from dp_assets.config.sections import CompressionSettings
from dp_assets.config.stages import PreparationSettings
from dp_assets.imaging import basic, plate_compression, plate_illumination
from dp_assets.imaging.illumination import IlluminationFunctions
from dp_assets.imaging.plate_compression import (
    CompressionPlan,
    EarlierImages,
    compress_plate,
    compressed_sites,
)
from dp_assets.imaging.plate_illumination import illumination_fingerprint, measure_illumination
from dp_assets.orchestration.assets.plates import GROUP
from dp_assets.orchestration.illumination_checks import ILLUMINATION_RANGE, illumination_checks
from dp_assets.orchestration.outputs import (
    IlluminationOutput,
    Metadata,
    StoredIllumination,
    unchanged,
)
from dp_assets.orchestration.partitions import plates
from dp_assets.orchestration.plate_folders import plate_folder_result
from dp_assets.orchestration.progress import reporter
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import (
    COMMON,
    check,
    checks,
    failure_table,
    judged_checks,
    picture,
    sites_check,
)
from dp_assets.orchestration.stage_config import StageConfig
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.folders import Folder
from dp_assets.storage.image_sites import ImageSite, SiteFailure, failures_of, sites_of_plate, usable
from dp_assets.storage.plate_tables import image_paths
from dp_assets.storage.published import read_arrays


def preparation_assets(settings: PreparationSettings, rules: ChecksSettings) -> list[dg.AssetsDefinition]:
    """Illumination functions and compressed images of a project with a `prepare` section.

    `rules` say which checks block.
    """
    assets = [_illumination_functions(settings, rules)]
    if settings.compression is not None:
        assets.append(_compressed_images(settings, settings.compression))
    return assets


def original_sites(
    plate: str, plate_images: pa.Table, channels: Sequence[str], project: ProjectResource
) -> list[ImageSite]:
    """The sites of a plate with the images as they came from the microscope."""
    return sites_of_plate(plate, plate_images, channels, image_paths(plate_images, project.image_location()))


def _illumination_functions(settings: PreparationSettings, rules: ChecksSettings) -> dg.AssetsDefinition:
    digest = settings_digest(settings.illumination)
    channels = settings.images.channels
    key = dg.AssetKey("illumination_functions")

    @dg.asset(
        group_name=GROUP,
        **COMMON,
        kinds={"numpy"},
        partitions_def=plates,
        io_manager_key="arrays_io",
        code_version=f"{plate_illumination.VERSION}-{digest}",
        check_specs=[
            *checks(key, "sites_complete", "channels_not_flat"),
            *judged_checks(key, rules, ILLUMINATION_RANGE),
        ],
    )
    def illumination_functions(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        project: ProjectResource,
        plate_images: pa.Table,
    ) -> dg.MaterializeResult:
        """The plate's illumination correction functions and grey-level statistics, from all its images.

        Mean of thumbnails, median over a disk, scaled so that the function is 1 or more everywhere (handbook,
        `prepare.illumination_correction`).
        """
        sites = original_sites(context.partition_key, plate_images, channels, project)
        content = illumination_fingerprint(sites, channels, f"{digest} {settings.images.bits}")
        failures: Sequence[SiteFailure] = failures_of(sites)
        stored = None
        with user_errors(), ExitStack() as held:
            rules = project.check_rules
            if settings.illumination.method == "basic":
                raise ConfigurationError([basic.UNAVAILABLE])
            if config.force or not project.is_current(context, ".npz", content):
                held.enter_context(project.work(context).locked())
                functions, failures = measure_illumination(
                    sites,
                    channels,
                    bits=settings.images.bits,
                    down_scale_factor=settings.illumination.down_scale_factor,
                    median_filter_size=settings.illumination.median_filter_size,
                    plate_fingerprint=content,
                    progress=reporter(context, "sites"),
                    **project.site_options(context),
                )
                # A site that failed while it was read may be put right: then the functions are made again.
                unread = len(failures) > len(failures_of(sites))
                bad = [failure.as_dict() for failure in failures]
                stored = StoredIllumination(functions, fingerprint(content, bad) if unread else content)
            found = [
                sites_check(failures),
                *illumination_checks(rules, context.partition_key, _made(stored, project, context)),
            ]
            output = IlluminationOutput(
                stored,
                lambda functions: {
                    **_illumination_facts(functions, context.partition_key),
                    **unchanged(stored is not None),
                    **failure_table(failures),
                },
                finished=project.work(context).clear,
                held=held.pop_all(),
            )
        return dg.MaterializeResult(
            value=output,
            data_version=dg.DataVersion(stored.fingerprint if stored else content),
            check_results=found,
        )

    return illumination_functions


def _made(
    stored: StoredIllumination | None, project: ProjectResource, context: dg.AssetExecutionContext
) -> IlluminationFunctions:
    """The new functions, or the published ones that are kept."""
    if stored is not None:
        return stored.functions
    path = project.path(tuple(context.asset_key.path), context.partition_key, ".npz")
    return IlluminationFunctions.from_arrays(read_arrays(path))


def _illumination_facts(functions: IlluminationFunctions, plate: str) -> Metadata:
    from dp_assets.figures.illumination import illumination_figure

    overview = functions.overview
    ranges = [
        dg.TableRecord(
            {
                "channel": channel,
                "mean_grey_level": round(float(functions.mean_values[number]), 2),
                "quantile_0.0001": float(functions.lower_quantiles[number]),
                "quantile_0.9999": float(functions.upper_quantiles[number]),
                "largest_correction": round(float(overview.largest[number]), 4),
            }
        )
        for number, channel in enumerate(functions.channels)
    ]
    drawn = illumination_figure(overview.small, functions.channels, plate)
    return {
        "sites": functions.sites,
        "channels": dg.MetadataValue.table(ranges),
        "functions": picture(drawn, "illumination functions"),
    }


def _compressed_images(
    settings: PreparationSettings, compression: CompressionSettings
) -> dg.AssetsDefinition:
    digest = settings_digest(compression)
    channels = settings.images.channels

    @dg.asset(
        group_name=GROUP,
        **COMMON,
        kinds={compression.codec},
        partitions_def=plates,
        io_manager_key="folder_io",
        code_version=f"{plate_compression.VERSION}-{digest}",
        check_specs=checks(dg.AssetKey("compressed_images"), "sites_complete", "images_not_flat"),
    )
    def compressed_images(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        project: ProjectResource,
        plate_images: pa.Table,
        illumination_functions: StoredIllumination,
    ) -> dg.MaterializeResult:
        """The plate's images corrected for illumination and stretched, one file per site and channel.

        File names are those of the images with the ending of the codec, such as `.png` (handbook,
        `prepare.compression`).
        """
        plan = CompressionPlan(
            sites=original_sites(context.partition_key, plate_images, channels, project),
            channels=channels,
            functions=illumination_functions.functions,
            functions_fingerprint=illumination_functions.fingerprint,
            scaling_factor=compression.scaling_factor,
            stretch=compression.stretch,
            settings_digest=digest,
            codec=compression.codec,
        )
        with user_errors():
            return plate_folder_result(
                context,
                config,
                project,
                plan.fingerprint,
                make=lambda published: compress_plate(
                    plan,
                    progress=reporter(context, "sites"),
                    earlier=EarlierImages(published) if published else None,
                    **project.site_options(context),
                )[0],
                describe=lambda folder: _compression_facts(folder, plan),
                judge=_images_not_flat,
            )

    return compressed_images


def _images_not_flat(manifest: Mapping) -> dg.AssetCheckResult:
    flat = [image["file"] for record in manifest["sites"] for image in record["images"] if image["flat"]]
    return check("images_not_flat", not flat, flat_images=", ".join(flat[:20]) or "none")


def _compression_facts(folder: Folder, plan: CompressionPlan) -> Metadata:
    from dp_assets.figures.contact_sheet import contact_sheet

    images = [image for record in folder.manifest["sites"] for image in record["images"]]
    facts: dict[str, dg.MetadataValue | str | int | float] = {
        "images": len(images),
        "image_bytes": sum(image["bytes"] for image in images),
        "codec": plan.codec,
        "stretch": folder.manifest["stretch"],
        "size_rows_x_columns": " x ".join(map(str, folder.manifest["array_shape"])),
    }
    shown = usable(compressed_sites(folder, plan.sites))
    if shown:
        site = shown[len(shown) // 2]
        facts["contact_sheet"] = picture(
            contact_sheet(site.read(), plan.channels, f"{site.key}, compressed"), "a compressed site"
        )
    return facts
