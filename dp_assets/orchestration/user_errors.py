"""Errors that a user can cause become Dagster failures that say what, where and what to do; no retries."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from dp_assets.config.errors import ProjectError

SHOWN = 25


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn a ProjectError of the block into a `dagster.Failure` with every problem in its metadata."""
    try:
        yield
    except ProjectError as error:
        raise failure_of(error) from error


def failure_of(error: ProjectError) -> dg.Failure:
    """The failure that Dagster shows for a user's error: the message, and one table row per problem."""
    rows = [
        dg.TableRecord({"what": problem.what, "where": problem.where, "remedy": problem.remedy})
        for problem in error.problems[:SHOWN]
    ]
    return dg.Failure(
        description=str(error),
        metadata={"problems": dg.MetadataValue.table(rows), "problem_count": len(error.problems)},
        allow_retries=False,
    )
