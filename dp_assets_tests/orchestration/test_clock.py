"""A clock that was set back, and files dated in the future: what is made again depends on content alone."""

import os
import shutil
import time
from pathlib import Path

import pytest

from dp_assets_tests.orchestration.materializing import INDEX, PIXELS, TABLES, Workshop

PLATE = "TINY00001"
FUTURE, PAST = 4.1e9, 1.0e9


def date_everything(root: Path, moment: float) -> None:
    """Date all files of a project, those of work and locks too."""
    files = [file for file in root.rglob("*") if file.is_file()]
    assert any(file.parent.name == "parts" for file in files)
    assert any(file.suffix == ".lock" for file in files)
    for file in files:
        os.utime(file, (moment, moment))


def test_interrupted_work_goes_on_after_the_clock_was_set_back(
    tiny: Workshop, finished_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny.make(*INDEX).succeeded
    assert tiny.make(*TABLES, PIXELS[0], plate=PLATE).succeeded
    broken = sorted((tiny.root / "inputs" / "images").rglob("*.tif*"))[1]
    sound = shutil.copy2(broken, tiny.root.parent / "sound")
    broken.write_bytes(broken.read_bytes()[:200])
    assert not tiny.make(PIXELS[1], plate=PLATE).succeeded
    shutil.copy2(sound, broken)
    parts = {file: file.stat().st_ino for file in (tiny.root / ".work").rglob("parts/*")}
    date_everything(tiny.root, FUTURE)
    passed = time.monotonic
    monkeypatch.setattr(time, "time", lambda: PAST - passed())

    resumed = tiny.make(PIXELS[1], plate=PLATE)
    assert resumed.succeeded, resumed.failures
    inodes = {file.stat().st_ino for file in (tiny.root / "outputs" / "compressed").rglob("*")}
    assert set(parts.values()) & inodes, "finished parts were made again"
    again = tiny.make(*TABLES, *PIXELS[:2], plate=PLATE)
    assert again.succeeded
    assert again.recomputed == set()
    undisturbed = finished_template / "outputs" / "compressed" / "images" / PLATE
    made = tiny.root / "outputs" / "compressed" / "images" / PLATE
    names = [file.relative_to(undisturbed) for file in undisturbed.rglob("*") if file.is_file()]
    assert all((made / name).read_bytes() == (undisturbed / name).read_bytes() for name in names)
