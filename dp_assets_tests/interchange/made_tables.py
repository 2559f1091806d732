"""Feature tables as other programs write them, small enough to be checked by eye."""

from pathlib import Path

import numpy as np
import pandas as pd

from dp_assets.config.profile_sections import FeaturesSettings
from dp_assets.interchange.annotation_files import AnnotationTable
from dp_assets.interchange.external_profiles import ExternalFeatures, read_external

FEATURES = (
    "Cells_AreaShape_Area",
    "Cytoplasm_Texture_Variance_DNA_3_00",
    "Nuclei_Intensity_MeanIntensity_DNA",
)


def settings(*files: str, **others: object) -> FeaturesSettings:
    return FeaturesSettings(files=files or ("*",), **others)


def read(
    folder: Path, *files: str, annotations: tuple[AnnotationTable, ...] = (), **others: object
) -> ExternalFeatures:
    """Read tables in `folder`; the metadata folder is `folder/metadata`, the work folder `folder/.work`."""
    return read_external(
        settings(*files, **others),
        folder,
        folder / "metadata",
        folder / ".work",
        annotations=annotations,
    )


def wells(plates: tuple[str, ...] = ("P1",), names: tuple[str, ...] = ("A01", "A02", "B01")) -> pd.DataFrame:
    """One row per well in CellProfiler's naming."""
    rows = [(plate, well) for plate in plates for well in names]
    frame = pd.DataFrame(rows, columns=["Image_Metadata_Plate", "Image_Metadata_Well"])
    return frame.assign(**_values(len(frame)))


def cells(order: list[tuple[int, str, int]], plate: str = "P1") -> pd.DataFrame:
    """Cells in CellProfiler's naming; `order` has (image number, well, object number) of each row."""
    images, names, objects = zip(*order, strict=True)
    frame = pd.DataFrame(
        {
            "ImageNumber": images,
            "ObjectNumber": objects,
            "Metadata_Plate": plate,
            "Metadata_Well": names,
            "Metadata_Compound": [f"drug {well}" for well in names],
            "FileName_DNA": [f"{image}.tif" for image in images],
            "Nuclei_Location_Center_X": np.arange(len(order)) * 1.0,
            "Nuclei_Number_Object_Number": objects,
            "Cells_Parent_Nuclei": objects,
        }
    )
    return frame.assign(**_values(len(frame)))


def _values(rows: int) -> dict[str, np.ndarray]:
    numbers = np.random.default_rng(rows).normal(size=(rows, len(FEATURES))).astype(np.float32)
    return {name: numbers[:, place] for place, name in enumerate(FEATURES)}


def write(frame: pd.DataFrame, path: Path, **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False, **how)
    return path
