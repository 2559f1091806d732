"""BBBC021: MCF-7 cells under 113 compounds, 55 plates in ten weeks, with mechanisms of action."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dp_assets.config.errors import ProjectError
from dp_assets.datasets.archives import write_if_changed, zip_members
from dp_assets.datasets.fetching import PublicFile
from dp_assets.storage.atomic import write_bytes

SERVER = "https://data.broadinstitute.org/bbbc/BBBC021/"
IMAGES_TABLE = "BBBC021_v1_image.csv"
MECHANISMS_TABLE = "BBBC021_v1_moa.csv"
CHANNELS = ("DAPI", "Tubulin", "Actin")
KEY = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]
IMAGES_COLUMNS = (
    "Image_Metadata_Plate_DAPI",
    "Image_Metadata_Well_DAPI",
    "Image_Metadata_Compound",
    "Image_Metadata_Concentration",
    "Replicate",
    *(f"Image_FileName_{channel}" for channel in CHANNELS),
)
MECHANISMS_COLUMNS = ("compound", "concentration", "moa")


def bbbc021_tables(server: str = SERVER) -> list[PublicFile]:
    """The tables of the image set: its images, and the mechanisms of action."""
    return [PublicFile(name, server + name) for name in (IMAGES_TABLE, MECHANISMS_TABLE)]


def bbbc021_plates(images_table: Path) -> list[str]:
    """The plates of the image set, such as `Week1_22123`, sorted."""
    return sorted(_read(images_table, IMAGES_COLUMNS)["Image_Metadata_Plate_DAPI"].unique())


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
            write_if_changed(folder / plate / name.name, data)
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
        # An index of an earlier version has no batches.
        index["Batch"] = index["Batch"].fillna(_batch(index["Metadata_Plate"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, index.sort_values(KEY).to_csv(index=False).encode())
    return len(index)


def bbbc021_index(images_table: Path, mechanisms_table: Path, plates: Sequence[str]) -> pd.DataFrame:
    """The image index of some plates, all text.

    Columns: plate, well and site; image paths of DAPI, Tubulin and Actin; Compound, Concentration (uM),
    Treatment (`compound_concentration`), MOA (empty where it is not known), Batch (the week) and Replicate.

    Raises
    ------
    ProjectError : a table lacks a column, a concentration is no number, or a file name has no site.
    """
    images = _read(images_table, IMAGES_COLUMNS)
    images = images[images["Image_Metadata_Plate_DAPI"].isin(list(plates))]
    plate = images["Image_Metadata_Plate_DAPI"]
    site = images["Image_FileName_DAPI"].str.extract(r"_s(\d+)_", expand=False)
    if site.isna().any():
        name = images.loc[site.isna(), "Image_FileName_DAPI"].iloc[0]
        raise _unreadable(images_table, f"the file name {name!r} does not say its site")
    compound = images["Image_Metadata_Compound"]
    concentration = images["Image_Metadata_Concentration"]
    frame = pd.DataFrame(
        {
            "Metadata_Plate": plate,
            "Metadata_Well": images["Image_Metadata_Well_DAPI"],
            "Metadata_Site": site,
            "Plate_Map_Name": plate.str.partition("_")[0],
            **{channel: plate + "/" + images[f"Image_FileName_{channel}"] for channel in CHANNELS},
            "Compound": compound,
            "Concentration": concentration,
            "Treatment": compound + "_" + concentration,
            "MOA": _mechanism(compound, _doses(concentration, images_table), mechanisms_table),
            "Batch": _batch(plate),
            "Replicate": images["Replicate"],
        }
    )
    return frame.sort_values(KEY).reset_index(drop=True)


def _batch(plate: pd.Series) -> pd.Series:
    """The week that a plate is of: `Week1` of `Week1_22123`."""
    return plate.str.partition("_")[0]


def _mechanism(compound: pd.Series, doses: list[float], mechanisms_table: Path) -> list[str]:
    table = _read(mechanisms_table, MECHANISMS_COLUMNS)
    names = zip(table["compound"], _doses(table["concentration"], mechanisms_table), strict=True)
    known = dict(zip(names, table["moa"], strict=True))
    return [known.get(key, "") for key in zip(compound, doses, strict=True)]


def _doses(concentration: pd.Series, path: Path) -> list[float]:
    """Concentrations as numbers: one table writes 3, the other 3.000000."""
    try:
        return [float(text) for text in concentration]
    except ValueError as error:
        raise _unreadable(path, f"a concentration is no number ({error})") from error


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise _unreadable(path, str(error)) from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise _unreadable(path, f"it has no column {', '.join(missing)}")
    return table


def _unreadable(path: Path, why: str) -> ProjectError:
    return ProjectError(
        f"the table cannot be read: {why}", where=str(path), remedy="delete it and download it again"
    )
