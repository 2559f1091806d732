"""What the run that a step belongs to will still make."""

from typing import Any

import dagster as dg


def steps_to_come(context: dg.AssetExecutionContext) -> set[dg.AssetKey]:
    """The assets of this run whose steps have not begun.

    A run that goes on with what failed in another one has that one's selection, but only some of its steps.
    """
    layer = context.job_def.asset_layer
    chosen = context.run.step_keys_to_execute
    begun = {
        entry.dagster_event.step_key
        for entry in context.instance.all_logs(context.run.run_id, of_type=dg.DagsterEventType.STEP_START)
        if entry.dagster_event is not None
    }
    steps = {key: layer.asset_graph.get(key).assets_def.op.name for key in layer.selected_asset_keys}
    return {key for key, step in steps.items() if step not in begun and (chosen is None or step in chosen)}


def is_forced(context: dg.AssetExecutionContext, asset: dg.AssetKey) -> bool:
    """Whether this run is to compute an asset again (`force` of its `StageConfig`)."""
    settings: Any = context.run.run_config
    for name in ("ops", context.job_def.asset_layer.asset_graph.get(asset).assets_def.op.name, "config"):
        settings = settings.get(name) or {}
    return bool(settings.get("force"))
