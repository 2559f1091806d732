"""What an earlier run left in the model folder: taken up, or cleared away."""

import logging
from pathlib import Path

from dp_assets.config.errors import StoreError
from dp_assets.storage.model_folder import NETWORK_FILE
from dp_assets.storage.work import remove
from dp_assets.training.callback_settings import FOLDER as CALLBACK_FILES
from dp_assets.training.checkpoint_files import remove_checkpoints
from dp_assets.training.fine_tuning import START_FILE
from dp_assets.training.online_labels import check_labels, remove_labels
from dp_assets.training.resume_state import RESUME_FILE, Progress, read_progress
from dp_assets.training.training_log import SERVICES_FILE
from dp_assets.training.training_run import LOG_FILE

_log = logging.getLogger(__name__)


def earlier_progress(folder: Path, identity: str, epochs: int) -> Progress:
    """How far an earlier run of the same training has come; no epoch when there is none.

    Parameters
    ----------
    folder : the model folder; it is cleared when there is nothing to go on with. State that is damaged is
        nothing to go on with: it is named in the log, and training starts from the first epoch.
    identity : fingerprint of everything that decides the loss curve.
    epochs : number of epochs wanted; a longer training is of no use.
    """
    earlier = _usable(folder)
    if earlier is not None and earlier.identity == identity and earlier.epochs <= epochs:
        return earlier
    for name in (RESUME_FILE, NETWORK_FILE, LOG_FILE, START_FILE, SERVICES_FILE):
        remove(folder / name)
    remove_checkpoints(folder, keep=set())
    remove_labels(folder, tables=set(), state=None)
    remove(folder / CALLBACK_FILES)
    return Progress(identity)


def _usable(folder: Path) -> Progress | None:
    """The progress of an earlier run; None when there is none, or none that can be gone on with."""
    try:
        progress = read_progress(folder / RESUME_FILE)
        if progress is not None:
            check_labels(folder, progress)
        return progress
    except StoreError as error:
        _log.warning("training starts from the first epoch: %s", error)
        return None
