"""BBBC021: MCF-7 cells under 113 compounds, 55 plates in ten weeks, with mechanisms of action."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from dp_assets.config.errors import ProjectError
from dp_assets.datasets.archives import zip_members
from dp_assets.datasets.fetching import PublicFile
from dp_assets.storage.atomic import write_bytes

SERVER = "https://data.broadinstitute.org/bbbc/BBBC021/"
IMAGES_TABLE = "BBBC021_v1_image.csv"
MECHANISMS_TABLE = "BBBC021_v1_moa.csv"
CHANNELS = ("DAPI", "Tubulin", "Actin")
KEY = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]


def bbbc021_tables(server: str = SERVER) -> list[PublicFile]:
    """The tables of the image set: its images, and the mechanisms of action."""
    return [PublicFile(name, server + name) for name in (IMAGES_TABLE, MECHANISMS_TABLE)]


def bbbc021_plates(images_table: Path) -> list[str]:
    """The plates of the image set, such as `Week1_22123`, sorted."""
    return sorted(_read(images_table)["Image_Metadata_Plate_DAPI"].unique())


def bbbc021_archives(plates: Sequence[str], server: str = SERVER) -> list[PublicFile]:
    """The archives with the images of some plates, about 0.8 GB each."""
    names = [f"BBBC021_v1_images_{plate}.zip" for plate in plates]
    return [PublicFile(name, server + name) for name in names]


def choose_plates(images_table: Path, wanted: Sequence[str]) -> list[str]:
    """The plates asked for, checked; raises ProjectError naming those that the set does not have."""
    known = bbbc021_plates(images_table)
    unknown = [plate for plate in wanted if plate not in known]
    if unknown:
        raise ProjectError(
            f"the image set has no plate {', '.join(unknown)}; it has {', '.join(known)}",
            where="--plates",
            remedy="choose among these",
        )
    return list(wanted)


def unpack_plate(archive: Path, root: Path, plate: str) -> int:
    """Unpack the images of one plate into a project; returns how many there are.

    Raises
    ------
    ProjectError : the archive is damaged, or has no images of this plate.
    """
    folder = root / "inputs" / "images"
    count = 0
    for name, data in zip_members(archive):
        # Archives begin with the plate's folder, some with the week's before it.
        if plate in name.parts and name.suffix.lower() in (".tif", ".tiff"):
            target = folder / PurePosixPath(plate) / name.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.is_file() or target.stat().st_size != len(data):
                write_bytes(target, data)
            count += 1
    if not count:
        raise ProjectError(
            f"the archive has no images of plate {plate}",
            where=str(archive),
            remedy="delete it and download it again",
        )
    return count


def write_bbbc021_index(root: Path, images_table: Path, mechanisms_table: Path, plates: Sequence[str]) -> int:
    """Write the image index of these plates, besides those it has; returns its number of rows."""
    path = root / "inputs" / "metadata" / "index.csv"
    index = bbbc021_index(images_table, mechanisms_table, plates)
    if path.exists():
        there = pd.read_csv(path, dtype=str, keep_default_na=False)
        index = pd.concat([there, index]).drop_duplicates(KEY, keep="last")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, index.sort_values(KEY).to_csv(index=False).encode())
    return len(index)


def bbbc021_index(images_table: Path, mechanisms_table: Path, plates: Sequence[str]) -> pd.DataFrame:
    """The image index of some plates, all text.

    Columns: plate, well and site; image paths of DAPI, Tubulin and Actin; Compound, Concentration (uM),
    Treatment (`compound_concentration`), MOA (empty where it is not known) and Replicate.

    Raises
    ------
    ProjectError : a table lacks a column.
    """
    images = _read(images_table)
    images = images[images["Image_Metadata_Plate_DAPI"].isin(list(plates))]
    plate = images["Image_Metadata_Plate_DAPI"]
    compound = images["Image_Metadata_Compound"]
    concentration = images["Image_Metadata_Concentration"]
    frame = pd.DataFrame(
        {
            "Metadata_Plate": plate,
            "Metadata_Well": images["Image_Metadata_Well_DAPI"],
            "Metadata_Site": images["Image_FileName_DAPI"].str.extract(r"_s(\d+)_", expand=False),
            "Plate_Map_Name": plate.str.partition("_")[0],
            **{channel: plate + "/" + images[f"Image_FileName_{channel}"] for channel in CHANNELS},
            "Compound": compound,
            "Concentration": concentration,
            "Treatment": compound + "_" + concentration,
            "MOA": _mechanism(compound, concentration, mechanisms_table),
            "Replicate": images["Replicate"],
        }
    )
    return frame.sort_values(KEY).reset_index(drop=True)


def _mechanism(compound: pd.Series, concentration: pd.Series, mechanisms_table: Path) -> list[str]:
    table = _read(mechanisms_table)
    # One table writes 3, the other 3.000000.
    known = {
        (name, float(dose)): moa
        for name, dose, moa in zip(table["compound"], table["concentration"], table["moa"], strict=True)
    }
    return [known.get((n, float(c)), "") for n, c in zip(compound, concentration, strict=True)]


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise ProjectError(
            f"the table cannot be read: {error}", where=str(path), remedy="delete it and download it again"
        ) from error
