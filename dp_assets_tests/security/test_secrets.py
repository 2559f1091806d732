"""Secrets in the environment are in nothing that a run writes, failed or not."""

import sqlite3
import zipfile
from pathlib import Path

import pytest

from dp_assets.orchestration.project_setup import set_up_project
from dp_assets_tests.orchestration.conftest import no_environment, open_streams, tiny, tiny_template
from dp_assets_tests.orchestration.materializing import Workshop, call
from dp_assets_tests.security.leaks import leaks, planted_secrets

__all__ = ["no_environment", "open_streams", "tiny", "tiny_template"]


def test_planted_leaks_are_found(tmp_path: Path) -> None:
    secrets = planted_secrets()
    assert leaks(tmp_path, secrets) == []
    with sqlite3.connect(tmp_path / "runs.db") as database:
        database.execute("CREATE TABLE logs (event TEXT)")
        database.execute("INSERT INTO logs VALUES (?)", (f'{{"url": "{secrets["DP_POSTGRES_URL"]}"}}',))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("messages.json", secrets["COMET_API_KEY"] * 100)
    # echo -n 'user:Secret7Zq7xW9' | base64, for the last of the variables
    (tmp_path / "header").write_text("Basic dXNlcjpTZWNyZXQ3WnE3eFc5")
    assert leaks(tmp_path, secrets) == [
        "COMET_API_KEY in a.zip: messages.json",
        "MLFLOW_TRACKING_PASSWORD in header",
        "DP_POSTGRES_URL in runs.db",
    ]


def test_runs_write_no_secret(tiny: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = planted_secrets()
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    set_up_project(tiny.root)
    for path in (tiny.root / "inputs" / "images" / "TINY00002").rglob("*.tiff"):
        path.write_bytes(b"no image")
    ran = call(tiny.root, "run", "prepare", "--verbose")
    assert ran.exit_code == 1, ran.output
    doctor = call(tiny.root, "doctor")
    assert doctor.exit_code == 1, doctor.output
    assert list((tiny.root / ".dagster").rglob("*.db"))
    assert (tiny.root / "outputs").is_dir()
    (tiny.root / "printed.txt").write_text(ran.output + doctor.output)
    assert leaks(tiny.root, secrets) == []
