"""Whether a run needs a graphics processor: by the pools of the assets it makes, whoever launched it."""

from dagster import DagsterRun

GPU_POOL = "gpu"


def needs_gpu(run: DagsterRun) -> bool:
    """Whether an asset of the run is in pool `gpu`, or in that of one device (`gpu_0`)."""
    pools = (run.run_op_concurrency.all_pools if run.run_op_concurrency else None) or ()
    return any(pool == GPU_POOL or pool.startswith(f"{GPU_POOL}_") for pool in pools)
