"""A process that trains a few steps with cells from a crop store, and as many with one constant batch.

python -m benchmarks.speed.feed_process REQUEST ANSWER
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from dp_assets.config.project import load_project
from dp_assets.networks.accelerator import AcceleratorSettings, configure_accelerator
from dp_assets.orchestration.model_runs import training_plan
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.tables import StoredTable
from dp_assets.training.training_set import TRAINING


def prepare(root: Path, experiment_name: str) -> tuple[Any, Any]:
    """The lesson of an experiment and the network to learn it, as a training has them."""
    from dp_assets.training.assembly import assemble
    from dp_assets.training.lesson import plan_lesson

    project = load_project(root, strict=True)
    resource = ProjectResource.of(project)
    experiment = project.experiments[experiment_name]
    table = StoredTable(resource.path((experiment_name, "training_set"), None, ".parquet")).read()
    plan = training_plan(experiment, table, resource, "float32")
    cells = plan.labelled(plan.training_set.part(TRAINING), training=True)
    lesson = plan_lesson(plan.settings, plan.training_set.heads, cells, None, None)
    trainee = assemble(
        plan.settings,
        heads=lesson.heads,
        goal=lesson.goal,
        shape=lesson.training.crops.shape,
        normalization=lesson.training.crops.normalization,
        dtype_policy="float32",
        xla=False,
        published_weights=False,
    )
    return lesson, trainee


def draw_of(lesson: Any, steps: int) -> Any:
    """So many full batches, drawn epoch after epoch as a training draws them."""
    from dp_assets.training.one_epoch import Draw
    from dp_assets.training.sampler import training_sampler
    from dp_assets.training.targets import targets_of

    batch_size = lesson.settings.network.params.batch_size
    sampler = training_sampler(lesson.settings, lesson.training, len(lesson.heads[0][1]))
    rows: list[np.ndarray] = []
    while sum(map(len, rows)) < steps * batch_size:
        rows.append(sampler.draw(len(rows)))
    return Draw(
        lesson.training,
        np.concatenate(rows)[: steps * batch_size],
        targets_of(lesson.training, lesson.heads, lesson.goal),
        batch_size,
        lesson.settings.sampling.workers,
    )


def constant_seconds(trainee: Any, batch: Any, steps: int) -> float:
    """Seconds of an epoch that shows one batch again and again."""
    import keras

    class Constant(keras.utils.PyDataset):
        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int) -> Any:
            return batch

    started = time.perf_counter()
    trainee.model.fit(Constant(), shuffle=False, verbose=0)
    return time.perf_counter() - started


def real_seconds(trainee: Any, draw: Any) -> float:
    """Seconds of an epoch that shows the cells of a draw."""
    from dp_assets.training.one_epoch import fit_epoch

    started = time.perf_counter()
    fit_epoch(trainee, draw)
    return time.perf_counter() - started


def main() -> None:
    """Measure what the request asks for; real and constant epochs take turns."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    configure_accelerator(AcceleratorSettings())
    lesson, trainee = prepare(Path(request["root"]), request["experiment"])
    draws = [draw_of(lesson, steps) for steps in request["steps"]]
    with draws[0].feed() as feed:
        batch = feed[0]
    # The first steps compile.
    real_seconds(trainee, draw_of(lesson, 2))
    constant_seconds(trainee, batch, 2)
    real, constant = [], []
    for _ in range(request["repeats"]):
        real.append([real_seconds(trainee, draw) for draw in draws])
        constant.append([constant_seconds(trainee, batch, steps) for steps in request["steps"]])
    answer = {"real_s": real, "constant_s": constant}
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
