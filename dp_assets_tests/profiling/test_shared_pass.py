"""One pass over a plate's images for several experiments: the same features, every image read once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp_assets.imaging.cropping import CropGeometry
from dp_assets.profiling.feature_plan import FeaturePlan
from dp_assets.profiling.plate_features import extract_plate
from dp_assets.profiling.shared_pass import SITES_WAITING, Companion, same_crops
from dp_assets.storage.image_sites import ImageSite
from dp_assets.storage.tables import TableStream
from dp_assets.storage.work import WorkFolder
from dp_assets_tests.image_changes import tear, unchecked
from dp_assets_tests.made_plates import KilledError, MadePlate, ProgressLog, options, tiny_plate
from dp_assets_tests.profiling.test_plate_features import Moments, expected_rows, plan_of, rows_of, written
from dp_assets_tests.read_counting import count_reads

LEVELS = (np.array([10.0, 20.0]), np.array([3000.0, 2000.0]))


@pytest.fixture
def plate(tmp_path: Path) -> MadePlate:
    return tiny_plate(tmp_path / "project", wells=5, sites_per_well=2, channels=("DNA", "RNA"))


class Middle(Moments):
    """Another network: the number in the middle of each crop, all channels together."""

    dimension = 1

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        self.calls.append(len(crops))
        return crops[:, 8, 8].sum(axis=1, keepdims=True)


class FailingError(Exception):
    """What a network raised."""


class Failing(Moments):
    """A network that fails from its second batch on."""

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        if self.calls:
            raise FailingError("no memory")
        return super().__call__(crops)


def companion(
    plan: FeaturePlan,
    folder: Path,
    extractor: Any,
    gave_up: list[Exception] | None = None,
    sites: Sequence[ImageSite] | None = None,
) -> Companion:
    """One that has to do all sites with cells, or some."""
    units = {
        site.key: plan.site_fingerprint(site)
        for site in (plan.sites if sites is None else sites)
        if len(plan.cells_of(site).names)
    }
    work = WorkFolder(folder)
    with work.locked():
        return Companion(plan, extractor, work, units, ([] if gave_up is None else gave_up).append)


def extract(
    plan: FeaturePlan,
    folder: Path,
    extractor: Any,
    *companions: Companion,
    progress: ProgressLog | None = None,
    **changes: Any,
) -> TableStream:
    work = WorkFolder(folder)
    stream, _ = extract_plate(
        plan, lambda: extractor, companions=lambda _: companions, **options(work, progress, **changes)
    )
    return stream


def finished(companion: Companion) -> set[str]:
    """The sites that a companion has done."""
    return {site for site, unit in companion.units.items() if companion.work.finished(unit)}


def later(plan: FeaturePlan, folder: Path, extractor: Any, path: Path) -> list[tuple]:
    """The rows that the companion's own step writes."""
    return rows_of(written(extract(plan, folder, extractor), path))


@pytest.mark.parametrize("workers", [1, 3])
def test_every_image_is_read_once_for_all(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    mine = plan_of(plate)
    # Normalised alike, otherwise, not at all; in batches of other sizes.
    plans = [
        plan_of(plate, model_fingerprint="second", batch_size=7),
        plan_of(plate, model_fingerprint="third", normalization="zscore", batch_size=1000),
        plan_of(plate, model_fingerprint="fourth", normalization="plate", plate_range=LEVELS),
        plan_of(plate, model_fingerprint="fifth", normalization="none"),
    ]
    companions = [companion(plan, tmp_path / str(n), Middle()) for n, plan in enumerate(plans)]
    reads = count_reads(monkeypatch)
    stream = extract(mine, tmp_path / "w", Moments(), *companions, workers=workers)
    assert len(reads) == 20
    assert set(reads.values()) == {1}
    assert companions[0].extractor.calls[:2] == [7, 7]
    assert rows_of(written(stream, tmp_path / "t.parquet")) == expected_rows(mine, Moments())
    reads.clear()
    unused = Middle()
    found = [
        later(plan, tmp_path / str(n), unused, tmp_path / f"{n}.parquet") for n, plan in enumerate(plans)
    ]
    assert (unused.calls, reads) == ([], {})
    assert found == [expected_rows(plan, Middle()) for plan in plans]
    assert len({str(rows) for rows in found}) == 4


def test_crops_are_normalised_once_for_those_that_normalise_like_the_pass(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalised: list[str] = []
    normalize = FeaturePlan.normalized

    def noting(plan: FeaturePlan, raw: np.ndarray) -> np.ndarray:
        normalised.append(plan.model_fingerprint)
        return normalize(plan, raw)

    monkeypatch.setattr(FeaturePlan, "normalized", noting)
    other = (LEVELS[0], LEVELS[1] + 1)
    companions = [
        companion(plan_of(plate, model_fingerprint=name, **how), tmp_path / name, Middle())
        for name, how in {
            "alike": {},
            "levels": {"normalization": "plate", "plate_range": LEVELS},
            "same levels": {"normalization": "plate", "plate_range": tuple(map(np.copy, LEVELS))},
            "other levels": {"normalization": "plate", "plate_range": other},
        }.items()
    ]
    extract(plan_of(plate), tmp_path / "w", Moments(), *companions)
    assert sorted(normalised) == sorted(["model", "levels", "same levels", "other levels"] * 10)


def test_a_companion_gets_only_what_it_has_to_do(plate: MadePlate, tmp_path: Path) -> None:
    mine, plan = plan_of(plate), plan_of(plate, model_fingerprint="second")
    last = companion(plan, tmp_path / "c", Middle(), sites=plan.sites[-1:])
    extract(mine, tmp_path / "w", Moments(), last)
    assert sum(last.extractor.calls) == len(plan.cells_of(plan.sites[-1]).names) > 0
    assert finished(last) == {plan.sites[-1].key}


def test_nothing_is_looked_for_where_nothing_is_read(plate: MadePlate, tmp_path: Path) -> None:
    plan = plan_of(plate)
    extract(plan, tmp_path / "w", Moments())
    asked: list[ImageSite] = []

    def find(sites: Sequence[ImageSite]) -> Sequence[Companion]:
        asked.extend(sites)
        return ()

    stream, _ = extract_plate(plan, Moments, companions=find, **options(WorkFolder(tmp_path / "w")))
    assert asked == []
    assert rows_of(written(stream, tmp_path / "t.parquet")) == expected_rows(plan, Moments())


def test_what_fails_in_a_companion_ends_its_part_alone(plate: MadePlate, tmp_path: Path) -> None:
    """It fails with far more sites to come than may wait for it."""
    mine = plan_of(plate)
    failed: list[Exception] = []
    healthy: list[Exception] = []
    failing = companion(plan_of(plate, model_fingerprint="second"), tmp_path / "a", Failing(), failed)
    fine = companion(plan_of(plate, model_fingerprint="third"), tmp_path / "b", Middle(), healthy)
    stream = extract(mine, tmp_path / "w", Moments(), failing, fine)
    assert [str(error) for error in failed] == ["no memory"]
    assert healthy == []
    assert len(finished(failing)) < len(mine.sites) - SITES_WAITING
    assert len(finished(fine)) == 10
    assert rows_of(written(stream, tmp_path / "t.parquet")) == expected_rows(mine, Moments())


def test_what_fails_in_the_own_part_is_raised(plate: MadePlate, tmp_path: Path) -> None:
    gave_up: list[Exception] = []
    along = companion(plan_of(plate, model_fingerprint="second"), tmp_path / "c", Middle(), gave_up)
    with pytest.raises(FailingError):
        extract(plan_of(plate), tmp_path / "w", Failing(), along)
    assert gave_up == []
    assert 0 < len(finished(along)) < 10


def test_a_killed_pass_is_resumed_by_both(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, plan = plan_of(plate), plan_of(plate, model_fingerprint="second", batch_size=3)
    along = companion(plan, tmp_path / "c", Middle())
    with pytest.raises(KilledError):
        extract(mine, tmp_path / "w", Moments(), along, progress=ProgressLog(5))
    done = finished(along)
    assert 0 < len(done) < 10
    reads = count_reads(monkeypatch)
    assert later(plan, tmp_path / "c", Middle(), tmp_path / "c.parquet") == expected_rows(plan, Middle())
    # The second count is of the rows that are expected.
    assert {name for name, count in reads.items() if count == 2} == {
        path.name for site in plan.sites if site.key not in done for path in site.images
    }
    rows = later(mine, tmp_path / "w", Moments(), tmp_path / "w.parquet")
    assert rows == expected_rows(mine, Moments())


def test_a_bad_site_is_one_for_both(plate: MadePlate, tmp_path: Path) -> None:
    def torn(plan: FeaturePlan) -> FeaturePlan:
        return replace(plan, source=replace(plan.source, sites=unchecked(plan.sites)))

    mine, plan = torn(plan_of(plate)), torn(plan_of(plate, model_fingerprint="second"))
    tear(mine.sites[5])
    gave_up: list[Exception] = []
    along = companion(plan, tmp_path / "c", Middle(), gave_up)
    first = extract(mine, tmp_path / "w", Moments(), along, on_bad_site="skip")
    assert gave_up == []
    assert finished(along) == {site.key for site in plan.sites} - {plan.sites[5].key}
    second = extract(plan, tmp_path / "c", Middle(), on_bad_site="skip")
    assert first.provenance["failures"] == second.provenance["failures"] != []


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda _: {"normalization": "zscore", "batch_size": 3, "layer": "other"}, 10),
        (lambda _: {"geometry": CropGeometry(16, margin=3)}, 10),
        (lambda _: {"geometry": CropGeometry(18)}, 0),
        (lambda _: {"geometry": CropGeometry(16, "exact")}, 0),
        (lambda _: {"channel_order": (0, 1)}, 0),
        (lambda _: {"channel_order": (1,)}, 0),
        (lambda plan: {"cells": _moved(plan, plan.sites[3])}, 9),
        (lambda plan: {"sites": plan.sites[2:]}, 8),
    ],
    ids=["other numbers", "margin", "box", "sampling", "order", "channels", "locations", "sites"],
)
def test_which_crops_are_the_same(
    plate: MadePlate, change: Callable[[FeaturePlan], dict[str, Any]], same: int
) -> None:
    mine = plan_of(plate)
    other = plan_of(plate, model_fingerprint="second", **change(mine))
    assert len(same_crops(mine, other, mine.sites)) == same


def _moved(plan: FeaturePlan, site: ImageSite) -> dict:
    cells = plan.cells_of(site)
    return {**plan.source.cells, (site.well, site.site): replace(cells, centres=cells.centres + 1)}
