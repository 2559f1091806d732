"""Jobs with the handbook's names: prepare, export_single_cells, train, profile, evaluate."""

import dagster as dg

from dp_assets.orchestration.lanes import ProjectGraph

DESCRIPTIONS = {
    "index": "Read the image index and register its plates.",
    "prepare": "Describe a plate, correct its illumination and compress its images.",
    "export_single_cells": "Cut every cell of a plate into crop stores.",
    "train": "Collect the training sets and make the models of all experiments.",
    "profile": "Compute the features of every cell of a plate and its site and well profiles.",
    "evaluate": "Correct and score the profiles of all plates, experiment by experiment.",
}
PLATE_STAGES = ("prepare", "export_single_cells", "profile")


def stage_jobs(graph: ProjectGraph) -> list:
    """One job per stage that has assets."""
    return [
        dg.define_asset_job(
            stage,
            selection=dg.AssetSelection.assets(*keys),
            description=DESCRIPTIONS[stage],
        )
        for stage, keys in graph.stages.items()
    ]
