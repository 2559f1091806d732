"""A process that materializes an asset that does nothing, plate by plate: Dagster's share of a plate's run.

python -m benchmarks.speed.bare_run REQUEST ANSWER
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import dagster as dg

from benchmarks.speed.result import Limit
from dp_assets.orchestration.partitions import plates, register_plates
from dp_assets.orchestration.run_executor import marking_in_process_executor
from dp_assets.orchestration.stage_runner import project_instance, run_stage

RUN = "dagster run"
"""Name of the limit: the record of a run with one asset, one check and some metadata."""
WARM_UP = 2


def empty_definitions() -> dg.Definitions:
    """One asset of plates that does nothing, recorded as ours are."""

    @dg.asset(partitions_def=plates, check_specs=[dg.AssetCheckSpec("checked", asset="nothing")])
    def nothing() -> dg.MaterializeResult:
        return dg.MaterializeResult(
            metadata={"sites": 1},
            data_version=dg.DataVersion("1"),
            check_results=[dg.AssetCheckResult(check_name="checked", passed=True)],
        )

    return dg.Definitions(assets=[nothing], executor=marking_in_process_executor)


def seconds_of_runs(root: Path, runs: int) -> tuple[list[float], list[float]]:
    """Wall and CPU seconds of so many runs in the instance of a project folder, after a few unmeasured ones.

    Raises
    ------
    RuntimeError : a run failed.
    """
    defs, key = empty_definitions(), dg.AssetKey("nothing")
    names = [f"P{number:05d}" for number in range(WARM_UP + runs)]
    walls, cpus = [], []
    with project_instance(root) as instance:
        register_plates(instance, names)
        for name in names:
            started, cpu_started = time.perf_counter(), time.process_time()
            outcome = run_stage(defs, instance, [key], "bench", name, force=False, verbose=False)
            if not outcome.succeeded:
                raise RuntimeError("; ".join(outcome.messages))
            walls.append(time.perf_counter() - started)
            cpus.append(time.process_time() - cpu_started)
    return walls[WARM_UP:], cpus[WARM_UP:]


def main() -> None:
    """Measure what the request asks for."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    walls, cpus = seconds_of_runs(Path(request["root"]), request["runs"])
    limit = Limit(RUN, "run", 1, tuple(walls), tuple(cpus), "one asset, one check")
    Path(sys.argv[2]).write_text(json.dumps({"limit": asdict(limit)}), encoding="utf-8")


if __name__ == "__main__":
    main()
