"""BBBC013: one plate, U2OS cells, translocation of FKHR-GFP under two drugs, nine doses each."""

import io
from pathlib import Path

import imagecodecs
import pandas as pd
import tifffile

from dp_assets.config.errors import ProjectError
from dp_assets.datasets.archives import zip_members
from dp_assets.datasets.fetching import PublicFile
from dp_assets.storage.atomic import write_bytes

SERVER = "https://data.broadinstitute.org/bbbc/BBBC013/"
ARCHIVE = "BBBC013_v1_images_bmp.zip"
PLATE = "BBBC013"
ROWS, COLUMNS = "ABCDEFGH", range(1, 13)
CHANNELS = {"GFP": 1, "DNA": 2}
UNTREATED, POSITIVE = "untreated", "wortmannin"
# Both drugs: a series by factors of two (wortmannin, nM) and about two (LY294002, uM), ascending by column.
WORTMANNIN_NM = (0.98, 1.95, 3.91, 7.81, 15.63, 31.25, 62.5, 125.0, 250.0)
LY294002_UM = (0.31, 0.63, 1.25, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
POSITIVE_NM = 150.0
# Both drugs inhibit phosphoinositide 3-kinase, which keeps FKHR out of the nucleus.
MECHANISM = "PI3K inhibitor"


def bbbc013_files(server: str = SERVER) -> list[PublicFile]:
    """The files of the image set. The collection publishes no checksums."""
    return [PublicFile(ARCHIVE, server + ARCHIVE)]


def make_bbbc013(archive: Path, root: Path) -> int:
    """Unpack the images into a project and write its image index; returns the number of images.

    The set's BMP images become TIFF, pixel for pixel. Cell locations are not part of the set.

    Raises
    ------
    ProjectError : the archive is damaged, or lacks images.
    """
    folder = root / "inputs" / "images" / PLATE
    folder.mkdir(parents=True, exist_ok=True)
    found = set()
    for name, data in zip_members(archive):
        if name.suffix.lower() != ".bmp" or not name.stem.startswith("Channel"):
            continue
        pixels = imagecodecs.bmp_decode(data)
        sink = io.BytesIO()
        tifffile.imwrite(sink, pixels if pixels.ndim == 2 else pixels[..., 0], compression="zlib")
        write_bytes(folder / f"{name.stem}.tif", sink.getvalue())
        found.add(f"{PLATE}/{name.stem}.tif")
    index = bbbc013_index()
    missing = sorted({path for channel in CHANNELS for path in index[channel]} - found)
    if missing:
        raise ProjectError(
            f"the archive lacks {len(missing)} of the plate's images, the first is {missing[0]}",
            where=str(archive),
            remedy="delete it and download it again",
        )
    metadata = root / "inputs" / "metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    write_bytes(metadata / "index.csv", index.to_csv(index=False).encode())
    return len(found)


def bbbc013_index() -> pd.DataFrame:
    """The image index of the plate: 96 wells, one site each.

    Source: the image set's page and the translocation tutorial of CellProfiler.
    """
    rows = []
    for row, letter in enumerate(ROWS):
        for column in COLUMNS:
            number = row * len(COLUMNS) + column
            compound, dose, unit, control = _treatment(row, column)
            rows.append(
                {
                    "Metadata_Plate": PLATE,
                    "Metadata_Well": f"{letter}{column:02d}",
                    "Metadata_Site": "1",
                    "Plate_Map_Name": PLATE,
                    **{
                        name: f"{PLATE}/Channel{channel}-{number:02d}-{letter}-{column:02d}.tif"
                        for name, channel in CHANNELS.items()
                    },
                    "Treatment": f"{compound}@{dose:g}",
                    "Compound": compound,
                    "Concentration": f"{dose:g}",
                    "Concentration_Unit": unit,
                    "MOA": "" if compound == UNTREATED else MECHANISM,
                    "Control": control,
                    "Replicate": str(row % 4 + 1),
                    "Split": "Validation" if row % 4 == 3 else "Training",
                }
            )
    return pd.DataFrame(rows, dtype=str)


def _treatment(row: int, column: int) -> tuple[str, float, str, str]:
    """Compound, dose, its unit, and the role of a well as a control."""
    upper = row < 4
    if (upper and column in (1, 2)) or (not upper and column in (2, 12)):
        return UNTREATED, 0.0, "", "negative_control"
    if (upper and column == 12) or (not upper and column == 1):
        return POSITIVE, POSITIVE_NM, "nM", "positive_control"
    if upper:
        return "wortmannin", WORTMANNIN_NM[column - 3], "nM", "treatment"
    return "LY294002", LY294002_UM[column - 3], "uM", "treatment"
