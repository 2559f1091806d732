"""The smallest project that still has everything: for tests, written in a fraction of a second."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dp_assets.example.experiments import experiment_configuration, write_configuration
from dp_assets.example.phenotypes import CONTROL, compound_of, treatments
from dp_assets.example.plates import ExampleSummary, ImagingPlan, WellPlan, write_plates
from dp_assets.example.project import summarise
from dp_assets.example.scene import SceneSettings

TINY_SCALE = 0.5


def write_tiny_project(
    root: Path,
    *,
    plates: int = 2,
    wells: int = 4,
    sites_per_well: int = 1,
    cells_per_site: int = 6,
    shape: tuple[int, int] = (128, 128),
    channels: Sequence[str] = ("DNA", "RNA", "Mito"),
    dtype: str = "uint16",
    file_format: str = "tiff",
    box_size: int = 32,
    epochs: int = 1,
    batch_size: int = 8,
    experiments: Sequence[str] = ("cnn",),
    overrides: Mapping[str, Any] | None = None,
    seed: int = 1,
) -> ExampleSummary:
    """Write a tiny project: plates `TINY00001`, ...; wells `A01`, `A02`, ... with control and treatment
    alternating.

    The first half of the wells of each plate is for training, the second half for validation.

    Parameters
    ----------
    root : the project folder.
    plates, wells, sites_per_well, cells_per_site : numbers; wells are per plate, at most 24.
    shape : (rows, cols) of the images, pixels.
    channels : stains out of `dp_assets.example.cells.CHANNELS`.
    dtype : `uint8` or `uint16`.
    file_format : `tiff` or `png`.
    box_size, epochs, batch_size : of the experiments.
    experiments : which configurations to write, of `cnn` and `efficientnet`.
    overrides : merged into every configuration, section by section: `{"prepare": {"compression":
        {"implement": False}}}`.
    seed : source of all randomness.
    """
    root = Path(root)
    scene = SceneSettings(tuple(channels), shape, cells_per_site, TINY_SCALE)
    imaging = ImagingPlan(scene, sites_per_well, dtype, file_format)
    plans = _plan(plates, wells)
    cells = write_plates(root, plans, imaging, seed)
    for name in experiments:
        configuration = experiment_configuration(
            name, imaging, box_size=box_size, epochs=epochs, batch_size=batch_size
        )
        write_configuration(root, name, _merge(configuration, overrides or {}))
    return summarise(root, plans, imaging, cells, tuple(experiments))


def _plan(plates: int, wells: int) -> list[WellPlan]:
    treated = treatments()[1]
    return [
        WellPlan(
            plate=f"TINY{plate + 1:05d}",
            well=f"A{well + 1:02d}",
            treatment=treated if well % 2 else CONTROL,
            compound=compound_of(treated if well % 2 else CONTROL, plate),
            batch=str(plate + 1),
            concentration=10.0 if well % 2 else 0.0,
            strength=1.0 if well % 2 else 0.0,
            replicate=plate * ((wells + 1) // 2) + well // 2 + 1,
            split="training" if well < (wells + 1) // 2 else "validation",
        )
        for plate in range(plates)
        for well in range(wells)
    ]


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it; sections are merged, anything else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged
