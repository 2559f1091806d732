"""What decides a loss curve, as a fingerprint: state of another training is not taken up."""

from pathlib import Path

from dp_assets.config.stages import TrainingSettings
from dp_assets.storage.fingerprints import fingerprint, fingerprint_bytes
from dp_assets.training.cells import LabelledCells
from dp_assets.training.training_set import Heads

STEP_ARITHMETIC = "1"
"""Version of the normalisation in the training step (`networks.crop_normalization`)."""


def training_identity(
    settings: TrainingSettings,
    heads: Heads,
    training: LabelledCells,
    validation: LabelledCells | None,
    dtype_policy: str,
    content: str,
    started_from: str = "",
) -> str:
    """Fingerprint of everything that decides the loss curve, the number of epochs only where it matters.

    How many cells are held in memory decides the order of some epochs, and still does not count: who runs out
    of memory goes on with fewer.

    Parameters
    ----------
    heads : (target column, class names) of every head.
    content : fingerprint of the crops, and of plugins that take part.
    started_from : fingerprint of the files that the first weights come from; "" without such files.
    """
    free = {"checkpoint_policy"} | ({"epochs"} if settings.network.lr_schedule != "cosine" else set())
    if settings.network.devices == 1:
        # trainings of versions that knew one device only go on
        free |= {"devices"}
    return fingerprint(
        settings.network.model_dump(mode="json", exclude=free),
        settings.validation.model_dump(mode="json"),
        settings.sampling.factor,
        settings.single_cells.normalization,
        # A crop store holds channels by name; in which order the network gets them is not in its fingerprint.
        settings.images.channels,
        heads,
        _cells_identity(training),
        None if validation is None else _cells_identity(validation),
        dtype_policy,
        content,
        started_from,
    )


def plugin_files_content(folder: Path) -> str:
    """Fingerprint of all plugin files of a project, which may import each other.

    Parameters
    ----------
    folder : the project's folder `plugins`.
    """
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.py")}
    return fingerprint({name: fingerprint_bytes(path.read_bytes()) for name, path in files.items()})


def _cells_identity(cells: LabelledCells) -> list[object]:
    images = None if cells.images is None else fingerprint_bytes(cells.images.tobytes())
    # Crops that the training step normalises are not those of a reader to the last bit. Trainings whose crops
    # come normalised, as all once did, go on.
    left = [] if cells.crops.normalization == "none" else [cells.crops.normalization, STEP_ARITHMETIC]
    return [cells.crops.shape, fingerprint_bytes(cells.labels.tobytes()), images, *left]
