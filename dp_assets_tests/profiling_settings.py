"""Settings of profiling experiments for tests."""

from typing import Any

from dp_assets.config.network import ArchitectureParameters, ArchitectureSettings
from dp_assets.config.sections import (
    CompressionSettings,
    ImagesSettings,
    LocationsSettings,
    ModelSettings,
    ProfileSettings,
    SingleCellsSettings,
)
from dp_assets.config.stages import ProfilingSettings

STRETCHED = CompressionSettings(implement=True)


def profiling_settings(
    *channels: str,
    box_size: int = 16,
    bits: int = 16,
    allow_channel_mapping: bool = False,
    network: str = "cnn",
    crop_generator: str = "sampled_crop_generator",
    conv_blocks: int = 2,
    feature_dim: int = 6,
    mask_objects: bool = False,
    compression: CompressionSettings | None = None,
    input_size: int | None = None,
    cells: dict[str, Any] | None = None,
    **locations: Any,
) -> ProfilingSettings:
    """A profiling stage; `cells` is the section `single_cells`, `locations` further keys of that section."""
    return ProfilingSettings(
        images=ImagesSettings(channels=channels or ("DNA", "RNA"), bits=bits),
        locations=LocationsSettings(box_size=box_size, mask_objects=mask_objects, **locations),
        single_cells=SingleCellsSettings(**(cells or {})),
        compression=compression,
        profile=ProfileSettings(
            feature_layer="features", checkpoint="c.weights.h5", use_pretrained_input_size=input_size
        ),
        network=ArchitectureSettings(
            name=network,
            crop_generator=crop_generator,
            params=ArchitectureParameters(conv_blocks=conv_blocks, feature_dim=feature_dim),
        ),
        model=ModelSettings(allow_channel_mapping=allow_channel_mapping),
    )
