"""Finished units out of what was published before: after a change only the sites that changed are made again.

A published result names the unit of every site and its seal. A unit that is wanted again is read back, and is
used when it is what its seal says; a published result that is damaged, or was written before units were
named, lends nothing.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from dp_assets.config.errors import ProjectError
from dp_assets.storage.work import WorkFolder

UNREADABLE = (
    ProjectError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    EOFError,
    zlib.error,
    pa.ArrowException,
)


@dataclass(frozen=True)
class UnitContent:
    """What a published result holds of one unit.

    Attributes
    ----------
    unit : fingerprint of what it was made from.
    files : ending -> content, or the local file that holds it.
    facts : JSON-able.
    """

    unit: str
    files: Mapping[str, bytes | Path]
    facts: Any = field(default=None)


class EarlierUnits(Protocol):
    """The units of a published result."""

    def seals(self) -> Mapping[str, str]:
        """Unit -> its seal."""
        ...

    def read(self, units: Sequence[str]) -> Iterator[UnitContent]:
        """The content of some of them, in any order."""
        ...


def take_over(work: WorkFolder, units: Iterable[str], earlier: EarlierUnits | None, workers: int) -> set[str]:
    """Those of the units that are finished, by a killed run or in what was published before."""
    wanted = list(units)
    finished = work.finished_among(wanted, workers)
    if earlier is None:
        return finished
    try:
        seals = earlier.seals()
        lent = [unit for unit in wanted if unit in seals and unit not in finished]
        for content in earlier.read(lent) if lent else ():
            if work.adopt(content.unit, seals[content.unit], content.files, content.facts):
                finished.add(content.unit)
    except UNREADABLE:
        # What was published is damaged: its sites are made again. A full disk shows when they are written.
        return work.finished_among(wanted, workers)
    return finished
