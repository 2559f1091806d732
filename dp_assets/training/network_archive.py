"""The file `model.keras`: what Keras writes, without the time of day: equal networks are equal files."""

import json
import shutil
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import keras

from dp_assets.training.checkpoint_files import publish

METADATA = "metadata.json"
NO_DATE = "1980-01-01@00:00:00"


def save_network(path: Path, network: keras.Model) -> None:
    """Write a network to `path`, which appears complete or not at all."""
    publish(path, ".keras", lambda temporary: _save(temporary, network))


def _save(path: Path, network: keras.Model) -> None:
    network.save(path)
    timeless = path.with_name(f"{path.name}.timeless")
    try:
        with ZipFile(path) as source, ZipFile(timeless, "w") as target:
            for member in source.infolist():
                # A new entry has the date of the first of January 1980.
                entry = ZipInfo(member.filename)
                entry.compress_type = member.compress_type
                with source.open(member) as stream, target.open(entry, "w", force_zip64=True) as sink:
                    if member.filename == METADATA:
                        sink.write(_without_date(stream.read()))
                    else:
                        shutil.copyfileobj(stream, sink, 2**20)
        timeless.replace(path)
    finally:
        timeless.unlink(missing_ok=True)


def _without_date(text: bytes) -> bytes:
    return json.dumps({**json.loads(text), "date_saved": NO_DATE}).encode()
