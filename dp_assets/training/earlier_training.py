"""What an earlier run left in the model folder: taken up, or cleared away."""

import shutil
from pathlib import Path

from dp_assets.storage.model_folder import NETWORK_FILE
from dp_assets.training.callback_settings import FOLDER as CALLBACK_FILES
from dp_assets.training.checkpoint_files import remove_checkpoints
from dp_assets.training.fine_tuning import START_FILE
from dp_assets.training.online_labels import remove_labels
from dp_assets.training.resume_state import RESUME_FILE, Progress, read_progress
from dp_assets.training.training_log import SERVICES_FILE
from dp_assets.training.training_run import LOG_FILE


def earlier_progress(folder: Path, identity: str, epochs: int) -> Progress:
    """How far an earlier run of the same training has come; no epoch when there is none.

    Parameters
    ----------
    folder : the model folder; it is cleared when there is nothing to go on with.
    identity : fingerprint of everything that decides the loss curve.
    epochs : number of epochs wanted; a longer training is of no use.

    Raises
    ------
    StoreError : the state of the earlier run is damaged.
    """
    earlier = read_progress(folder / RESUME_FILE)
    if earlier is not None and earlier.identity == identity and earlier.epochs <= epochs:
        return earlier
    for name in (RESUME_FILE, NETWORK_FILE, LOG_FILE, START_FILE, SERVICES_FILE):
        (folder / name).unlink(missing_ok=True)
    remove_checkpoints(folder, keep=set())
    remove_labels(folder, tables=set(), state=None)
    shutil.rmtree(folder / CALLBACK_FILES, ignore_errors=True)
    return Progress(identity)
