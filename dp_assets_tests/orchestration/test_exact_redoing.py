"""After a change exactly the sites that changed are made again, and the result is that of a full run."""

import os
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dp_assets.example.tiny import write_tiny_project
from dp_assets.storage.work import WorkFolder
from dp_assets_tests.orchestration.materializing import INDEX, TABLES, Workshop

FIRST, SECOND = "TINY00001", "TINY00002"
WELLS = ("A01", "A02", "A03", "A04")
CROPS, FEATURES, COMPRESSED = "single_cells/box32", "cnn/cell_features", "compressed_images"
STAGES = (COMPRESSED, CROPS, FEATURES)
Change = Callable[[Workshop], None]


@cache
def _template(base: Path, compressed: bool) -> Path:
    root = base / f"exact_{compressed}" / "project"
    write_tiny_project(root, overrides={"prepare": {"compression": {"implement": compressed}}})
    Workshop(root).make_all(FIRST, SECOND)
    return root


@dataclass
class Watched:
    """A finished project; `units` is how many sites each stage has made since, or taken over, by plate."""

    workshop: Workshop
    made: defaultdict[tuple[str, str], int]
    taken_over: defaultdict[tuple[str, str], int]

    def run(self) -> dict[tuple[str, str], int]:
        """Make everything but the model again; (stage, plate) -> sites that were computed."""
        assert self.workshop.make(*INDEX).succeeded
        for plate in (FIRST, SECOND):
            run = self.workshop.make(*TABLES, "illumination_functions", *STAGES, plate=plate)
            assert run.succeeded, run.failures
        return {key: count for key, count in self.made.items() if key[0] in STAGES}

    def same_as_a_full_run(self) -> bool:
        """Whether computing everything again, taking nothing over, gives the very same files."""
        before = self.workshop.contents()
        for plate in (FIRST, SECOND):
            run = self.workshop.make("illumination_functions", *STAGES, plate=plate, force=True)
            assert run.succeeded, run.failures
        assert not list((self.workshop.root / ".work").rglob("parts/*"))
        return self.workshop.contents() == before


@pytest.fixture
def watched(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Watched:
    """Parameter: whether images are compressed."""
    template = _template(tmp_path_factory.getbasetemp(), request.param)
    found = Watched(
        Workshop(shutil.copytree(template, tmp_path / "project")), defaultdict(int), defaultdict(int)
    )
    assert found.workshop.make(*INDEX).succeeded
    root = found.workshop.root / ".work"
    keep, adopt = WorkFolder.keep, WorkFolder.adopt

    def key(work: WorkFolder) -> tuple[str, str]:
        *asset, plate = work.path.relative_to(root).parts
        return "/".join(asset), plate

    def keeping(work: WorkFolder, *arguments: object, **options: bool) -> str:
        found.made[key(work)] += 1
        return keep(work, *arguments, **options)  # type: ignore[arg-type]

    def adopting(work: WorkFolder, *arguments: object) -> bool:
        is_whole = adopt(work, *arguments)  # type: ignore[arg-type]
        found.taken_over[key(work)] += is_whole
        return is_whole

    monkeypatch.setattr(WorkFolder, "keep", keeping)
    monkeypatch.setattr(WorkFolder, "adopt", adopting)
    return found


def locations(workshop: Workshop, well: str) -> Path:
    return next((workshop.root / "inputs" / "locations" / FIRST).glob(f"{well}-*"))


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def touch(workshop: Workshop) -> None:
    for path in (workshop.root / "inputs").rglob("*"):
        os.utime(path)


def one_pixel(workshop: Workshop) -> None:
    path = workshop.root / "inputs" / "images" / FIRST / "A03_s1_RNA.tiff"
    pixels = tifffile.imread(path)
    pixels[64, 64] += 1
    tifffile.imwrite(path, pixels)


def moved_cell(workshop: Workshop) -> None:
    path = locations(workshop, "A02")
    path.write_text("\n".join([*lines_of(path)[:-1], "40.5,41.25"]) + "\n", encoding="utf-8")


def moved_by_the_least_number(workshop: Workshop) -> None:
    path = locations(workshop, "A02")
    *others, last = lines_of(path)
    x, *rest = last.split(",")
    nearest = repr(float(np.nextafter(float(x), np.inf)))
    path.write_text("\n".join([*others, ",".join([nearest, *rest])]) + "\n", encoding="utf-8")


def another_cell(workshop: Workshop) -> None:
    with locations(workshop, "A04").open("a", encoding="utf-8") as stream:
        stream.write("60,61\n")


def no_cells(workshop: Workshop) -> None:
    locations(workshop, "A01").unlink()


def the_same_numbers_written_otherwise(workshop: Workshop) -> None:
    path = locations(workshop, "A02")
    header, *rows = lines_of(path)
    rows = [
        ",".join(f"{float(value)!r}000" if "." in value else f"{value}.0" for value in row.split(","))
        for row in rows
    ]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def margin(workshop: Workshop) -> None:
    workshop.configure(lambda data: data.setdefault("single_cells", {}).update(margin=2))


def layer(workshop: Workshop) -> None:
    workshop.configure(lambda data: data["profile"].update(feature_layer="block3_pool"))


def a_key_that_is_not_read(workshop: Workshop) -> None:
    workshop.configure(lambda data: data["train"].setdefault("sampling", {}).update(workers=3))


def checkpoint(workshop: Workshop) -> None:
    """Another model: one more epoch, trained on what is there."""
    workshop.configure(lambda data: data["train"]["model"].update(epochs=2))
    assert workshop.make("cnn/trained_model").succeeded


def everything(stage: str, *plates: str) -> dict[tuple[str, str], int]:
    return {(stage, plate): len(WELLS) for plate in plates or (FIRST, SECOND)}


CROPS_AND_FEATURES = {(CROPS, FIRST): 1, (FEATURES, FIRST): 1}
RAW: list[tuple[Change, dict[tuple[str, str], int]]] = [
    (touch, {}),
    (the_same_numbers_written_otherwise, {}),
    (a_key_that_is_not_read, {}),
    (one_pixel, CROPS_AND_FEATURES | everything(COMPRESSED, FIRST)),
    (moved_cell, CROPS_AND_FEATURES),
    (moved_by_the_least_number, CROPS_AND_FEATURES),
    (another_cell, CROPS_AND_FEATURES),
    # A site without cells is recorded, not computed.
    (no_cells, {(CROPS, FIRST): 1}),
    (margin, everything(CROPS)),
    (layer, everything(FEATURES)),
    (checkpoint, everything(FEATURES)),
]
COMPRESSION: list[tuple[Change, dict[tuple[str, str], int]]] = [
    (touch, {}),
    (moved_cell, CROPS_AND_FEATURES),
    # The correction is made from all images of the plate, so one pixel changes every compressed image.
    (
        one_pixel,
        everything(COMPRESSED, FIRST) | everything(CROPS, FIRST) | everything(FEATURES, FIRST),
    ),
]


QUICK = {(False, touch), (False, one_pixel), (False, moved_cell), (True, one_pixel)}
CASES = [(False, *case) for case in RAW] + [(True, *case) for case in COMPRESSION]


@pytest.mark.parametrize(
    ("watched", "change", "computed"),
    [pytest.param(*case, marks=[] if case[:2] in QUICK else pytest.mark.slow) for case in CASES],
    indirect=["watched"],
)
def test_a_change_redoes_exactly_what_it_touches(
    watched: Watched, change: Change, computed: dict[tuple[str, str], int]
) -> None:
    change(watched.workshop)
    watched.made.clear()
    assert watched.run() == computed
    for key, count in computed.items():
        whole = len(WELLS) - (change is no_cells and key[0] == FEATURES)
        assert watched.taken_over[key] == whole - count, key
    watched.made.clear()
    assert watched.run() == {}, "a second run finds nothing to do"
    if computed:
        assert watched.same_as_a_full_run()
