"""Names of lanes: every experiment has its own assets under a name made from its file's name."""

import re
from pathlib import PurePath

from dp_assets.config.errors import Problem
from dp_assets.config.reading import ENDINGS

# Names of assets and folders that are not an experiment's.
RESERVED_NAMES = frozenset(
    {
        "cell_locations",
        "comparison",
        "compressed",
        "compressed_images",
        "illumination_functions",
        "image_index",
        "intensities",
        "metadata",
        "nuclei_labels",
        "plate_annotations",
        "plate_images",
        "plate_outlines",
        "representation_benchmark",
        "segmentation_model",
        "segmentation_training_set",
        "single_cells",
        "single_cells_png",
    }
)


def lane_name(stem: str) -> str:
    """The lane's name for a file name without its ending.

    Lower case; whatever is no letter a-z or digit becomes "_"; "e_" goes before a leading digit. So
    ``TA-orf`` becomes ``ta_orf`` and ``2024`` becomes ``e_2024``.
    """
    name = re.sub(r"[^a-z0-9]", "_", stem.lower())
    return f"e_{name}" if name[:1].isdigit() else name


def asked_lane(name: str) -> str:
    """The lane that somebody means by the name of its file, with or without the ending."""
    path = PurePath(name)
    return lane_name(path.stem if path.suffix.lower() in ENDINGS else name)


def lane_name_problem(name: str, file: str) -> Problem | None:
    """Why this name cannot be a lane's, or None when it can."""
    if name in RESERVED_NAMES:
        return Problem(
            f'the name "{name}" is reserved for shared results', file, "Give the file another name."
        )
    if not name.strip("_"):
        return Problem("the file's name has no letter a-z and no digit", file, "Give the file another name.")
    return None
