"""Which checkpoints are kept, and how files come to be."""

from pathlib import Path

import pytest

from dp_assets.training.checkpoint_files import (
    CHECKPOINTS,
    checkpoint_name,
    checkpoints_in,
    publish,
    remove_checkpoints,
    remove_unfinished,
    wanted_checkpoints,
)


@pytest.mark.parametrize(
    ("policy", "finished", "best", "expected"),
    [
        (None, 3, 1, {1, 2, 3}),
        (1, 3, 1, {1, 2, 3}),
        (2, 5, 1, {2, 4}),
        (4, 7, 1, {4, 7}),
        (10, 7, None, {7}),
        (10, 3, None, set()),
        ("best", 5, 3, {3}),
        ("best", 7, 3, {3, 7}),
        ("best", 2, None, set()),
    ],
)
def test_policies(policy: object, finished: int, best: int | None, expected: set[int]) -> None:
    assert wanted_checkpoints(policy, finished, 7, best) == expected  # type: ignore[arg-type]


def test_names_and_removal(tmp_path: Path) -> None:
    assert checkpoint_name(12) == "checkpoint_0012.weights.h5"
    (tmp_path / CHECKPOINTS).mkdir()
    for name in (
        *map(checkpoint_name, (12, 3, 12345)),
        "notes.txt",
        ".checkpoint_0004.weights.h5.x.tmp.weights.h5",
    ):
        (tmp_path / CHECKPOINTS / name).touch()
    assert list(checkpoints_in(tmp_path)) == [3, 12, 12345]
    remove_checkpoints(tmp_path, keep={12, 99})
    assert list(checkpoints_in(tmp_path)) == [12]
    remove_unfinished(tmp_path)
    assert sorted(p.name for p in (tmp_path / CHECKPOINTS).iterdir()) == [
        "checkpoint_0012.weights.h5",
        "notes.txt",
    ]


def test_a_file_that_fails_leaves_the_former_one(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    publish(path, ".keras", lambda temporary: temporary.write_text("first"))

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        publish(path, ".keras", fail)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
