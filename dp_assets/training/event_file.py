"""Loss curves for TensorBoard: one file of scalars per training."""

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

SUFFIX = ".dp_assets"


class EventFile:
    """A file of scalars that TensorBoard shows as curves. Files of former runs in the folder are replaced.

    Parameters
    ----------
    folder : the log folder; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for former in folder.glob(f"events.out.tfevents.*{SUFFIX}"):
            former.unlink()
        self._writer = EventFileWriter(str(folder), filename_suffix=SUFFIX)

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Append the values of one step (here: of one 1-based epoch); they are on disk when this returns."""
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        self._writer.flush()

    def close(self) -> None:
        """Close the file and end the thread that writes it."""
        self._writer.close()
