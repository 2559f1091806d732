"""When an asset is made by itself: automation conditions, attached to the finished graph in one place."""

import warnings
from collections.abc import Sequence

import dagster as dg

from dp_assets.config.automation import AutomationSettings
from dp_assets.config.experiment import Experiment
from dp_assets.orchestration.automation.ended_runs import StillMissing, WasLost
from dp_assets.orchestration.automation.names import NIGHTLY, STARTED_BY
from dp_assets.orchestration.lanes import ProjectGraph

Condition = dg.AutomationCondition
INDEX = dg.AssetKey("image_index")
ANNOTATIONS = dg.AssetKey("plate_annotations")
TRAINING = ("training_set", "trained_model")


def with_conditions(
    graph: ProjectGraph, settings: AutomationSettings, experiments: Sequence[Experiment]
) -> list[dg.AssetsDefinition]:
    """The graph's assets, each with the condition under which the nightly backfill makes it.

    Plate assets are made when they are missing, assets over all plates when something that they are made of
    has been made. `image_index` waits for its sensor, and what trains for the experiment to say so; a model
    brought from elsewhere trains nothing and is made when it is missing.
    """
    if not settings.nightly:
        return graph.assets
    trained = {
        dg.AssetKey([experiment.name, name])
        for experiment in experiments
        if experiment.has_training
        for name in TRAINING
    }
    night = Condition.cron_tick_passed(settings.nightly, settings.timezone)
    return [_with_condition(asset, night, trained) for asset in graph.assets]


def _with_condition(
    asset: dg.AssetsDefinition, night: dg.AutomationCondition, trained: set[dg.AssetKey]
) -> dg.AssetsDefinition:
    def changed(spec: dg.AssetSpec) -> dg.AssetSpec:
        if spec.key == INDEX or spec.key in trained:
            return spec
        once = spec.partitions_def is not None or not list(spec.deps)
        condition = missing(night) if once else outdated(night, [dep.asset_key for dep in spec.deps])
        return spec.replace_attributes(automation_condition=condition)

    return asset.map_asset_specs(changed)


def missing(night: dg.AutomationCondition) -> dg.AutomationCondition:
    """Missing when the night comes, and everything that it is made of is there or made in the same run.

    What waits for something else (features for a model) stays due until that is there. What has failed waits
    for somebody to put it right and run it; what was killed, or found another run at work, does not.
    """
    return (
        _due(night)
        & Condition.missing()
        & ~Condition.in_progress()
        & ~failed()
        & ~Condition.any_deps_missing()
        & StillMissing()
    ).with_label(NIGHTLY)


def _due(night: dg.AutomationCondition) -> dg.AutomationCondition:
    """The night has come, and since then the result was neither requested nor made.

    A plate that is registered after the night is "newly missing": it waits for the next one.
    """
    handled = (
        Condition.newly_requested()
        | Condition.newly_updated()
        | Condition.initial_evaluation()
        | Condition.newly_missing()
    )
    return night.since(handled.with_label("handled")).with_label("due")


def failed() -> dg.AutomationCondition:
    """The last run failed with a reason: neither was it killed nor was another run at work."""
    return (Condition.execution_failed() & ~WasLost()).with_label("failed_with_a_reason")


def outdated(night: dg.AutomationCondition, parents: Sequence[dg.AssetKey]) -> dg.AutomationCondition:
    """Made of something that was made since: once a night, when no plate is being worked on any more.

    Plates that are missing do not hold it up, as long as every parent has one.
    """
    there = Condition.missing().with_label("has_nothing")
    something = [
        Condition.any_deps_match(~there | Condition.will_be_requested()).allow(dg.AssetSelection.assets(key))
        for key in parents
    ]
    # the weekly look makes annotations again: only others than before count
    annotations = dg.AssetSelection.assets(ANNOTATIONS)
    again = Condition.any_deps_match(Condition.newly_updated() | Condition.will_be_requested())
    changed = Condition.any_deps_match(Condition.data_version_changed()).allow(annotations)
    updated = (again.ignore(annotations) | changed).since_last_handled()
    condition = (
        _due(night)
        # a tick later: only then are the runs of this night's plates in progress
        & ~night
        & ((Condition.missing() & ~failed() & StillMissing()) | updated)
        & ~Condition.in_progress()
        & ~Condition.any_deps_in_progress()
    )
    for part in something:
        condition = condition & part
    return condition.with_label(NIGHTLY)


def nightly_sensor(settings: AutomationSettings) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions. One run per plate: the run queue decides how many at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.AutomationConditionSensorDefinition(
            NIGHTLY,
            target=dg.AssetSelection.all(),
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=settings.every_seconds,
            emit_backfills=False,
            # `WasLost` is no condition of Dagster's own
            use_user_code_server=True,
            run_tags={STARTED_BY: NIGHTLY},
            description=(
                f"Makes what is missing after {settings.nightly} ({settings.timezone}), plate by plate, "
                "then what is made of all plates."
            ),
        )
