"""Which lambda an experiment's scores would choose, and what such a choice is worth."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from dp_assets.config.digest import settings_digest
from dp_assets.config.experiment import Experiment
from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.enrichment import enrichment
from dp_assets.evaluation.nsc import nearest_neighbour_scores
from dp_assets.evaluation.precision_recall import precision_recall
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.score import Score, ScoreResult
from dp_assets.orchestration.outputs import Metadata, TableOutput
from dp_assets.orchestration.profile_inputs import annotation_digest, raw_input, raw_profiles
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import COMMON, identified, number, picture, schema_check, table_checks
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.profiling.correction_sweep import RegularizationSweep, sweep_regularization

_FAMILIES: dict[str, Callable[[ProfileSet, EvaluationProtocol], ScoreResult]] = {
    "map": precision_recall,
    "enrichment": enrichment,
    "nsc": nearest_neighbour_scores,
}


def correction_sweep_asset(experiment: Experiment, root: str) -> dg.AssetsDefinition:
    """The scores of a grid of lambdas."""
    scoring = experiment.scoring()
    protocol, evaluation = scoring.profiles, scoring.evaluation
    settings = protocol.regularization_sweep
    key = dg.AssetKey([experiment.name, "correction_sweep"])

    @dg.asset(
        key=key,
        group_name=experiment.name,
        **COMMON,
        kinds={"parquet"},
        io_manager_key="table_io",
        code_version=settings_digest(protocol)
        + settings_digest(evaluation)
        + annotation_digest(protocol, root),
        ins={"source": raw_input(experiment, protocol.level)},
        check_specs=table_checks(key),
        description=(
            f"The score {settings.score} of the treatment profiles for {len(settings.values)} values of "
            f"lambda, on all labels, and on halves of them: the value that one half chooses is scored on "
            "the other, so that the choice is not made on the labels that judge it."
        ),
    )
    def correction_sweep(project: ProjectResource, source: Any) -> dg.MaterializeResult:
        with user_errors(experiment):
            raw = raw_profiles(source, protocol.level, protocol, project, experiment.name)
            sweep = sweep_regularization(
                raw.table,
                protocol,
                lambda profiles: _score(profiles, settings.score, evaluation),
                label_separator=evaluation.label_separator,
            )
        table, version = identified(sweep.table)
        return dg.MaterializeResult(
            value=TableOutput(table, lambda _: _facts(sweep, protocol.correction.regularization)),
            data_version=version,
            check_results=[schema_check(table, "correction_sweep")],
        )

    return correction_sweep


def _score(profiles: ProfileSet, name: str, evaluation: EvaluationProtocol) -> Score:
    """One score; its interval is not needed here, so as few resamples as possible are drawn."""
    quick = evaluation.settings.model_copy(update={"bootstraps": 10})
    found = _FAMILIES[name](profiles, evaluation.model_copy(update={"settings": quick}))
    return next(score for score in found.scores if score.name == name)


def _facts(sweep: RegularizationSweep, configured: float) -> Metadata:
    from dp_assets.figures.sweep_curve import sweep_curve

    rows = sweep.table.to_pandas()
    return {
        "score": sweep.score,
        "configured_lambda": configured,
        "best_lambda_on_all_labels": str(sweep.best),
        "its_score_on_all_labels": number(sweep.best_value),
        "lambda_chosen_by_halves": str(sweep.chosen),
        "score_on_the_half_that_did_not_choose": number(sweep.honest),
        "score_on_the_half_that_chose": number(sweep.optimistic),
        "halves": sweep.halves,
        "note": sweep.reason or "none",
        "curve": picture(sweep_curve(rows, configured), "score by lambda"),
    }
