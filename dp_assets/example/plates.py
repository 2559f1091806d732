"""Writing synthetic plates in the handbook's layout: images, cell locations and the image index."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import tifffile

from dp_assets.example.microscope import Microscope, set_up_microscope
from dp_assets.example.phenotypes import CONTROL, mechanism_of, phenotype_of
from dp_assets.example.scene import SceneSettings, draw_scene
from dp_assets.example.textures import TextureBank, make_textures

Progress = Callable[[int, int], None]
STRENGTH_SPREAD = 0.06  # wells of one dose do not react alike


@dataclass(frozen=True)
class WellPlan:
    """What one well of one plate holds.

    Attributes
    ----------
    plate, well : names.
    treatment : `DMSO` or one of the invented treatments; decides how cells look.
    compound : what was given: one of the compounds of the treatment.
    batch : the batch that the plate was imaged in.
    concentration : micromolar; 0 for the control.
    strength : how much of the compound's full effect the cells show, 0 to 1.
    replicate : 1, 2, ... among the wells of this treatment and concentration.
    split : value of the split column, `training` or `validation`.
    """

    plate: str
    well: str
    treatment: str
    compound: str
    batch: str
    concentration: float
    strength: float
    replicate: int
    split: str


@dataclass(frozen=True)
class ImagingPlan:
    """How every well is imaged.

    Attributes
    ----------
    scene : stains, size in pixels, cells per field, size of the cells.
    sites : fields of view per well.
    dtype : `uint8` or `uint16`.
    file_format : `tiff` or `png`.
    """

    scene: SceneSettings
    sites: int
    dtype: str = "uint16"
    file_format: str = "tiff"


@dataclass(frozen=True)
class ExampleSummary:
    """What was written.

    Attributes
    ----------
    root : the project folder.
    plates, wells : names; wells are those of each plate.
    channels : stains, in order.
    sites, cells, images : totals over all plates.
    experiments : configuration file names without ending.
    """

    root: Path
    plates: tuple[str, ...]
    wells: tuple[str, ...]
    channels: tuple[str, ...]
    sites: int
    cells: int
    images: int
    experiments: tuple[str, ...]


def write_plates(
    root: Path, wells: Sequence[WellPlan], imaging: ImagingPlan, seed: int, progress: Progress | None = None
) -> int:
    """Write inputs/images, inputs/locations and inputs/metadata/index.csv; existing files are replaced.

    A field's pixels depend on the seed and on its position in the list only, so the same call writes the same
    bytes.

    Parameters
    ----------
    root : the project folder; made when it is not there.
    wells : what the plates hold, plate by plate.
    imaging : how they are imaged.
    seed : source of all randomness.
    progress : called with (fields done, fields in all) after every field.

    Returns
    -------
    The number of cells listed.
    """
    textures = make_textures(np.random.default_rng([seed, 0]), imaging.scene.scale)
    microscopes = _microscopes(wells, imaging, seed)
    rows: list[dict[str, str]] = []
    cells = 0
    for number, well in enumerate(wells):
        for site in range(1, imaging.sites + 1):
            rng = np.random.default_rng([seed, 2, number, site])
            image, centres = _image_field(well, imaging.scene, textures, microscopes[well.plate], rng)
            rows.append(_index_row(well, site) | _write_images(root, well, site, image, imaging))
            _write_locations(root, well, site, centres)
            cells += len(centres)
            if progress is not None:
                progress(len(rows), len(wells) * imaging.sites)
    index = root / "inputs" / "metadata" / "index.csv"
    index.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(index, index=False)
    return cells


def _microscopes(wells: Sequence[WellPlan], imaging: ImagingPlan, seed: int) -> dict[str, Microscope]:
    scene = imaging.scene
    return {
        plate: set_up_microscope(
            scene.channels, scene.shape, np.dtype(imaging.dtype), np.random.default_rng([seed, 1, number])
        )
        for number, plate in enumerate(dict.fromkeys(well.plate for well in wells))
    }


def _image_field(
    well: WellPlan,
    settings: SceneSettings,
    textures: TextureBank,
    microscope: Microscope,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    strength = 0.0 if well.treatment == CONTROL else well.strength + rng.normal(0, STRENGTH_SPREAD)
    looks = phenotype_of(well.treatment, float(np.clip(strength, 0, 1)))
    scene, centres = draw_scene(settings, looks, textures, rng)
    return microscope.expose(scene, rng), centres


def _index_row(well: WellPlan, site: int) -> dict[str, str]:
    return {
        "Metadata_Plate": well.plate,
        "Metadata_Well": well.well,
        "Metadata_Site": str(site),
        "Treatment": well.treatment,
        "Concentration": f"{well.concentration:g}",
        "Replicate": str(well.replicate),
        "Compound": well.compound,
        "MOA": mechanism_of(well.treatment),
        "Batch": well.batch,
        "Split": well.split,
    }


def _write_images(
    root: Path, well: WellPlan, site: int, image: np.ndarray, imaging: ImagingPlan
) -> dict[str, str]:
    """Write one file per channel; returns the index columns, paths relative to inputs/images."""
    folder = root / "inputs" / "images" / well.plate
    folder.mkdir(parents=True, exist_ok=True)
    columns = {}
    for number, channel in enumerate(imaging.scene.channels):
        name = f"{well.well}_s{site}_{channel}.{imaging.file_format}"
        plane = np.ascontiguousarray(image[..., number])
        if imaging.file_format == "png":
            (folder / name).write_bytes(imagecodecs.png_encode(plane, level=1))
        else:
            # Neither time nor program name goes into the header: the same seed gives the same file.
            tifffile.imwrite(folder / name, plane, photometric="minisblack", metadata=None, software=False)
        columns[channel] = f"{well.plate}/{name}"
    return columns


def _write_locations(root: Path, well: WellPlan, site: int, centres: np.ndarray) -> None:
    folder = root / "inputs" / "locations" / well.plate
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(
        {"Nuclei_Location_Center_X": centres[:, 1], "Nuclei_Location_Center_Y": centres[:, 0]}
    )
    frame.to_csv(folder / f"{well.well}-{site}-Nuclei.csv", index=False)
