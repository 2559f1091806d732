"""Which grey levels become 0 and 1 under normalization "plate", and which assets must be known for it."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
import numpy as np

from dp_assets.config.errors import TrainingDataError
from dp_assets.config.stages import CropSettings
from dp_assets.orchestration.io_managers import FAN_IN
from dp_assets.orchestration.outputs import StoredIllumination
from dp_assets.training.store_crops import PlateRange

ILLUMINATION = "illumination_functions"
WHITE = 255.0


def needs_plate_statistics(settings: CropSettings) -> bool:
    """Whether normalisation asks for the plate's grey-level statistics: its images are not stretched yet."""
    return settings.single_cells.normalization == "plate" and not _stretched(settings)


def statistics_inputs(settings: CropSettings, *, all_plates: bool = False) -> dict[str, dg.AssetIn]:
    """The inputs that `plate_range` needs; none for most experiments."""
    if not needs_plate_statistics(settings):
        return {}
    if all_plates:
        return {ILLUMINATION: dg.AssetIn(metadata=FAN_IN, partition_mapping=dg.AllPartitionMapping())}
    return {ILLUMINATION: dg.AssetIn()}


def plate_range(settings: CropSettings, statistics: StoredIllumination | None) -> PlateRange | None:
    """Grey levels (lower (channels,), upper (channels,)) that become 0 and 1; None for other normalisations.

    Stretched images use all 256 levels. Others take the 0.0001 and 0.9999 quantiles of the plate's images.
    """
    if settings.single_cells.normalization != "plate":
        return None
    if statistics is None:
        channels = len(settings.images.channels)
        return np.zeros(channels), np.full(channels, WHITE)
    return statistics.functions.lower_quantiles, statistics.functions.upper_quantiles


def ranges_of_plates(
    settings: CropSettings, plates: Iterable[str], statistics: Mapping[str, StoredIllumination]
) -> dict[str, Any]:
    """plate -> [lower levels, upper levels] as plain numbers; empty for other normalisations.

    Raises
    ------
    TrainingDataError : the statistics of a plate are needed and not there.
    """
    if settings.single_cells.normalization != "plate":
        return {}
    ranges = {}
    for plate in plates:
        if needs_plate_statistics(settings) and plate not in statistics:
            raise TrainingDataError(
                f"normalization plate needs the grey-level statistics of plate {plate}",
                where="single_cells.normalization",
                remedy=f"materialize {ILLUMINATION} for plate {plate}",
            )
        found = plate_range(settings, statistics.get(plate))
        ranges[plate] = [values.tolist() for values in found] if found is not None else None
    return ranges


def _stretched(settings: CropSettings) -> bool:
    compression = settings.compression
    return compression is not None and compression.implement and compression.stretch != "none"
