"""The executor of every run: all steps in one process, which marks the run as its own."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.executor_definition import IN_PROC_CONFIG
from dagster._core.execution.retries import RetryMode
from dagster._core.execution.step_dependency_config import StepDependencyConfig
from dagster._core.executor.in_process import InProcessExecutor

from dp_assets.orchestration.live_runs import mark_as_live


class MarkingInProcessExecutor(InProcessExecutor):
    """Dagster's in-process executor, with a mark that tells when its process has ended (see `live_runs`)."""

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Execute the steps of a plan one after the other, and yield what happens."""
        mark_as_live(plan_context.instance, plan_context.run_id)
        yield from super().execute(plan_context, execution_plan)


@dg.executor(name="in_process", config_schema=IN_PROC_CONFIG)
def marking_in_process_executor(init_context: dg.InitExecutorContext) -> MarkingInProcessExecutor:
    """All steps of a run in one process, so that no step can outlive its run."""
    config = init_context.executor_config
    retries = RetryMode.from_config(config["retries"])  # type: ignore[arg-type]
    assert retries is not None
    return MarkingInProcessExecutor(
        retries=retries,
        step_dependency_config=StepDependencyConfig.from_config(config.get("step_dependency_config")),  # type: ignore[arg-type]
    )
