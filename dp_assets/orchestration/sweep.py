"""Sweeps: variants of an experiment as lanes of their own, trained one after the other and tabulated."""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from dp_assets.config.digest import text_digest
from dp_assets.config.errors import ConfigurationError, ProjectError
from dp_assets.config.experiment import load_experiment
from dp_assets.config.names import asked_lane, lane_name
from dp_assets.config.overrides import Overrides
from dp_assets.config.project import CONFIG_FOLDER, Project
from dp_assets.config.sweep_file import MOST_VARIANTS, Range, Search, SweepSettings
from dp_assets.storage.atomic import write_bytes
from dp_assets.storage.layout import ProjectLayout
from dp_assets.storage.model_folder import ModelFolder

STUDY_FILE = "study.db"
TABLE_FILE = "trials.csv"


@dataclass(frozen=True)
class Variant:
    """One variant of the experiment.

    Attributes
    ----------
    number : counted from 1.
    lane : name of its experiment.
    settings : the keys that are varied, and what they are here.
    """

    number: int
    lane: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """A variant that was tried: `scores` of its model, or None and why (`failure`) when it failed."""

    variant: Variant
    scores: dict[str, float] | None
    failure: str = ""


RunLane = Callable[[Variant], str | None]


def run_sweep(
    project: Project, name: str, settings: SweepSettings, run_lane: RunLane, *, tried: Callable[[Trial], None]
) -> list[Trial]:
    """Try the variants of a sweep; those that an earlier call finished are not trained again.

    Every variant is an experiment file `<sweep>_<number>.json` that extends the experiment, so it is a lane
    like any other: visible, resumable, and there for profiling afterwards.

    Parameters
    ----------
    project : the project, with the experiment that is varied.
    name : the sweep's name, the beginning of its lanes' names.
    run_lane : materializes a lane; returns None, or why it failed.
    tried : called after each variant.

    Returns
    -------
    All trials, in the order of their numbers.

    Raises
    ------
    ConfigurationError : the experiment does not exist or does not train, the grid is too large, or a value
        cannot be used. ProjectError : the models have no such score as the sweep goes by.
    """
    experiment = project.experiments.get(asked_lane(settings.experiment))
    if experiment is None or not experiment.has_training:
        trained = [e.name for e in project.experiments.values() if e.has_training]
        raise ConfigurationError(
            f"there is no experiment {settings.experiment!r} that trains",
            where=f"sweep {name}: experiment",
            remedy=f"Write one of: {', '.join(trained) or 'none'}.",
        )
    trials: list[Trial] = []
    folder = sweep_folder(project, name)

    def attempt(variant: Variant) -> Trial:
        _check_values(experiment.path, variant, name)
        _write_lane(project.root, experiment.path, variant, folder)
        failure = run_lane(variant)
        trial = Trial(variant, None if failure else _scores(project, variant.lane), failure or "")
        trials.append(trial)
        write_bytes(folder / TABLE_FILE, trial_table(trials, settings).to_csv(index=False).encode())
        tried(trial)
        if trial.scores is not None and settings.metric not in trial.scores:
            raise ProjectError(
                f"the model has no score {settings.metric!r}; it has {', '.join(sorted(trial.scores))}",
                where=f"sweep {name}: metric",
                remedy="Name one of them; val_ scores need validation images.",
            )
        return trial

    if settings.grid is not None:
        variants = list(grid_variants(name, settings.grid))
        for variant in variants:
            # All of them before the first is trained for hours.
            _check_values(experiment.path, variant, name)
        for variant in variants:
            attempt(variant)
    elif settings.search is not None:
        _search(name, settings, settings.search, folder, attempt)
    return sorted(trials, key=lambda trial: trial.variant.number)


def sweep_folder(project: Project, name: str) -> Path:
    """Where a sweep keeps its table and its study."""
    return project.root / "sweeps" / lane_name(name)


def grid_variants(name: str, grid: Mapping[str, tuple[Any, ...]]) -> Iterator[Variant]:
    """All combinations of the values, the last key varying fastest."""
    count = math.prod(len(values) for values in grid.values())
    if count > MOST_VARIANTS:
        raise ConfigurationError(
            f"the grid has {count} combinations", where=f"sweep {name}: grid", remedy="Use search instead."
        )
    for number, values in enumerate(itertools.product(*grid.values()), 1):
        yield _variant(name, number, dict(zip(grid, values, strict=True)))


def trial_table(trials: list[Trial], settings: SweepSettings) -> pd.DataFrame:
    """One row per trial, the best first: number, experiment, the varied keys, the model's scores, failure."""
    rows = [
        {
            "trial": trial.variant.number,
            "experiment": trial.variant.lane,
            **{key: _shown(value) for key, value in trial.variant.settings.items()},
            **(trial.scores or {}),
            "failure": trial.failure.splitlines()[0] if trial.failure else "",
        }
        for trial in trials
    ]
    table = pd.DataFrame(rows)
    if settings.metric in table:
        table = table.sort_values(settings.metric, ascending=not settings.maximizes, na_position="last")
    return table.reset_index(drop=True)


def _shown(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, bool)) else json.dumps(value)


def _variant(name: str, number: int, values: dict[str, Any]) -> Variant:
    return Variant(number, f"{lane_name(name)}_{number:03d}", values)


def _check_values(base: Path, variant: Variant, name: str) -> None:
    """Raise ConfigurationError when the experiment with these values cannot be trained; writes nothing."""
    values = tuple(f"{key}={json.dumps(value)}" for key, value in variant.settings.items())
    varied = load_experiment(base, overrides=Overrides(values))
    problems = [problem for stage in varied.stages for problem in varied.problems(stage)]
    if problems:
        shown = ", ".join(values)
        found = [replace(p, where=f"sweep {name}, {shown}: {p.where}") for p in dict.fromkeys(problems)]
        raise ConfigurationError(found)


def _write_lane(root: Path, base: Path, variant: Variant, folder: Path) -> None:
    """Write the variant's experiment file; one that the sweep did not write, or that was edited, stays."""
    changes: dict[str, Any] = {"extends": base.name}
    for key, value in variant.settings.items():
        node = changes
        *sections, last = key.split(".")
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = value
    path = root / CONFIG_FOLDER / f"{variant.lane}.json"
    data = (json.dumps(changes, indent=2) + "\n").encode()
    # What the sweep wrote is kept beside its table, to tell its own files from a user's.
    written = folder / "lanes" / path.name
    own = written.read_bytes() if written.exists() else None
    if path.exists() and path.read_bytes() not in (data, own):
        raise ConfigurationError(
            f"the file {path.name} is there and is not of this sweep, or was edited",
            where=str(path),
            remedy="Rename or delete it, or rename the sweep.",
        )
    written.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(written, data)
    write_bytes(path, data)


def _scores(project: Project, lane: str) -> dict[str, float]:
    layout = ProjectLayout.of(project.root, project.settings.store)
    return dict(ModelFolder.open(layout.store / lane / "trained_model").card.scores)


def _search(
    name: str,
    settings: SweepSettings,
    search: Search,
    folder: Path,
    attempt: Callable[[Variant], Trial],
) -> None:
    """Ask a study for the next values, try them, and tell it the score; the study is kept in a file."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    # Another space or metric is another study; its trials would mislead this one.
    study = optuna.create_study(
        study_name=text_digest(settings.model_dump_json(exclude={"search": {"trials"}})),
        storage=f"sqlite:///{folder / STUDY_FILE}",
        sampler=optuna.samplers.TPESampler(seed=search.seed),
        direction="maximize" if settings.maximizes else "minimize",
        load_if_exists=True,
    )
    for earlier in study.trials:
        if earlier.state == optuna.trial.TrialState.RUNNING:
            # A call that was killed; its values are tried first, so that its unfinished training goes on.
            study.tell(earlier.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(earlier.params)
    finished = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    for earlier in finished:
        attempt(_variant(name, earlier.user_attrs["variant"], _decoded(earlier.params, search)))
    for number in range(len(finished) + 1, search.trials + 1):
        trial = study.ask()
        values = {key: _suggestion(trial, key, space) for key, space in search.space.items()}
        trial.set_user_attr("variant", number)
        done = attempt(_variant(name, number, values))
        score = (done.scores or {}).get(settings.metric)
        if score is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, score)


def _suggestion(trial: optuna.Trial, key: str, space: Range | tuple[Any, ...]) -> Any:
    if isinstance(space, Range):
        if space.whole:
            return trial.suggest_int(key, int(space.low), int(space.high), log=space.log)
        return trial.suggest_float(key, space.low, space.high, log=space.log)
    return json.loads(trial.suggest_categorical(key, [json.dumps(value) for value in space]))


def _decoded(params: Mapping[str, Any], search: Search) -> dict[str, Any]:
    return {
        key: params[key] if isinstance(space, Range) else json.loads(params[key])
        for key, space in search.space.items()
    }
