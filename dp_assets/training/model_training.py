"""From a training set to a model folder: choose the cells, train, write the card."""

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from dp_assets.storage.folders import FolderWriter
from dp_assets.storage.model_folder import CARD_FILE, ModelCard, card_facts, write_card
from dp_assets.training.cells import LabelledCells
from dp_assets.training.class_predictions import class_predictions
from dp_assets.training.crop_supply import plates_of
from dp_assets.training.model_card_making import card_of
from dp_assets.training.model_loading import load_trained_network
from dp_assets.training.model_plan import TrainingPlan
from dp_assets.training.outcome import EpochReport, TrainingOutcome
from dp_assets.training.trainer import train_network
from dp_assets.training.training_set import TRAINING, VALIDATION


def train_model(
    plan: TrainingPlan,
    *,
    content: str,
    work: Path,
    published: Path | None,
    xla: bool,
    progress: Callable[[EpochReport], None],
    finished: Callable[[], None],
) -> tuple[FolderWriter, TrainingOutcome]:
    """Train in the work folder and return the model folder to publish.

    Parameters
    ----------
    content : fingerprint of the plan.
    work : local folder of the training; a killed run goes on in it.
    published : local folder of the model published before, if any: when only more epochs are wanted, it is
        continued.
    finished : called after publication.
    """
    if published is not None and not work.exists():
        _prime(work, published)
    validation = _validation(plan)
    outcome = train_network(
        settings=plan.settings,
        heads=plan.training_set.heads,
        training=plan.labelled(plan.training_set.part(TRAINING), training=True),
        validation=validation,
        folder=work,
        dtype_policy=plan.precision,
        xla=xla,
        content=plan.content,
        start_from=plan.start_from,
        imagenet_weights=plan.imagenet_weights,
        plugins=plan.plugins,
        comet_key=plan.comet_key,
        mlflow=plan.mlflow,
        name=plan.name,
        progress=progress,
    )
    network = load_trained_network(work)
    card = _card(plan, outcome, network, content)
    batch_size = plan.settings.validation.batch_size
    predictions = class_predictions(network, validation, plan.training_set.classes, batch_size)
    writer = FolderWriter(
        fingerprint=content,
        facts={
            "card": card_facts(card),
            "resumed_from": outcome.resumed_from,
            "flat_crops": dict(plan.supply.flat),
            "predictions": predictions,
        },
        fill=lambda folder: _fill(folder, work, card),
        finished=finished,
    )
    return writer, outcome


def _prime(work: Path, published: Path) -> None:
    """Put the published training into the work folder, all of it or nothing."""
    copying = work.with_name(f".{work.name}.copying")
    shutil.rmtree(copying, ignore_errors=True)
    shutil.copytree(published, copying)
    copying.rename(work)


def _validation(plan: TrainingPlan) -> LabelledCells:
    """The cells to judge by: `validation.frame` names the split (handbook 5.1)."""
    whole = plan.training_set
    frame = plan.settings.validation.frame
    chosen = whole.cells if frame == "all" else whole.part(TRAINING if frame == "train" else VALIDATION)
    return plan.labelled(chosen, training=False)


def _card(plan: TrainingPlan, outcome: TrainingOutcome, network: object, content: str) -> ModelCard:
    return card_of(
        network,
        plan.settings,
        name=plan.settings.network.name,
        conv_blocks=plan.settings.network.params.conv_blocks,
        precision=plan.precision,
        devices=plan.settings.network.devices,
        source="train",
        classes=plan.training_set.classes,
        heads=dict(plan.training_set.heads),
        plates=tuple(plates_of(plan.training_set.cells)),
        trained_on=content,
        epochs=outcome.epochs,
        best_epoch=outcome.best_epoch,
        scores=last_scores(outcome.history),
    )


def last_scores(history: pd.DataFrame) -> dict[str, float]:
    """Loss and metrics of the last epoch; those of the validation from the last epoch that had one."""
    scores = {}
    for name in history.columns:
        values = history[name].dropna()
        if name not in ("epoch", "learning_rate", "seconds") and len(values):
            scores[str(name)] = float(values.iloc[-1])
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def _fill(folder: Path, work: Path, card: ModelCard) -> None:
    shutil.copytree(work, folder, dirs_exist_ok=True, copy_function=_link, ignore=_unpublished)
    write_card(folder, card)


def _unpublished(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name.startswith(".") or name in (CARD_FILE, "MANIFEST.json")}


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target
