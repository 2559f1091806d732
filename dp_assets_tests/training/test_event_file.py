"""Event files as TensorFlow reads them."""

from pathlib import Path

import pytest

from dp_assets.training.event_file import EventFile


def test_tensorflow_reads_what_was_written(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    messages = pytest.importorskip("tensorflow.core.util.event_pb2")
    (tmp_path / "events.out.tfevents.0000000001.dp_assets").write_bytes(b"of a former run")
    events = EventFile(tmp_path)
    events.add(1, {"loss": 0.25, "val_accuracy": 0.5})
    events.add(300, {"loss": 1e-8})
    events.close()

    (path,) = tmp_path.iterdir()
    # The reader checks the checksums.
    records = [messages.Event.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
    assert records[0].file_version == "brain.Event:2"
    found = [(r.step, {v.tag: v.simple_value for v in r.summary.value}) for r in records[1:]]
    assert found == [
        (1, {"loss": 0.25, "val_accuracy": 0.5}),
        (300, {"loss": pytest.approx(1e-8)}),
    ]
    assert all(r.wall_time > 1.5e9 for r in records)
