"""Training a network: epoch by epoch, each either finished and on disk, or as if it had never begun."""

from collections.abc import Callable
from pathlib import Path

from dp_assets.config.stages import TrainingSettings
from dp_assets.networks.distribution import shared_by
from dp_assets.storage.model_folder import NETWORK_FILE
from dp_assets.storage.work import remove
from dp_assets.training.assembly import Trainee, assemble
from dp_assets.training.callback_settings import build_callbacks
from dp_assets.training.cells import LabelledCells
from dp_assets.training.checkpoint_files import checkpoints_in, remove_unfinished
from dp_assets.training.comet_log import CometLog
from dp_assets.training.earlier_training import earlier_progress
from dp_assets.training.fine_tuning import read_initial_weights, start_from_checkpoint
from dp_assets.training.lesson import Lesson, plan_lesson
from dp_assets.training.mlflow_log import MlflowLog
from dp_assets.training.network_archive import save_network
from dp_assets.training.outcome import EpochReport, TrainingOutcome, history_table
from dp_assets.training.resume_state import Progress, is_whole_archive
from dp_assets.training.training_log import Service, TrainingLog, flat
from dp_assets.training.training_run import TrainingRun
from dp_assets.training.training_set import Heads


def train_network(
    *,
    settings: TrainingSettings,
    heads: Heads,
    training: LabelledCells,
    validation: LabelledCells | None,
    folder: Path,
    dtype_policy: str = "float32",
    xla: bool = False,
    content: str = "",
    start_from: Path | None = None,
    imagenet_weights: Path | None = None,
    plugins: Path | None = None,
    comet_key: Path | None = None,
    mlflow: str | None = None,
    name: str = "",
    progress: Callable[[EpochReport], None] | None = None,
) -> TrainingOutcome:
    """Train a network to tell the classes apart (or to reconstruct crops), and leave it in a model folder.

    Called again on the same folder with the same settings, it goes on after the last finished epoch, wherever
    the former run was killed; on a deterministic device the loss curve is that of an undisturbed run. More
    epochs may be asked for then, unless the learning rate depends on their number. When anything else changed
    that decides the loss curve, training starts afresh and what lies in the folder is removed. Source of the
    method: handbook, `train`.

    Parameters
    ----------
    settings : the training stage of an experiment.
    heads : target column and names of its classes, in the order of the labels, for each head. A network that
        reconstructs crops has no heads; epochs are balanced over the classes of the one target.
    training : cells to learn from.
    validation : cells to judge by (`validation.frame` decides which; the caller chooses them); None for none.
    folder : local folder. Afterwards: `model.keras` (from normalised crops to class probabilities, without
        augmentation), `log.csv`, `checkpoints/`, `tensorboard/`, `resume.npz`; and where they apply
        `soft_labels/`, `start_from.json`, `callbacks/`, `services.json`.
    dtype_policy : "float32", "mixed_bfloat16" or "mixed_float16".
    xla : compile the training step with XLA.
    content : fingerprint of the crops' pixels, so that state from other pixels is not taken up.
    start_from : weights file that a fresh training starts from: layers of equal name and shape. With it
        `initialization` is not heeded, and all other layers start at random.
    imagenet_weights : local file with the weights for `initialization: ImageNet`.
    plugins : the project's folder of plugin files; None for those that this process has loaded already.
    comet_key : key file of comet.com, to follow the training there.
    mlflow : address of an MLflow server, or a folder, to follow the training there.
    name : what these services call the training; the network's name when empty.
    progress : called after each finished epoch.

    Raises
    ------
    TrainingDataError : a class without training cells, one class only, validation needed but not there.
    ModelError : network, generator, metric or callback not available; settings that do not go together; a
        plugin that failed; loss or weights no longer finite (earlier epochs stay).
    ConfigurationError : the Comet key file cannot be used, or the package of a service is not installed.
    DeviceError : not enough memory on the device; fewer devices than `devices` of the settings.
    """
    lesson = plan_lesson(settings, heads, training, validation, plugins)
    services = _services(comet_key, mlflow)
    folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder)
    identity = lesson.identity(dtype_policy, content, start_from, imagenet_weights)
    done = earlier_progress(folder, identity, settings.network.epochs)
    finished = done
    if not (done.finished(settings.network.epochs) and is_whole_archive(folder / NETWORK_FILE)):
        # A model of fewer epochs must not pass for the one that is about to be trained.
        remove(folder / NETWORK_FILE)
        log = TrainingLog(services, folder)
        with shared_by(settings.network.devices):
            trainee = _trainee(lesson, done, folder, dtype_policy, xla, start_from, imagenet_weights)
            run = _run(lesson, trainee, folder, progress, log)
            with log.following(
                name or settings.network.name, flat(lesson.parameters(dtype_policy)), done.history
            ):
                finished = run.epochs_after(done)
            save_network(folder / NETWORK_FILE, trainee.network)
    return TrainingOutcome(
        epochs=finished.epochs,
        history=history_table(finished.history),
        resumed_from=done.epochs,
        checkpoints=tuple(path.name for path in checkpoints_in(folder).values()),
        best_epoch=finished.best_epoch(),
        stopped_early=finished.epochs < settings.network.epochs,
        initial=read_initial_weights(folder),
    )


def _trainee(
    lesson: Lesson,
    done: Progress,
    folder: Path,
    dtype_policy: str,
    xla: bool,
    start_from: Path | None,
    imagenet_weights: Path | None,
) -> Trainee:
    """The network to train; where training is fresh, with the weights it starts from."""
    fresh = done.epochs == 0
    trainee = assemble(
        lesson.settings,
        heads=lesson.heads,
        goal=lesson.goal,
        shape=lesson.training.crops.shape,
        normalization=lesson.training.crops.normalization,
        dtype_policy=dtype_policy,
        xla=xla,
        published_weights=fresh and start_from is None,
        imagenet_weights=imagenet_weights,
        metric_plugins=lesson.metrics,
    )
    if fresh and start_from is not None:
        start_from_checkpoint(trainee.network, start_from, folder)
    return trainee


def _run(
    lesson: Lesson,
    trainee: Trainee,
    folder: Path,
    progress: Callable[[EpochReport], None] | None,
    log: TrainingLog,
) -> TrainingRun:
    callbacks = build_callbacks(
        lesson.settings.network.callbacks,
        tuple(trainee.log_names.values()),
        validated=lesson.validation is not None,
        folder=folder,
    )
    return TrainingRun(lesson, trainee, callbacks, folder, log, progress)


def _services(comet_key: Path | None, mlflow: str | None) -> list[Service]:
    services: list[Service] = []
    if comet_key is not None:
        services.append(CometLog(comet_key))
    if mlflow is not None:
        services.append(MlflowLog(mlflow))
    return services
