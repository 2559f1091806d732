"""What decides a loss curve, as a fingerprint: state of another training is not taken up."""

from dp_assets.config.stages import TrainingSettings
from dp_assets.storage.fingerprints import fingerprint, fingerprint_bytes
from dp_assets.training.cells import LabelledCells


def training_identity(
    settings: TrainingSettings,
    classes: tuple[str, ...],
    training: LabelledCells,
    validation: LabelledCells | None,
    dtype_policy: str,
    content: str,
) -> str:
    """Fingerprint of everything that decides the loss curve, the number of epochs only where it matters."""
    free = {"checkpoint_policy"} | ({"epochs"} if settings.network.lr_schedule != "cosine" else set())
    return fingerprint(
        settings.network.model_dump(mode="json", exclude=free),
        settings.validation.model_dump(mode="json"),
        settings.sampling.factor,
        settings.partition.targets[0],
        settings.single_cells.normalization,
        classes,
        _cells_identity(training),
        None if validation is None else _cells_identity(validation),
        dtype_policy,
        content,
    )


def _cells_identity(cells: LabelledCells) -> list[object]:
    images = None if cells.images is None else fingerprint_bytes(cells.images.tobytes())
    return [cells.crops.shape, fingerprint_bytes(cells.labels.tobytes()), images]
