"""Errors that a user can cause become Dagster failures that say what, where and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import dagster as dg

from dp_assets.config.errors import Problem, ProjectError
from dp_assets.config.experiment import Experiment
from dp_assets.config.machine_errors import machine_error

SHOWN = 25
_SECTIONS = ("profiles", "evaluation", "features")


@contextmanager
def user_errors(experiment: Experiment | None = None) -> Iterator[None]:
    """Turn a ProjectError of the block into a `dagster.Failure` with every problem in its metadata.

    What the machine refuses (full disk, no permission, read-only) is such an error, too.

    Parameters
    ----------
    experiment : whose settings the block works with; problems that name a key then name its file too.
    """
    try:
        yield
    except ProjectError as error:
        if experiment is None:
            raise failure_of(error) from error
        raise failure_of(type(error)([placed(problem, experiment) for problem in error.problems])) from error
    except dg.Failure:
        raise
    except Exception as error:
        refused = machine_error(error)
        if refused is None:
            raise
        raise failure_of(refused) from error


def placed(problem: Problem, experiment: Experiment) -> Problem:
    """The problem with the experiment's file before the key that it names."""
    is_key = problem.where.partition(".")[0] in _SECTIONS
    return replace(problem, where=f"{experiment.path}: {problem.where}") if is_key else problem


def failure_of(error: ProjectError) -> dg.Failure:
    """The failure that Dagster shows for a user's error: the message, and one table row per problem.

    Only what may pass by itself may be retried: a store that does not answer, a disk that failed once.
    """
    rows = [
        dg.TableRecord({"what": problem.what, "where": problem.where, "remedy": problem.remedy})
        for problem in error.problems[:SHOWN]
    ]
    return dg.Failure(
        description=str(error),
        metadata={"problems": dg.MetadataValue.table(rows), "problem_count": len(error.problems)},
        allow_retries=error.transient,
    )
