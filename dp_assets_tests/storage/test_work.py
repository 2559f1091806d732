"""Work folders: one writer at a time, parts whole or absent."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dp_assets.config.errors import StoreError
from dp_assets.storage import work as work_module
from dp_assets.storage.work import WorkFolder

HOLDER = """
import sys
from pathlib import Path
from dp_assets.storage.work import WorkFolder
with WorkFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "LOCK_TIMEOUT_SECONDS", 0.05)


def test_parts_are_found_again_until_cleared(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "asset" / "P1")
    assert not work.part("abc", ".bin").exists()
    assert work.write_part("abc", ".bin", b"data") == work.part("abc", ".bin")
    again = WorkFolder(tmp_path / "asset" / "P1")
    assert again.part("abc", ".bin").read_bytes() == b"data"
    assert not again.part("abc", ".png").exists()
    again.clear()
    assert not work.path.exists()
    again.clear()


def test_a_second_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    path = tmp_path / "asset" / "P1"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another run is working") as caught, WorkFolder(path).locked():
            pass
        assert caught.value.problems[0].where == str(path)
        with WorkFolder(tmp_path / "asset" / "P2").locked():
            pass
        holder.kill()
    with WorkFolder(path).locked() as work:
        assert work.path.is_dir()


def test_a_second_thread_is_refused_too(tmp_path: Path) -> None:
    refused = []

    def other() -> None:
        try:
            with WorkFolder(tmp_path / "P1").locked():
                pass
        except StoreError as error:
            refused.append(error)

    with WorkFolder(tmp_path / "P1").locked():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_the_lock_is_given_back_after_a_failure_and_survives_clearing(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "P1")

    def fail() -> None:
        with work.locked():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with work.locked():
        work.clear()
        with pytest.raises(StoreError), WorkFolder(tmp_path / "P1").locked():
            pass
    with work.locked():
        assert work.path.is_dir()
