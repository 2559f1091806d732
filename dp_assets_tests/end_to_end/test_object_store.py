"""Outputs on an object store: the whole graph with `store` in project.yaml, with the results of a disk."""

import io
import json
import re
import shutil
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from dp_assets.orchestration.code_location import build_defs
from dp_assets.orchestration.project_setup import set_up_project
from dp_assets.storage import versions
from dp_assets_tests.end_to_end.conftest import Command
from dp_assets_tests.orchestration.materializing import COMPUTED, Workshop, contents
from dp_assets_tests.s3_server import S3Server

PLATES = ("TINY00001", "TINY00002")
VERSION = re.compile(r"versions/[0-9a-f]{32}/")
# times of day, and when entries of a zip file were written
TIMES = ("log.csv", "resume.npz")


def published(store: UPath) -> dict[str, bytes]:
    """Place -> bytes of every object, versions of folders as the folders that they are."""
    start = store.path.rstrip("/") + "/"
    names = [name.removeprefix(start) for name in store.fs.find(store.path)]
    return {VERSION.sub("", name): (store / name).read_bytes() for name in names}


def content(name: str, data: bytes) -> Any:
    """What a file says, without when and where it was written."""
    if name.endswith("MANIFEST.json"):
        # the seal is a digest of the other two as well
        return {
            key: value for key, value in json.loads(data).items() if key not in ("root", "previous", "seal")
        }
    if name.endswith((".npz", ".keras")):
        # `metadata.json` of a Keras file holds a date
        with zipfile.ZipFile(io.BytesIO(data)) as stored:
            return {key: stored.read(key) for key in stored.namelist() if key != "metadata.json"}
    return data


def assert_same_results(remote: dict[str, bytes], local: dict[str, bytes]) -> None:
    """Every file there is on both sides, with the same content."""
    found, expected = (
        {name: data for name, data in files.items() if "tfevents" not in name and not name.endswith(TIMES)}
        for files in (remote, local)
    )
    assert set(found) == set(expected)
    differing = [name for name in found if content(name, found[name]) != content(name, expected[name])]
    assert differing == []
    assert len(found) > 30


def everything_after_profiles(tiny: Workshop) -> None:
    """The assets of the experiment that `make_all` leaves out."""
    keys = build_defs(tiny.root).resolve_asset_graph().get_all_asset_keys()
    named = [key.to_user_string() for key in keys]
    last = ("corrected_sites", "profiles", "treatment_profiles", "similarity", "profile_map", "evaluation")
    ran = [tiny.make("cnn/site_profiles", plate=plate) for plate in PLATES]
    ran.append(tiny.make(*(name for name in named if name.rpartition("/")[2] in last)))
    assert all(run.succeeded for run in ran), [run.failures for run in ran]


def test_the_whole_graph_in_memory(tiny: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    store = UPath(f"memory://dp-assets-{uuid.uuid4().hex}/outputs")
    (tiny.root / "project.yaml").write_text(f"store: {store}\n", encoding="utf-8")
    first = tiny.make_all(*PLATES)
    assert set().union(*(run.recomputed for run in first.values())) == set(COMPUTED)
    assert not (tiny.root / "outputs").exists()
    for place in (
        "metadata/image_index.parquet",
        "intensities/TINY00002.npz",
        "compressed/images/TINY00001/MANIFEST.json",
        "single_cells/box32/TINY00001/MANIFEST.json",
        "cnn/trained_model/MANIFEST.json",
        "cnn/features/TINY00002.parquet",
        "cnn/well_profiles/TINY00001.parquet",
    ):
        assert (store / place).exists(), place
    names = {path.name for path in store.rglob("*")}
    assert not {name for name in names if name.startswith(".") or name.endswith(".tmp")}

    before = {str(path): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    again = tiny.make_all(*PLATES)
    assert set().union(*(run.recomputed for run in again.values())) == set()
    assert {str(path): path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
    for name, run in first.items():
        assert again[name].versions == run.versions

    crops = store / "single_cells" / "box32" / PLATES[0] / "versions"
    forced = tiny.make("single_cells/box32", plate=PLATES[0], force=True)
    assert forced.succeeded, forced.failures
    assert len(list(crops.iterdir())) == 2, "the former version stays for those who read it"
    monkeypatch.setattr(versions, "KEPT_SECONDS", -1)
    kept = tiny.make("single_cells/box32", plate=PLATES[0])
    assert kept.recomputed == set()
    assert len(list(crops.iterdir())) == 1, "later it is removed"
    training = tiny.make("cnn/training_set").versions["cnn/training_set"]
    assert training == first["train"].versions["cnn/training_set"]


@pytest.mark.slow
def test_the_whole_graph_on_s3(
    tiny: Workshop, finished_template: Path, bucket: UPath, s3_server: S3Server
) -> None:
    store = bucket / "screens" / "project"
    (tiny.root / "project.yaml").write_text(f"store: {store}\n", encoding="utf-8")
    first = tiny.make_all(*PLATES)
    assert s3_server.count("GET", "crops.bin") == len(PLATES), "each is fetched once"
    assert set().union(*(run.recomputed for run in first.values())) == set(COMPUTED)
    assert not (tiny.root / "outputs").exists()
    assert_same_results(published(store), contents(finished_template / "outputs"))
    everything_after_profiles(tiny)
    assert (store / "cnn" / "evaluation" / "MANIFEST.json").exists()
    events = str([run.metadata for run in first.values()])
    assert "s3://" in events
    assert "secret-of-the-test" not in events

    s3_server.fault = lambda method, _: "403 AccessDenied" if method == "PUT" else None
    before = published(store)
    refused = tiny.make("single_cells/box32", plate=PLATES[0], force=True)
    assert "the store refuses access" in refused.message
    assert "AWS_ACCESS_KEY_ID" in refused.message
    s3_server.fault = None
    assert published(store) == before


@pytest.mark.slow
def test_every_stage_and_command_in_processes_of_their_own(
    tiny: Workshop, bucket: UPath, command: Command, tmp_path: Path
) -> None:
    settings = json.loads((tiny.root / "inputs/config/cnn.json").read_text())
    (tiny.root / "inputs/config/other.json").write_text(json.dumps(settings))
    local = shutil.copytree(tiny.root, tmp_path / "local")
    store = bucket / "project"
    (tiny.root / "project.yaml").write_text(f"store: {store}\n", encoding="utf-8")
    for root in (tiny.root, local):
        set_up_project(root)
        done = command(root, "dp-assets", "run", "all")
        assert done.returncode == 0, done.stdout + done.stderr
        for words in (
            ("export", "features", "--experiment", "cnn"),
            ("export", "crops", "--set", "box32"),
            ("export", "profiles", str(root / "profiles.csv"), "--experiment", "cnn"),
            ("figure", "plates", "--experiment", "cnn", "--output", str(root / "plates.png")),
            ("doctor",),
        ):
            done = command(root, "dp-assets", *words)
            assert done.returncode == 0, (words, done.stdout + done.stderr)
    assert_same_results(published(store), contents(local / "outputs"))
    for name in ("profiles.csv", "plates.png"):
        assert (tiny.root / name).read_bytes() == (local / name).read_bytes()
    selected = ("asset", "materialize", "-m", "dp_assets.definitions", "--select", "image_index")
    assert command(tiny.root, "dagster", *selected).returncode == 0
    assert "secret-of-the-test" not in str(contents(tiny.root / ".dagster"))
