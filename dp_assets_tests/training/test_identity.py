"""What another training is: the files behind it count by content."""

from pathlib import Path

import pytest

from dp_assets.config.errors import ModelError
from dp_assets.training.identity import plugin_files_content
from dp_assets.training.lesson import Lesson
from dp_assets.training.targets import Goal
from dp_assets_tests.training.synthetic import HEADS, labelled_cells, training_settings

CELLS = labelled_cells()


def lesson(initialization: str) -> Lesson:
    return Lesson(training_settings(initialization=initialization), HEADS, Goal.CLASSES, CELLS)


def test_plugin_files_count_by_name_and_content(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    before = plugin_files_content(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing")
    assert plugin_files_content(tmp_path) == before
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "_b.py").write_text("y = 1")
    deeper = plugin_files_content(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    assert len({before, deeper, plugin_files_content(tmp_path)}) == 3


def test_files_of_first_weights_count_by_content_where_they_are_used(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("a.h5", "b.h5", "c.h5"))
    for path, data in ((one, b"1"), (same, b"1"), (other, b"2")):
        path.write_bytes(data)
    made = [lesson("imagenet").identity("float32", "", imagenet_weights=path) for path in (one, same, other)]
    assert made[0] == made[1] != made[2]
    assert lesson("imagenet").identity("float32", "") not in made

    unused = [lesson("random").identity("float32", "", imagenet_weights=path) for path in (one, other)]
    assert unused[0] == unused[1] == lesson("random").identity("float32", "")
    begun = [lesson("imagenet").identity("float32", "", same, imagenet_weights=p) for p in (one, other)]
    assert begun[0] == begun[1]


def test_a_missing_file_is_named_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.imagenet_weights: .*gone\.h5: the weights .* cannot"):
        lesson("imagenet").identity("float32", "", imagenet_weights=tmp_path / "gone.h5")
