"""Plates like those of Cell Painting, made fast: a few scenes, photographed often."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import tifffile

from benchmarks.speed.settings import PlatesSettings
from dp_assets.example.microscope import Microscope, set_up_microscope
from dp_assets.example.phenotypes import CONTROL, phenotype_of, treatments
from dp_assets.example.scene import SceneSettings, draw_scene
from dp_assets.example.textures import make_textures
from dp_assets.storage.fingerprints import fingerprint

VERSION = "1"
STAINS = {"DNA": "DNA", "ER": "RNA", "RNA": "RNA", "AGP": "Actin", "Mito": "Mito"}
"""The channels of Cell Painting, and which stain of the example each looks like."""
SCENES_PER_TREATMENT = 3
BOX_OF_A_CELL = 64  # pixels; the example's box for cells of scale 1
WELLS_PER_PLATE = 12
COLUMNS = 24
ENDINGS = {"tiff-zlib": ".tif", "tiff": ".tif", "png": ".png"}
FACTS = "plates.json"


@dataclass(frozen=True)
class Plates:
    """Plates on disk.

    Attributes
    ----------
    folder : holds `images/`, `locations/` and `index.csv`.
    channels : their names.
    index : one row a site, plate by plate.
    cells : number of cells of each row of the index.
    """

    folder: Path
    channels: tuple[str, ...]
    index: pd.DataFrame
    cells: tuple[int, ...]

    @property
    def images(self) -> Path:
        """Paths of the index are relative to this folder."""
        return self.folder / "images"

    @property
    def locations(self) -> Path:
        """The folder of cell locations."""
        return self.folder / "locations"

    def of_first_sites(self, share: float) -> tuple[pd.DataFrame, int]:
        """The first sites of every plate, at least one: their rows, and the number of their cells."""
        place = self.index.groupby("Metadata_Plate", sort=False).cumcount()
        count = self.index.groupby("Metadata_Plate", sort=False)["Metadata_Site"].transform("size")
        chosen = (place < (count * share).round().clip(lower=1)).to_numpy()
        return self.index[chosen], sum(n for n, taken in zip(self.cells, chosen, strict=True) if taken)


def make_plates(work: Path, settings: PlatesSettings, threads: int) -> Plates:
    """Make the plates that the settings describe, or find those that were made before.

    Scenes are drawn and photographed as in the example project; each photograph is of one of a few scenes,
    turned or mirrored, with light and noise of its own. So every file differs, and compresses like those of
    the example.

    Parameters
    ----------
    work : folder for plates of all settings.
    threads : that photograph at the same time.
    """
    folder = work / f"plates-{fingerprint(VERSION, asdict(settings))[:12]}"
    if not (folder / FACTS).exists():
        _write(folder, settings, threads)
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    index = pd.read_csv(folder / "index.csv", dtype=str, keep_default_na=False)
    return Plates(folder, tuple(facts["channels"]), index, tuple(facts["cells"]))


def _write(folder: Path, settings: PlatesSettings, threads: int) -> None:
    channels = tuple(STAINS)[: settings.channels]
    camera = _Camera(settings, channels)
    fields = list(_fields(settings))
    for plate in dict.fromkeys(field.plate for field in fields):
        (folder / "images" / plate).mkdir(parents=True, exist_ok=True)
        (folder / "locations" / plate).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(threads) as pool:
        written = list(pool.map(lambda field: _write_field(folder, field, camera), fields))
    pd.DataFrame([row for row, _ in written]).to_csv(folder / "index.csv", index=False)
    facts = {"settings": asdict(settings), "channels": channels, "cells": [cells for _, cells in written]}
    # Last, so that a folder with it is complete.
    (folder / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")


@dataclass(frozen=True)
class _Field:
    """One field of view; `number` counts the fields of all plates."""

    number: int
    plate: str
    plate_number: int
    well: str
    site: int
    treatment: str
    split: str


def _fields(settings: PlatesSettings) -> Iterator[_Field]:
    """The fields of all plates; controls and one treatment alternate by well, splits by pairs of wells."""
    treated = treatments()[1]
    sites_per_well = max(1, settings.sites_per_plate // WELLS_PER_PLATE)
    number = 0
    for plate in range(settings.plates):
        for place in range(settings.sites_per_plate):
            well = place // sites_per_well
            yield _Field(
                number=number,
                plate=f"BENCH{plate + 1:05d}",
                plate_number=plate,
                well=f"{chr(ord('A') + well // COLUMNS)}{well % COLUMNS + 1:02d}",
                site=place % sites_per_well + 1,
                treatment=treated if well % 2 else CONTROL,
                split="validation" if well // 2 % 3 == 2 else "training",
            )
            number += 1


class _Camera:
    """Scenes of both treatments, and a microscope for every plate."""

    def __init__(self, settings: PlatesSettings, channels: tuple[str, ...]) -> None:
        self.settings = settings
        self.channels = channels
        stains = tuple(STAINS[channel] for channel in channels)
        shape = (settings.rows, settings.cols)
        scene = SceneSettings(stains, shape, settings.cells, settings.box / BOX_OF_A_CELL)
        textures = make_textures(np.random.default_rng([settings.seed, 0]), scene.scale)
        self._scenes = {
            treatment: [
                draw_scene(
                    scene,
                    phenotype_of(treatment, 1.0),
                    textures,
                    np.random.default_rng([settings.seed, 1, kind, number]),
                )
                for number in range(SCENES_PER_TREATMENT)
            ]
            for kind, treatment in enumerate((CONTROL, treatments()[1]))
        }
        self._microscopes: list[Microscope] = [
            set_up_microscope(
                stains, shape, np.dtype(np.uint16), np.random.default_rng([settings.seed, 2, plate])
            )
            for plate in range(settings.plates)
        ]

    def photograph(self, field: _Field) -> tuple[np.ndarray, np.ndarray]:
        """Image (rows, cols, channels) uint16 of a field, and centres (n, 2), row and col, of its cells."""
        rng = np.random.default_rng([self.settings.seed, 3, field.number])
        scenes = self._scenes[field.treatment]
        scene, centres = scenes[int(rng.integers(len(scenes)))]
        last_row, last_col = scene.shape[0] - 1, scene.shape[1] - 1
        if rng.integers(2):
            scene, centres = scene[::-1], np.stack([last_row - centres[:, 0], centres[:, 1]], axis=1)
        if rng.integers(2):
            scene, centres = scene[:, ::-1], np.stack([centres[:, 0], last_col - centres[:, 1]], axis=1)
        if last_row == last_col and rng.integers(2):
            scene, centres = scene.transpose(1, 0, 2), centres[:, ::-1]
        microscope = self._microscopes[field.plate_number]
        return microscope.expose(np.ascontiguousarray(scene), rng), np.round(centres, 3)


def _write_field(folder: Path, field: _Field, camera: _Camera) -> tuple[dict[str, str], int]:
    """Write a field's files; its row of the index, and the number of its cells."""
    image, centres = camera.photograph(field)
    source = camera.settings.source
    row = {
        "Metadata_Plate": field.plate,
        "Metadata_Well": field.well,
        "Metadata_Site": str(field.site),
        "Treatment": field.treatment,
        "Split": field.split,
    }
    for number, channel in enumerate(camera.channels):
        name = f"{field.plate}/{field.well}_s{field.site}_{channel}{ENDINGS[source]}"
        plane = np.ascontiguousarray(image[..., number])
        target = folder / "images" / name
        if source == "png":
            target.write_bytes(imagecodecs.png_encode(plane, level=1))
        else:
            compression = "zlib" if source == "tiff-zlib" else None
            tifffile.imwrite(
                target,
                plane,
                compression=compression,
                photometric="minisblack",
                metadata=None,
                software=False,
                maxworkers=1,
            )
        row[channel] = name
    locations = pd.DataFrame(
        {"Nuclei_Location_Center_X": centres[:, 1], "Nuclei_Location_Center_Y": centres[:, 0]}
    )
    locations.to_csv(
        folder / "locations" / field.plate / f"{field.well}-{field.site}-Nuclei.csv", index=False
    )
    return row, len(centres)
