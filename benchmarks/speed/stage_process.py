"""A process that materializes some assets of all plates, as `dp-assets run` does, and notes when.

python -m benchmarks.speed.stage_process REQUEST ANSWER
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from benchmarks.speed.stages import BEGUN, DEFINED, ENDED, FIRST_SITE, IMPORTED
from dp_assets.config.project import load_project
from dp_assets.orchestration.code_location import definitions_of
from dp_assets.orchestration.lanes import project_graph
from dp_assets.orchestration.progress import listening
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.stage_runner import choose_plates, project_instance, run_stage

Mark = Callable[[str], None]


def run(root: Path, names: list[str], mark: Mark) -> None:
    """Materialize the assets, those without partitions first, computing everything again.

    Raises
    ------
    RuntimeError : an asset failed; the message says why.
    """
    project = load_project(root, strict=True)
    graph = project_graph(project)
    if graph.missing:
        raise RuntimeError(f"experiments that cannot be used: {graph.missing}")
    defs = definitions_of(project, graph)
    keys = [dg.AssetKey(name.split("/")) for name in names]
    known = {key: asset for asset in graph.assets for key in asset.keys}
    if unknown := [key.to_user_string() for key in keys if key not in known]:
        raise RuntimeError(f"there are no assets {', '.join(unknown)}")
    of_plates = [key for key in keys if known[key].partitions_def is not None]
    mark(DEFINED)

    def note(_: str, done: int, __: int) -> None:
        if done:
            mark(FIRST_SITE)

    with project_instance(root) as instance, listening(note):

        def make(chosen: list[dg.AssetKey], plate: str | None) -> None:
            mark(BEGUN)
            outcome = run_stage(defs, instance, chosen, "bench", plate, force=True, verbose=False)
            if not outcome.succeeded:
                raise RuntimeError(f"{plate or 'all plates'}: " + "; ".join(outcome.messages))

        # First, because the image index is one of them.
        if whole := [key for key in keys if key not in of_plates]:
            make(whole, None)
        if of_plates:
            for plate in choose_plates(instance, None, ProjectResource.of(project).listed_plates()):
                make(of_plates, plate)
    mark(ENDED)


def main() -> None:
    """Do what the request asks for."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    marks: dict[str, float] = {}

    def mark(what: str) -> None:
        marks.setdefault(what, time.time())

    mark(IMPORTED)
    run(Path(request["root"]), request["assets"], mark)
    Path(sys.argv[2]).write_text(json.dumps({"marks": marks}), encoding="utf-8")


if __name__ == "__main__":
    main()
