"""What every fault has to leave behind: a message with a remedy, whole results, nothing half written."""

from collections.abc import Mapping
from pathlib import Path

from dp_assets_tests.orchestration.materializing import Ran, Workshop

PLATE = "TINY00001"


def image(workshop: Workshop, well: str = "A02", channel: str = "RNA") -> Path:
    """An image of the first plate."""
    return workshop.root / "inputs" / "images" / PLATE / f"{well}_s1_{channel}.tiff"


def locations(workshop: Workshop, well: str = "A02") -> Path:
    """The locations of a site of the first plate."""
    return next((workshop.root / "inputs" / "locations" / PLATE).glob(f"{well}-*-Nuclei.csv"))


def assert_says(run: Ran, *said: str) -> None:
    """The run failed, and its one message says all of this, and what to do."""
    assert not run.succeeded
    for text in (*said, "    -> "):
        assert text in run.message, run.message
    assert "Traceback" not in run.message


def assert_kept(workshop: Workshop, before: Mapping[str, bytes]) -> None:
    """Nothing that was published is lost or changed, and nothing else is there: not even a hidden file."""
    assert workshop.contents() == before


def assert_only_added(workshop: Workshop, before: Mapping[str, bytes], *added: str) -> None:
    """What was published is as it was but for results whose names begin so."""
    now = workshop.contents()
    for contents in (before, now):
        others = {name: data for name, data in contents.items() if not name.startswith(added)}
        assert others == {name: data for name, data in before.items() if not name.startswith(added)}
    assert not [name for name in now if any(part.startswith(".") for part in name.split("/"))]
