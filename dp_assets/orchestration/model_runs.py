"""Running networks for the assets: the device is set up first, and only then is Keras imported."""

from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa

from dp_assets.config.errors import ModelError, TrainingDataError
from dp_assets.config.experiment import Experiment
from dp_assets.config.sections import ModelSettings
from dp_assets.config.stages import TrainingSettings
from dp_assets.orchestration.accelerator_resource import AcceleratorResource
from dp_assets.orchestration.crop_supplies import supply_of_project
from dp_assets.orchestration.progress import reporter
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.folders import FolderWriter
from dp_assets.storage.model_folder import ModelFolder
from dp_assets.storage.tables import read_provenance
from dp_assets.training.crop_supply import crop_origin, require_trainable, require_unchanged
from dp_assets.training.model_plan import TrainingPlan, find_weights
from dp_assets.training.training_set import TrainingSet


def training_plan(
    experiment: Experiment, training_set: pa.Table, project: ProjectResource, precision: str
) -> TrainingPlan:
    """What a training is made from, with the crops or images the training set was drawn from.

    Raises
    ------
    TrainingDataError : they changed after the training set was made, or are not there any more.
    ModelError : the crop generator cannot train, or a weights file is not found.
    """
    settings = experiment.training()
    logging = settings.logging
    require_trainable(settings)
    facts = read_provenance(training_set.schema)
    if "sources" not in facts:
        raise TrainingDataError(
            "the training set was made by an earlier version",
            where=f"{experiment.name}/training_set",
            remedy="materialize training_set again, then trained_model",
        )
    supply = supply_of_project(settings, facts["sources"], project)
    what = "crops" if crop_origin(settings) == "stores" else "images"
    require_unchanged(facts["sources"], supply.fingerprints(training_set), what)
    return TrainingPlan(
        settings=settings,
        training_set=TrainingSet(
            training_set,
            tuple((target, tuple(classes)) for target, classes in facts["heads"]),
            facts["left_out"],
            facts["unlabelled"],
        ),
        supply=supply,
        plate_ranges={
            plate: (np.asarray(lower), np.asarray(upper))
            for plate, (lower, upper) in facts["plate_ranges"].items()
        },
        precision=precision,
        start_from=start_from(experiment, settings, project),
        imagenet_weights=imagenet_weights(settings.model, project)
        if settings.network.initialization == "imagenet"
        else None,
        plugins=project.layout.root / "plugins",
        comet_key=project.layout.config / logging.comet if logging.comet is not None else None,
        mlflow=_mlflow_address(logging.mlflow, project),
        name=experiment.name,
    )


def _mlflow_address(given: str | None, project: ProjectResource) -> str | None:
    """The address of a server as it is; a relative folder as one of the project."""
    if given is None or "://" in given or given.startswith("databricks"):
        return given
    return str(project.layout.root / given)


def start_from(experiment: Experiment, settings: TrainingSettings, project: ProjectResource) -> Path | None:
    name = settings.model.start_from
    if name is None:
        return None
    folders = checkpoint_folders(experiment.name, project)
    return find_weights(name, folders, f"{experiment.path}: model.start_from")


def checkpoint_folders(experiment: str, project: ProjectResource) -> list[Path]:
    """Where weight files that a configuration names are looked for, in order."""
    layout = project.layout
    return [layout.root / "outputs" / experiment / "checkpoint", layout.pretrained]


def imagenet_weights(settings: ModelSettings, project: ProjectResource) -> Path | None:
    """The local file with ImageNet weights, where `model.imagenet_weights` names one.

    Raises
    ------
    ModelError : it is neither in `inputs/pretrained`, nor that path (relative ones: of the project).
    """
    if settings.imagenet_weights is None:
        return None
    layout = project.layout
    places = [folder / settings.imagenet_weights for folder in (layout.pretrained, layout.root)]
    for path in places:
        if path.is_file():
            return path
    raise ModelError(
        f"there is no file {settings.imagenet_weights!r}",
        where="model.imagenet_weights",
        remedy="put the file at one of: " + ", ".join(map(str, dict.fromkeys(places))),
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
    """Train in the work folder, which is locked, logging every epoch; returns the model folder to publish."""
    accelerator.apply(context)
    from dp_assets.training.model_training import train_model
    from dp_assets.training.outcome import EpochReport

    work = project.work(context)
    report = reporter(context, "epochs")

    def log_epoch(epoch: EpochReport) -> None:
        values = ", ".join(f"{name} {value:.4f}" for name, value in epoch.values.items())
        context.log.info(f"epoch {epoch.epoch} of {epoch.epochs}: {values} ({epoch.seconds:.0f} s)")
        report(epoch.epoch, epoch.epochs)

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
    if outcome.initial is not None:
        first = outcome.initial
        left = ", ".join((*first.skipped, *first.missing)) or "none"
        context.log.info(f"{first.loaded} layers began with the weights of {first.file}; anew: {left}")
    if outcome.stopped_early:
        context.log.info(f"a callback stopped the training after epoch {outcome.epochs}")
    if outcome.resumed_from:
        context.log.info(f"went on after epoch {outcome.resumed_from} of an earlier run")
    for channels, count in plan.supply.flat.items():
        context.log.warning(f"{count} crops are flat in {channels}; others took their place")
    return writer


def _published_model(context: dg.AssetExecutionContext, project: ProjectResource) -> Path | None:
    try:
        folder = ModelFolder.open(project.path(tuple(context.asset_key.path)))
    except FileNotFoundError:
        return None
    return folder.local_path(project.layout.work / "models")
