"""Running networks for the assets: the device is set up first, and only then is Keras imported."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pyarrow as pa

from dp_assets.config.errors import TrainingDataError
from dp_assets.config.stages import TrainingSettings
from dp_assets.orchestration.accelerator_resource import AcceleratorResource
from dp_assets.orchestration.assets.single_cells import PREFIX
from dp_assets.orchestration.crop_inputs import crop_geometry
from dp_assets.orchestration.progress import reporter
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.folders import FolderWriter
from dp_assets.storage.model_folder import ModelFolder
from dp_assets.storage.tables import read_provenance
from dp_assets.training.model_plan import ImportPlan, TrainingPlan
from dp_assets.training.training_set import TrainingSet

if TYPE_CHECKING:
    from dp_assets.profiling.extraction import FeatureExtractor


def training_plan(
    settings: TrainingSettings, training_set: pa.Table, project: ProjectResource, precision: str
) -> TrainingPlan:
    """What a training is made from, with the crop stores the training set was drawn from.

    Raises
    ------
    TrainingDataError : crops changed after the training set was made.
    """
    facts = read_provenance(training_set.schema)
    stores = {}
    for plate, fingerprint in facts["stores"].items():
        stores[plate] = CropStore.open(project.path((PREFIX, settings.set_name), plate))
        if stores[plate].fingerprint != fingerprint:
            raise TrainingDataError(
                f"the crops of plate {plate} changed after the training set was made",
                where=f"{PREFIX}/{settings.set_name}",
                remedy="materialize training_set again, then trained_model",
            )
    return TrainingPlan(
        settings=settings,
        training_set=TrainingSet(training_set, tuple(facts["classes"]), facts["left_out"]),
        stores=stores,
        geometry=crop_geometry(settings),
        plate_ranges={
            plate: (np.asarray(lower), np.asarray(upper))
            for plate, (lower, upper) in facts["plate_ranges"].items()
        },
        precision=precision,
    )


def run_training(
    context: dg.AssetExecutionContext,
    plan: TrainingPlan,
    content: str,
    project: ProjectResource,
    accelerator: AcceleratorResource,
    *,
    force: bool,
) -> FolderWriter:
    """Train, logging every epoch; returns the model folder to publish."""
    accelerator.apply(context.log)
    from dp_assets.training.model_training import train_model
    from dp_assets.training.outcome import EpochReport

    work = project.work(context)
    report = reporter(context, "epochs")

    def log_epoch(epoch: EpochReport) -> None:
        values = ", ".join(f"{name} {value:.4f}" for name, value in epoch.values.items())
        context.log.info(f"epoch {epoch.epoch} of {epoch.epochs}: {values} ({epoch.seconds:.0f} s)")
        report(epoch.epoch, epoch.epochs)

    with work.locked():
        if force:
            work.clear()
        context.log.info(f"training in {work.path}; watch it with: tensorboard --logdir {work.path}")
        writer, outcome = train_model(
            plan,
            content=content,
            work=work.path / "training",
            published=None if force else _published_model(context, project),
            xla=accelerator.xla,
            progress=log_epoch,
            finished=work.clear,
        )
    if outcome.resumed_from:
        context.log.info(f"went on after epoch {outcome.resumed_from} of an earlier run")
    return writer


def _published_model(context: dg.AssetExecutionContext, project: ProjectResource) -> Path | None:
    try:
        folder = ModelFolder.open(project.path(tuple(context.asset_key.path)))
    except FileNotFoundError:
        return None
    return folder.local_path(project.layout.work / "models")


def run_import(
    context: dg.AssetExecutionContext, plan: ImportPlan, accelerator: AcceleratorResource
) -> FolderWriter:
    """Load a checkpoint into a network; returns the model folder to publish."""
    accelerator.apply(context.log)
    from dp_assets.training.model_import import import_checkpoint

    writer, report = import_checkpoint(plan)
    context.log.info(f"{len(report.loaded)} layers loaded from {plan.checkpoint}")
    for names, what in ((report.skipped, "left out (other shape)"), (report.missing, "not in the file")):
        if names:
            context.log.warning(f"layers {what}: {', '.join(names)}")
    return writer


def extractor_loader(
    context: dg.AssetExecutionContext,
    model: ModelFolder,
    checkpoint: str | None,
    layer: str,
    batch_size: int,
    project: ProjectResource,
    accelerator: AcceleratorResource,
) -> Callable[[], "FeatureExtractor"]:
    """A function that sets up the device, opens the model and returns the feature extractor."""

    def load() -> "FeatureExtractor":
        accelerator.apply(context.log)
        folder = model.local_path(project.layout.work / "models")
        return _extractor(folder, model.fingerprint, checkpoint, layer, batch_size, accelerator.xla)

    return load


@lru_cache(maxsize=1)
def _extractor(
    folder: Path,
    fingerprint: str,  # noqa: ARG001 (a model made again under the same path is another one)
    checkpoint: str | None,
    layer: str,
    batch_size: int,
    xla: bool,
) -> "FeatureExtractor":
    """The extractor, kept for the next plate of this process: the network is opened and compiled once."""
    from dp_assets.profiling.extraction import FeatureExtractor
    from dp_assets.training.model_loading import load_trained_network

    return FeatureExtractor(load_trained_network(folder, checkpoint), layer, batch_size, xla=xla)
