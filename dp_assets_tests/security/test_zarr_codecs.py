"""An OME-Zarr names the codecs of its chunks, and one that the library knows is pickle."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp_assets.config.errors import ImageFileError
from dp_assets.storage.zarr_planes import ZarrStack
from dp_assets_tests.stacks import Version, write_zarr_image

PICKLE = {"id": "pickle", "protocol": 5}
BYTES = {"name": "bytes"}


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._proof),)


@pytest.mark.parametrize(
    ("version", "change"),
    [
        ("0.4", {"filters": [PICKLE]}),
        ("0.4", {"compressor": PICKLE}),
        ("0.4", {"filters": [{"id": "zlib", "level": 1}, PICKLE], "compressor": None}),
        ("0.5", {"codecs": [{"name": "numcodecs.pickle", "configuration": {"protocol": 5}}, BYTES]}),
        ("0.5", {"codecs": [BYTES, {"name": "numcodecs.pickle", "configuration": {"protocol": 5}}]}),
        ("0.5", {"codecs": [BYTES, {"name": "pickle", "configuration": {}}]}),
    ],
)
def test_pickled_chunk_is_not_unpickled(tmp_path: Path, version: Version, change: dict) -> None:
    proof = tmp_path / "ran"
    path = write_zarr_image(tmp_path / "p.zarr/A/1/0", np.zeros((1, 8, 8), np.uint8), version=version)
    document = path / "0" / (".zarray" if version == "0.4" else "zarr.json")
    document.write_text(json.dumps({**json.loads(document.read_text()), **change}))
    chunks = [file for file in (path / "0").rglob("*") if file.is_file() and file != document]
    planted = pickle.dumps(Planted(proof))
    for chunk in chunks:
        if chunk.name not in (".zattrs", "zarr.json"):
            chunk.write_bytes(planted)
    with pytest.raises(ImageFileError, match=r"p\.zarr"):
        np.asarray(ZarrStack(path, 10**6)._array[...])
    assert not proof.exists()
    pickle.loads(planted)
    assert proof.exists()
