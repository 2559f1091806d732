"""Models that are not trained here: which weights an experiment names, and bringing them in."""

from dataclasses import replace
from pathlib import Path

import dagster as dg

from dp_assets.config.errors import ModelError, Problem
from dp_assets.config.experiment import Experiment
from dp_assets.orchestration.accelerator_resource import AcceleratorResource
from dp_assets.orchestration.model_runs import checkpoint_folders, imagenet_weights
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.card_check import require_card
from dp_assets.storage.checkpoint_card import find_card
from dp_assets.storage.folders import FolderWriter
from dp_assets.training.import_plan import ImportPlan
from dp_assets.training.model_plan import find_weights


def import_plan(experiment: Experiment, project: ProjectResource, precision: str = "float32") -> ImportPlan:
    """The weights that an experiment brings in, with what is known of them; no network is built.

    Raises
    ------
    ModelError : a weight file is not found, its card cannot be read, or the experiment makes other crops than
        the card says that the weights take.
    """
    settings = experiment.profiling()
    plugins = project.layout.root / "plugins"
    if experiment.model_source == "imagenet":
        local = imagenet_weights(settings.model, project)
        return ImportPlan(settings, None, precision, imagenet_weights=local, plugins=plugins)
    checkpoint = checkpoint_file(experiment, project)
    card = find_card(checkpoint)
    if card is not None:
        require_card(card.facts, settings, f"{experiment.path} with {checkpoint.name}")
    return ImportPlan(settings, checkpoint, precision, card=card, plugins=plugins)


def import_problems(experiment: Experiment, project: ProjectResource) -> tuple[Problem, ...]:
    """What keeps an experiment's weights from being brought in, as far as files and their cards tell.

    No weights are read and no network is built. Experiments that train their network have none.
    """
    if experiment.model_source == "train":
        return ()
    try:
        import_plan(experiment, project)
    except ModelError as error:
        file = str(experiment.path)
        return tuple(p if file in p.where else replace(p, where=f"{file}: {p.where}") for p in error.problems)
    return ()


def checkpoint_file(experiment: Experiment, project: ProjectResource) -> Path:
    """The weight file that `profile.checkpoint` names; ModelError when it is not there."""
    folders = checkpoint_folders(experiment.name, project)
    return find_weights(str(experiment.profiling().profile.checkpoint), folders)


def run_import(
    context: dg.AssetExecutionContext, plan: ImportPlan, accelerator: AcceleratorResource
) -> FolderWriter:
    """Put the weights into a network; returns the model folder to publish."""
    accelerator.apply(context)
    from dp_assets.training.model_import import import_model

    writer, report = import_model(plan)
    origin = plan.checkpoint or plan.imagenet_weights or "Keras' ImageNet weights"
    context.log.info(f"{len(report.loaded)} layers loaded from {origin}")
    for names, what in ((report.skipped, "left out (other shape)"), (report.missing, "not in the file")):
        if names:
            context.log.warning(f"layers {what}: {', '.join(names)}")
    return writer


def import_description(experiment: Experiment) -> str:
    """What the imported model of an experiment is, for its page."""
    settings = experiment.profiling()
    if experiment.model_source == "imagenet":
        name = settings.network.name if settings.network is not None else "The network"
        origin = settings.model.imagenet_weights or "Keras' cache or download"
        return f"{name} with the weights of ImageNet ({origin}), as a model folder with a card."
    return (
        f"The checkpoint {settings.profile.checkpoint}, loaded by layer name, as a model folder with a card. "
        f"Looked for in outputs/{experiment.name}/checkpoint and inputs/pretrained."
    )
