"""A disk that is full or read-only in the middle of a write: what was there stays, nothing half is seen."""

import errno
import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dp_assets.storage.work import RECORD
from dp_assets_tests.faults.judging import PLATE, assert_kept, assert_says
from dp_assets_tests.orchestration.materializing import INDEX, TABLES, Ran, Workshop, call

WORDS = {
    errno.ENOSPC: ("no space left on device", "free space"),
    errno.EROFS: ("read-only file system", "writable"),
    errno.EACCES: ("permission denied", "permission"),
}
FAULTS = pytest.mark.parametrize("code", list(WORDS), ids=["full", "read-only", "no permission"])


class Refusal:
    """The n-th call with such a path below a folder, and every later one, fails as the system's would."""

    def __init__(self, function: Any, folder: Path, code: int, call: int = 1, ending: str = "") -> None:
        self._function, self._folder, self._code, self._left = function, str(folder), code, call
        self._ending, self._lock = ending, threading.Lock()

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        paths = [str(path) for path in arguments if isinstance(path, (str, Path))]
        if any(path.startswith(self._folder) and path.endswith(self._ending) for path in paths):
            with self._lock:
                self._left -= 1
                refused = self._left <= 0
            if refused:
                raise OSError(self._code, os.strerror(self._code), str(arguments[0]))
        return self._function(*arguments, **options)


def assert_refused(run: Ran, code: int) -> None:
    assert_says(run, *WORDS[code])
    assert "what was finished is kept" in run.message


@FAULTS
@pytest.mark.parametrize(
    "asset",
    [
        "single_cells/box32",
        pytest.param("illumination_functions", marks=pytest.mark.slow),
        pytest.param("compressed_images", marks=pytest.mark.slow),
        pytest.param("cnn/cell_features", marks=pytest.mark.slow),
        pytest.param("cnn/trained_model", marks=pytest.mark.slow),
    ],
)
def test_what_is_published_stays_when_a_new_result_cannot_be_put_there(
    finished: Workshop, monkeypatch: pytest.MonkeyPatch, code: int, asset: str
) -> None:
    """Every kind of result: arrays, folder, table, model; made again because it is forced."""
    before = finished.contents()
    plate = None if asset == "cnn/trained_model" else PLATE
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", Refusal(os.replace, finished.root / "outputs", code))
        run = finished.make(asset, plate=plate, force=True)
    assert_refused(run, code)
    assert_kept(finished, before)
    assert finished.make(asset, plate=plate).succeeded
    assert_kept(finished, before)


@FAULTS
def test_a_table_that_cannot_be_written(
    finished: Workshop, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    before = finished.contents()
    path = next((finished.root / "inputs" / "locations" / PLATE).glob("A02-*"))
    good = path.read_bytes()
    path.write_bytes(good + b"3,4\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", Refusal(os.replace, finished.root / "outputs", code))
        assert_refused(finished.make("cell_locations", plate=PLATE), code)
    assert_kept(finished, before)
    path.write_bytes(good)
    assert finished.make("cell_locations", plate=PLATE).succeeded
    assert_kept(finished, before)


@FAULTS
def test_finished_sites_outlive_a_work_folder_that_takes_no_more(
    tiny: Workshop, computed: Counter[str], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The third site cannot be kept: the two before are, and the next run makes the others only."""
    tiny.configure(lambda data: data["prepare"]["compression"].update(implement=False))
    assert tiny.make(*INDEX).succeeded
    assert tiny.make(*TABLES, plate=PLATE).succeeded
    before = tiny.contents()
    with monkeypatch.context() as patch:
        # Sites are made by several threads; the one whose record is the third to be put in place is refused.
        refusal = Refusal(os.replace, tiny.root / ".work", code, call=3, ending=RECORD)
        patch.setattr(os, "replace", refusal)
        assert_refused(tiny.make("single_cells/box32", plate=PLATE), code)
    assert_kept(tiny, before)
    assert computed == {"box32": 2}
    assert not list((tiny.root / ".work").rglob(".*.tmp"))
    assert tiny.make("single_cells/box32", plate=PLATE).succeeded
    assert computed == {"box32": 4}


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path], None]]:
    """Puts a real file system of 1 MB in the place of a folder; it is full soon."""
    mounted: list[Path] = []

    def mount(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
        if (
            shutil.which("mount") is None
            or subprocess.run(command, capture_output=True, check=False).returncode
        ):
            pytest.skip("no file system may be mounted here")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def fill_up(ballast: Path, left: int) -> None:
    """Write until nothing fits, then give back so many bytes."""

    def write_on(handle: int) -> None:
        while True:
            os.write(handle, bytes(4096))

    handle = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space left"):
        write_on(handle)
    os.ftruncate(handle, os.fstat(handle).st_size - left)
    os.close(handle)


@pytest.mark.parametrize("place", ["outputs", ".work"])
def test_a_disk_that_is_really_full(
    tiny: Workshop, computed: Counter[str], small_disk: Callable[[Path], None], place: str
) -> None:
    tiny.configure(lambda data: data["prepare"]["compression"].update(implement=False))
    folder = tiny.root / place
    small_disk(folder)
    assert tiny.make(*INDEX).succeeded
    assert tiny.make(*TABLES, plate=PLATE).succeeded
    before = tiny.contents()
    fill_up(folder / "ballast", left=24 * 1024)
    run = tiny.make("single_cells/box32", plate=PLATE)
    assert_refused(run, errno.ENOSPC)
    assert str(folder) in run.message
    (folder / "ballast").unlink()
    assert_kept(tiny, before)
    finished = computed["box32"]
    assert finished == (4 if place == "outputs" else finished)
    assert tiny.make("single_cells/box32", plate=PLATE).succeeded
    assert computed["box32"] == 4, "a finished site was made again"
    assert not [name for name in tiny.contents() if "/." in f"/{name}"]


def test_the_command_line_says_it_without_a_traceback(
    tiny: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", Refusal(os.replace, tiny.root / "outputs", errno.ENOSPC))
    done = call(tiny.root, "run", "index")
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert "no space left on device" in done.output.lower()
    assert "free space" in done.output
