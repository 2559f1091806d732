"""Holding what two runs of the graph published against each other, byte by byte.

Some files say when they were made, how long it took, or how often it was interrupted. Of these, and of no
others, that is left out:

- `trained_model/log.csv`: the column `seconds`;
- `trained_model/resume.npz`: the same column in `progress`, and the dates of the archive;
- `trained_model/model.keras`: the date in `metadata.json`, and the dates of the archive;
- `trained_model/MANIFEST.json`: after which epoch the last run went on (`resumed_from`), and the seal;
- `trained_model/tensorboard`: named after time, machine and process, one more for every resume: left out.
"""

import io
import json
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from dp_assets_tests.orchestration.materializing import contents

EVENTS = "events.out.tfevents."


def fingerprints(outputs: Path) -> dict[str, str]:
    """File -> hash of its content without times."""
    found: dict[str, str] = {}
    for name, content in contents(outputs).items():
        file = name.rpartition("/")[2]
        if not file.startswith(EVENTS):
            timeless = TIMELESS.get(file, bytes)
            found[name] = sha256(timeless(content)).hexdigest()
    return found


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """Files that are missing, too many, or other than expected, each with which it is."""
    names = [f"missing: {name}" for name in expected if name not in found]
    names += [f"too many: {name}" for name in found if name not in expected]
    names += [f"differs: {name}" for name in expected if name in found and expected[name] != found[name]]
    return names


def _log(content: bytes) -> bytes:
    return pd.read_csv(io.BytesIO(content)).drop(columns="seconds").to_csv().encode()


def _keras(content: bytes) -> bytes:
    members = _members(content)
    metadata = json.loads(members["metadata.json"])
    del metadata["date_saved"]
    return repr({**members, "metadata.json": json.dumps(metadata)}).encode()


def _resume(content: bytes) -> bytes:
    members = _members(content)
    progress = json.loads(np.load(io.BytesIO(members["progress.npy"])).tobytes())
    for epoch in progress["history"]:
        del epoch["seconds"]
    return repr({**members, "progress.npy": json.dumps(progress)}).encode()


def _manifest(content: bytes) -> bytes:
    manifest = json.loads(content)
    if "resumed_from" in manifest:
        del manifest["resumed_from"], manifest["seal"]
    return json.dumps(manifest, sort_keys=True).encode()


def _members(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


TIMELESS: dict[str, Callable[[bytes], bytes]] = {
    "log.csv": _log,
    "MANIFEST.json": _manifest,
    "model.keras": _keras,
    "resume.npz": _resume,
}
