"""The epochs of a training, one after the other, and what each of them leaves on disk."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from dp_assets.config.errors import TrainingDataError
from dp_assets.networks.distribution import repeated_evenly, whole_batches
from dp_assets.storage.atomic import write_bytes
from dp_assets.training.assembly import Trainee
from dp_assets.training.callbacks import TrainingCallbacks
from dp_assets.training.checkpoint_files import remove_checkpoints, wanted_checkpoints, write_checkpoint
from dp_assets.training.event_file import EventFile
from dp_assets.training.lesson import Lesson
from dp_assets.training.one_epoch import Draw, fit_epoch, predictions, validate
from dp_assets.training.online_labels import OnlineLabels, remove_labels
from dp_assets.training.outcome import EpochReport, history_table, report_of
from dp_assets.training.resume_state import RESUME_FILE, EpochLog, Progress, restore_state, save_state
from dp_assets.training.sampler import training_sampler, validation_rows
from dp_assets.training.schedules import learning_rate
from dp_assets.training.targets import Goal, targets_of
from dp_assets.training.training_log import TrainingLog

LOG_FILE = "log.csv"
EVENTS = "tensorboard"


class TrainingRun:
    """One call of train_network, as far as it concerns epochs.

    Parameters
    ----------
    lesson : what is to be learnt.
    trainee : the network that learns it.
    callbacks : of the configuration.
    folder : the model folder.
    log : services that follow the training.
    progress : called after each finished epoch.
    """

    def __init__(
        self,
        lesson: Lesson,
        trainee: Trainee,
        callbacks: TrainingCallbacks,
        folder: Path,
        log: TrainingLog,
        progress: Callable[[EpochReport], None] | None,
    ) -> None:
        self.lesson = lesson
        self.trainee = trainee
        self.callbacks = callbacks
        self.folder = folder
        self.log = log
        self.progress = progress
        self.network = lesson.settings.network
        self.classes = len(lesson.heads[0][1])
        self.sampler = training_sampler(lesson.settings, lesson.training, self.classes)
        self.validation = _validation_draw(lesson, self.classes)
        self.labels: OnlineLabels | None = None

    def epochs_after(self, done: Progress) -> Progress:
        """Run the epochs that are missing; returns the progress after the last."""
        if done.epochs:
            restore_state(self.folder / RESUME_FILE, self.trainee.model)
            self._write_log(done)
        if self.lesson.goal is Goal.ONLINE_LABELS:
            self.labels = self._labels_after(done.epochs)
        self.callbacks.begin(self.trainee.model, self.network.epochs, done.history)
        with closing(EventFile(self.folder / EVENTS)) as events:
            for entry in done.history:
                _add_event(events, entry)
            while not done.finished(self.network.epochs):
                done, cells = self._epoch(done)
                self._keep(done)
                _add_event(events, done.history[-1])
                self.log.add(done.history[-1])
                if self.progress is not None:
                    self.progress(report_of(done.history[-1], self.network.epochs, cells))
        self.callbacks.end()
        return done

    def _epoch(self, done: Progress) -> tuple[Progress, int]:
        """Fit and validate the epoch after `done`; returns the progress and the number of cells shown."""
        start, epoch = time.perf_counter(), done.epochs
        rate = self._learning_rate(done)
        self.trainee.begin_epoch(epoch, rate, self.network.seed)
        self.callbacks.begin_epoch(epoch)
        draw = self._training_draw(epoch)
        values = fit_epoch(self.trainee, draw, self.callbacks.during_epoch())
        due = (epoch + 1) % self.lesson.settings.validation.frequency == 0
        if self.validation is not None and (due or epoch + 1 == self.network.epochs):
            values |= validate(self.trainee, self.validation)
        self._update_labels()
        self.callbacks.end_epoch(epoch, _entry(epoch, values))
        stopped = bool(self.trainee.model.stop_training)
        if stopped and self.validation is not None and "val_loss" not in values:
            # The last epoch is always validated.
            values |= validate(self.trainee, self.validation)
        entry = _entry(epoch, values) | {"learning_rate": rate, "seconds": time.perf_counter() - start}
        return replace(done, history=(*done.history, entry), stopped=stopped), len(draw.rows)

    def _learning_rate(self, done: Progress) -> float:
        return learning_rate(
            self.network.lr_schedule,
            self.network.params.learning_rate,
            done.epochs,
            self.network.epochs,
            done.validation_losses(),
        )

    def _training_draw(self, epoch: int) -> Draw:
        lesson = self.lesson
        cells = lesson.training.in_epoch(epoch)
        return Draw(
            cells,
            _shared_evenly(self.sampler.draw(epoch), self.network.devices),
            targets_of(cells, lesson.heads, lesson.goal, self.labels.soft if self.labels else None),
            self.network.params.batch_size,
            lesson.settings.sampling.workers,
            lesson.feed.in_epoch(epoch) if lesson.feed else None,
        )

    def _labels_after(self, epochs: int) -> OnlineLabels:
        cells = self.lesson.training
        if epochs:
            return OnlineLabels.read(self.folder, epochs, (len(cells), self.classes))
        return OnlineLabels.start(
            cells.first_labels, self.classes, self.network.params.online_label_smoothing
        )

    def _update_labels(self) -> None:
        """Move the labels of all training cells, shown in this epoch or not, towards what is predicted."""
        if self.labels is None:
            return
        lesson = self.lesson
        everything = Draw(
            lesson.training,
            np.arange(len(lesson.training)),
            targets_of(lesson.training, lesson.heads, lesson.goal),
            lesson.settings.validation.batch_size,
            lesson.settings.sampling.workers,
        )
        said = predictions(self.trainee, everything, self.network.devices)
        self.labels.update(said, self.network.params.online_lambda)

    def _keep(self, done: Progress) -> None:
        """Write what a finished epoch leaves. The epoch counts from the moment its state is there."""
        epochs = done.epochs if done.stopped else self.network.epochs
        wanted = wanted_checkpoints(self.network.checkpoint_policy, done.epochs, epochs, done.best_epoch())
        if done.epochs in wanted:
            write_checkpoint(self.folder, self.trainee.network, done.epochs)
        if self.labels is not None:
            done = replace(done, labels=self.labels.save(self.folder, done.epochs))
            if done.epochs in wanted:
                self.labels.write_table(self.folder, done.epochs, self.lesson.heads[0][1])
        save_state(self.folder / RESUME_FILE, self.trainee.model, done)
        remove_checkpoints(self.folder, keep=wanted)
        remove_labels(self.folder, tables=wanted, state=done.epochs)
        self._write_log(done)

    def _write_log(self, done: Progress) -> None:
        write_bytes(self.folder / LOG_FILE, history_table(done.history).to_csv(index=False).encode())


def _validation_draw(lesson: Lesson, classes: int) -> Draw | None:
    """The cells that every validation looks at."""
    if lesson.validation is None:
        return None
    validation = lesson.settings.validation
    rows = validation_rows(
        lesson.validation,
        classes,
        lesson.settings.network.seed,
        first_per_image=validation.batch_size if validation.sample_first_crops else None,
    )
    devices = lesson.settings.network.devices
    targets = targets_of(lesson.validation, lesson.heads, lesson.goal)
    return Draw(
        lesson.validation,
        # Every cell as often as any other: means and ratios are those of one device.
        repeated_evenly(rows, devices),
        targets,
        # Nothing depends on where these batches begin.
        max(devices, validation.batch_size - validation.batch_size % devices),
        lesson.settings.sampling.workers,
    )


def _shared_evenly(rows: np.ndarray, devices: int) -> np.ndarray:
    """The rows without the last few that several devices could not share evenly."""
    whole = whole_batches(rows, devices)
    if len(rows) and not len(whole):
        raise TrainingDataError(
            f"there are {len(rows)} cells to train on, fewer than the {devices} devices that share them",
            where="train.model.devices",
            remedy="use fewer devices, or more images",
        )
    return whole


def _entry(epoch: int, values: dict[str, float]) -> EpochLog:
    """The log entry of a 0-based epoch; what is not finite has no value."""
    entry: EpochLog = {"epoch": epoch + 1}
    return entry | {name: value if math.isfinite(value) else None for name, value in values.items()}


def _add_event(events: EventFile, entry: EpochLog) -> None:
    events.add(
        int(entry["epoch"] or 0),
        {name: value for name, value in entry.items() if name != "epoch" and value is not None},
    )
