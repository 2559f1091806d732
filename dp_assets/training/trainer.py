"""Training a network: epoch by epoch, each either finished and on disk, or as if it had never begun."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from dp_assets.config.stages import TrainingSettings
from dp_assets.storage.atomic import write_bytes
from dp_assets.training.assembly import Trainee, assemble
from dp_assets.training.cells import LabelledCells
from dp_assets.training.checkpoint_files import (
    checkpoints_in,
    publish,
    remove_checkpoints,
    remove_unfinished,
    wanted_checkpoints,
    write_checkpoint,
)
from dp_assets.training.event_file import EventFile
from dp_assets.training.identity import training_identity
from dp_assets.training.model_loading import MODEL_FILE
from dp_assets.training.one_epoch import Draw, fit_epoch, validate
from dp_assets.training.outcome import EpochReport, TrainingOutcome, history_table, report_of
from dp_assets.training.request_checks import check_request
from dp_assets.training.resume_state import (
    RESUME_FILE,
    EpochLog,
    Progress,
    read_progress,
    restore_state,
    save_state,
)
from dp_assets.training.sampler import BalancedEpochs, BalancedImageEpochs, EpochSampler
from dp_assets.training.schedules import learning_rate

LOG_FILE = "log.csv"
EVENTS = "tensorboard"


def train_network(
    *,
    settings: TrainingSettings,
    classes: tuple[str, ...],
    training: LabelledCells,
    validation: LabelledCells | None,
    folder: Path,
    dtype_policy: str = "float32",
    xla: bool = False,
    content: str = "",
    progress: Callable[[EpochReport], None] | None = None,
) -> TrainingOutcome:
    """Train a network to tell the classes apart, and leave it in a model folder.

    Called again on the same folder with the same settings, it goes on after the last finished epoch, wherever
    the former run was killed; on a deterministic device the loss curve is that of an undisturbed run. More
    epochs may be asked for then, unless the learning rate depends on their number. When anything else changed
    that decides the loss curve, training starts afresh and what lies in the folder is removed. Source of the
    method: handbook, `train`.

    Parameters
    ----------
    settings : the training stage of an experiment.
    classes : names of the classes, in the order of the labels.
    training : cells to learn from.
    validation : cells to judge by (`validation.frame` decides which; the caller chooses them); None for none.
    folder : local folder. Afterwards: `model.keras` (from normalised crops to class probabilities, without
        augmentation), `log.csv`, `checkpoints/`, `tensorboard/`, `resume.npz`.
    dtype_policy : "float32", "mixed_bfloat16" or "mixed_float16".
    xla : compile the training step with XLA.
    content : fingerprint of the crops' pixels, so that state from other pixels is not taken up.
    progress : called after each finished epoch.

    Raises
    ------
    TrainingDataError : a class without training cells, one class only, validation needed but not there.
    ModelError : network, generator or metric not available; loss or weights no longer finite (earlier epochs
        stay).
    DeviceError : not enough memory on the device.
    StoreError : the state of the former run is damaged.
    """
    validation = validation if validation is not None and len(validation) else None
    check_request(settings, classes, training, validation)
    folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder)
    identity = training_identity(settings, classes, training, validation, dtype_policy, content)
    done = _earlier_progress(folder, identity, settings.network.epochs)
    run = _Run(settings, classes, training, validation, folder, progress)
    if done.epochs < settings.network.epochs or not (folder / MODEL_FILE).exists():
        # A model of fewer epochs must not pass for the one that is about to be trained.
        (folder / MODEL_FILE).unlink(missing_ok=True)
        trainee = assemble(
            settings,
            classes=len(classes),
            shape=training.crops.shape,
            dtype_policy=dtype_policy,
            xla=xla,
            fresh=done.epochs == 0,
        )
        finished = run.epochs_after(done, trainee)
        publish(folder / MODEL_FILE, ".keras", trainee.network.save)
    else:
        finished = done
    return TrainingOutcome(
        epochs=finished.epochs,
        history=history_table(finished.history),
        resumed_from=done.epochs,
        checkpoints=tuple(path.name for path in checkpoints_in(folder).values()),
        best_epoch=finished.best_epoch(),
    )


class _Run:
    """What stays the same over the epochs of one call of train_network."""

    def __init__(
        self,
        settings: TrainingSettings,
        classes: tuple[str, ...],
        training: LabelledCells,
        validation: LabelledCells | None,
        folder: Path,
        progress: Callable[[EpochReport], None] | None,
    ) -> None:
        self.network = settings.network
        self.frequency = settings.validation.frequency
        self.folder = folder
        self.progress = progress
        workers = settings.sampling.workers
        self.sampler = _sampler(settings, training, len(classes))
        # The rows of an epoch are put in when it begins.
        self.training = Draw(
            training, training.labels[:0], len(classes), settings.network.params.batch_size, workers
        )
        self.validation = None
        if validation is not None:
            rows = BalancedEpochs(validation.labels, len(classes), self.network.seed).draw(0)
            self.validation = Draw(validation, rows, len(classes), settings.validation.batch_size, workers)

    def epochs_after(self, done: Progress, trainee: Trainee) -> Progress:
        """Run the epochs that are missing; returns the progress after the last."""
        if done.epochs:
            restore_state(self.folder / RESUME_FILE, trainee.model)
            self._write_log(done)
        with closing(EventFile(self.folder / EVENTS)) as events:
            for entry in done.history:
                _add_event(events, entry)
            while done.epochs < self.network.epochs:
                entry, cells = self._epoch(done, trainee)
                done = replace(done, history=(*done.history, entry))
                self._keep(done, trainee)
                _add_event(events, entry)
                if self.progress is not None:
                    self.progress(report_of(entry, self.network.epochs, cells))
        return done

    def _epoch(self, done: Progress, trainee: Trainee) -> tuple[EpochLog, int]:
        """Fit and validate the epoch after `done`; returns its log entry and the number of cells shown."""
        start, epoch = time.perf_counter(), done.epochs
        rate = learning_rate(
            self.network.lr_schedule,
            self.network.params.learning_rate,
            epoch,
            self.network.epochs,
            done.validation_losses(),
        )
        trainee.begin_epoch(epoch, rate, self.network.seed)
        draw = replace(self.training, rows=self.sampler.draw(epoch))
        values = fit_epoch(trainee, draw)
        last = epoch + 1 == self.network.epochs
        if self.validation is not None and ((epoch + 1) % self.frequency == 0 or last):
            values |= validate(trainee, self.validation)
        entry: EpochLog = {"epoch": epoch + 1}
        entry |= {name: value if math.isfinite(value) else None for name, value in values.items()}
        return entry | {"learning_rate": rate, "seconds": time.perf_counter() - start}, len(draw.rows)

    def _keep(self, done: Progress, trainee: Trainee) -> None:
        """Write what a finished epoch leaves. The epoch counts from the moment its state is there."""
        wanted = wanted_checkpoints(
            self.network.checkpoint_policy, done.epochs, self.network.epochs, done.best_epoch()
        )
        if done.epochs in wanted:
            write_checkpoint(self.folder, trainee.network, done.epochs)
        save_state(self.folder / RESUME_FILE, trainee.model, done)
        remove_checkpoints(self.folder, keep=wanted)
        self._write_log(done)

    def _write_log(self, done: Progress) -> None:
        write_bytes(self.folder / LOG_FILE, history_table(done.history).to_csv(index=False).encode())


def _sampler(settings: TrainingSettings, training: LabelledCells, classes: int) -> EpochSampler:
    network = settings.network
    if network.crop_generator == "crop_generator" and training.images is not None:
        return BalancedImageEpochs(
            training.labels,
            training.images,
            classes,
            network.seed,
            factor=settings.sampling.factor,
            batch_size=network.params.batch_size,
        )
    return BalancedEpochs(training.labels, classes, network.seed)


def _earlier_progress(folder: Path, identity: str, epochs: int) -> Progress:
    """Where to go on; after removing everything when there is nothing to go on with."""
    earlier = read_progress(folder / RESUME_FILE)
    if earlier is not None and earlier.identity == identity and earlier.epochs <= epochs:
        return earlier
    for name in (RESUME_FILE, MODEL_FILE, LOG_FILE):
        (folder / name).unlink(missing_ok=True)
    remove_checkpoints(folder, keep=set())
    return Progress(identity)


def _add_event(events: EventFile, entry: EpochLog) -> None:
    events.add(
        int(entry["epoch"] or 0),
        {name: value for name, value in entry.items() if name != "epoch" and value is not None},
    )
