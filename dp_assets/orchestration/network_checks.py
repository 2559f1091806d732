"""Whether what experiments ask of Keras and of plugins is there; known before any plate is prepared."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from dp_assets.config.errors import ModelError, Problem, ProjectError
from dp_assets.config.experiment import Experiment
from dp_assets.config.network import NETWORKS_WITHOUT_IMAGENET, ArchitectureSettings, NetworkSettings
from dp_assets.config.stages import TrainingSettings
from dp_assets.networks.native_log import native_log
from dp_assets.orchestration.project_resource import ProjectResource


def network_problems(experiments: Iterable[Experiment], project: ProjectResource) -> list[Problem]:
    """What keeps networks from being built: plugins, networks, crop generators, callbacks, key files.

    Imports Keras, but uses no device: nothing is built, so metrics and layers show when a network is.
    """
    with native_log():
        from dp_assets.networks.plugins import load_project_plugins

    found: list[Problem] = []
    if not _holds(found, lambda: load_project_plugins(project.layout.root / "plugins")):
        # Without them every name that a plugin gives would seem to be unknown.
        return found
    for experiment in experiments:
        problems: list[Problem] = []
        network = _network(experiment)
        if network is not None:
            _holds(problems, partial(_check_network, experiment, network))
        if experiment.has_training:
            problems += _training_problems(experiment.training(), project)
        found += [replace(p, where=f"{experiment.path}: {p.where}") for p in problems]
    return found


def _training_problems(settings: TrainingSettings, project: ProjectResource) -> list[Problem]:
    from dp_assets.networks.plugins import project_plugins
    from dp_assets.training.comet_log import read_key
    from dp_assets.training.feeds import PROFILING_ONLY, feed_plugin
    from dp_assets.training.plugin_tables import feed_plugins, metric_plugins

    network, comet = settings.network, settings.logging.comet
    plugins = project_plugins()
    found: list[Problem] = []
    # That one is refused where the supply of crops is looked at.
    if network.crop_generator != PROFILING_ONLY:
        _holds(found, lambda: feed_plugin(network.crop_generator, network.seed, feed_plugins(plugins)))
    _holds(found, lambda: metric_plugins(plugins))
    _holds(found, lambda: _check_callbacks(network))
    if comet is not None:
        _holds(found, lambda: read_key(project.layout.config / comet))
    return found


def _network(experiment: Experiment) -> ArchitectureSettings | None:
    if experiment.has_training:
        return experiment.training().network
    return experiment.profiling().network if experiment.has_profile else None


def _check_network(experiment: Experiment, network: ArchitectureSettings) -> None:
    from dp_assets.networks.registry import feature_layer_name

    feature_layer_name(network.name, "")
    begins = isinstance(network, NetworkSettings) and network.initialization == "imagenet"
    if network.name in NETWORKS_WITHOUT_IMAGENET and (begins or experiment.model_source == "imagenet"):
        raise ModelError(
            f"there are no ImageNet weights for {network.name}",
            where="train.model.initialization" if begins else "profile.checkpoint",
            remedy='use "initialization": "random"' if begins else "train the network, or name a checkpoint",
        )


def _check_callbacks(network: NetworkSettings) -> None:
    """Make the callbacks as if all that they monitor were measured: metrics are known with the heads only."""
    from dp_assets.training.callback_settings import build_callbacks

    monitored = {str(wanted.params.get("monitor", "loss")) for wanted in network.callbacks}
    with TemporaryDirectory() as folder:
        build_callbacks(
            network.callbacks,
            [name.removeprefix("val_") for name in sorted({"loss", *monitored})],
            validated=True,
            folder=Path(folder),
        )


def _holds(problems: list[Problem], check: Callable[[], object]) -> bool:
    """Whether a check passes; what it finds is added to the problems."""
    try:
        check()
    except ProjectError as error:
        problems += error.problems
        return False
    return True
