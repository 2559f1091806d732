"""The tiny projects of the orchestration tests, and a count of the sites that each stage computes."""

from collections import Counter

import pytest

from dp_assets.storage.work import WorkFolder
from dp_assets_tests.orchestration.conftest import (
    finished,
    finished_template,
    no_environment,
    open_streams,
    tiny,
    tiny_template,
    write_project,
)

__all__ = [
    "finished",
    "finished_template",
    "no_environment",
    "open_streams",
    "tiny",
    "tiny_template",
    "write_project",
]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Stage -> units that were computed and kept since (`compressed_images`, `box32`, `cell_features`)."""
    counts: Counter[str] = Counter()
    keep = WorkFolder.keep

    def keeping(work: WorkFolder, *arguments: object, **options: bool) -> str:
        seal = keep(work, *arguments, **options)  # type: ignore[arg-type]
        counts[work.path.parent.name] += 1
        return seal

    monkeypatch.setattr(WorkFolder, "keep", keeping)
    return counts
