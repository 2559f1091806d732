"""Features of plates: the recorded ones, cell by cell in place, resumed or not."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest

from dp_assets.config.errors import ImageFileError
from dp_assets.config.experiment import load_experiment
from dp_assets.imaging.cropping import CropGeometry
from dp_assets.imaging.plate_crops import SiteCells
from dp_assets.imaging.site_crops import SiteCrops
from dp_assets.networks.registry import NetworkRequest, build_network
from dp_assets.profiling import plate_features
from dp_assets.profiling.extraction import FeatureExtractor
from dp_assets.profiling.feature_plan import FeaturePlan
from dp_assets.profiling.plate_features import extract_plate
from dp_assets.storage.folders import publish_folder
from dp_assets.storage.image_sites import SiteFailure
from dp_assets.storage.schemas import CELL_FEATURES, CELL_KEY
from dp_assets.storage.tables import StoredTable, TableStream, read_provenance, write_table
from dp_assets.storage.work import WorkFolder
from dp_assets.training.import_plan import ImportPlan
from dp_assets.training.model_import import import_model
from dp_assets.training.model_loading import load_trained_network
from dp_assets_tests.golden_stages import PLATES, prepared
from dp_assets_tests.image_changes import tear, unchecked
from dp_assets_tests.made_plates import (
    PIXELS,
    PLATE,
    KilledError,
    MadePlate,
    ProgressLog,
    options,
    tiny_plate,
)
from dp_assets_tests.read_counting import count_reads


class Moments:
    """In place of a network: two numbers per crop, and a note of how many crops came at once."""

    dimension = 2
    calls_at_once = 1

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        self.calls.append(len(crops))
        return np.stack([crops.mean(axis=(1, 2, 3)), crops.std(axis=(1, 2, 3))], axis=1).astype(np.float32)


@pytest.fixture
def plate(tmp_path: Path) -> MadePlate:
    return tiny_plate(tmp_path / "project", wells=5, sites_per_well=2, channels=("DNA", "RNA"))


SOURCE = ("sites", "cells", "geometry", "channel_order")


def plan_of(plate: MadePlate, **changes: Any) -> FeaturePlan:
    facts = {
        "sites": plate.sites(),
        "channel_order": (1, 0),
        "cells": plate.cells(),
        "geometry": CropGeometry(16),
        "normalization": "minmax",
        "plate_range": None,
        "model_fingerprint": "model",
        "layer": "features",
        "precision": "float32",
        "network": "net",
        "batch_size": 2,
    }
    values = {**facts, **changes}
    source = {name: values.pop(name) for name in SOURCE}
    return FeaturePlan(source=SiteCrops(**source), **values)


def extract(
    plan: FeaturePlan,
    folder: Path,
    extractor: Any = None,
    progress: ProgressLog | None = None,
    **changes: Any,
) -> tuple[TableStream, list[SiteFailure]]:
    found: Any = Moments() if extractor is None else extractor
    return extract_plate(plan, lambda: found, **options(WorkFolder(folder), progress, **changes))


def written(stream: TableStream, path: Path) -> StoredTable:
    write_table(path, stream, CELL_FEATURES)
    return StoredTable(path)


def expected_rows(plan: FeaturePlan, extractor: Callable[[np.ndarray], np.ndarray]) -> list[tuple]:
    return [
        (plan.sites[0].plate, site.well, site.site, cell, *values)
        for site in plan.sites
        if len(plan.cells_of(site).names)
        for cell, values in zip(
            plan.cells_of(site).names, extractor(plan.crops(site, PIXELS)).tolist(), strict=True
        )
    ]


def rows_of(table: StoredTable) -> list[tuple]:
    return [tuple(row.values()) for row in table.read().to_pylist()]


class Overtaken(Moments):
    """Several calls at once, of which the later ones end first."""

    calls_at_once = 3

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        number = len(self.calls)
        found = super().__call__(crops)
        time.sleep(0.03 if number % 3 == 0 else 0)
        return found


def test_batches_that_end_in_another_order_stay_in_place(plate: MadePlate, tmp_path: Path) -> None:
    plan = plan_of(plate)
    table = written(extract(plan, tmp_path / "w", Overtaken())[0], tmp_path / "t.parquet")
    assert rows_of(table) == expected_rows(plan, Moments())


@pytest.mark.parametrize("workers", [1, 3])
def test_every_cell_has_its_own_features(plate: MadePlate, tmp_path: Path, workers: int) -> None:
    plan, extractor, progress = plan_of(plate), Moments(), ProgressLog()
    stream, failures = extract(plan, tmp_path / "w", extractor, progress, workers=workers)
    table = written(stream, tmp_path / "t.parquet")
    assert failures == []
    assert table.schema().names == [*CELL_KEY, "net_0", "net_1"]
    assert rows_of(table) == expected_rows(plan, Moments())
    assert len(rows_of(table)) == sum(map(len, (cells.names for cells in plate.cells().values()))) > 20
    facts = read_provenance(table.schema())
    assert facts["fingerprint"] == plan.fingerprint
    assert (facts["model"], facts["layer"], facts["network"]) == ("model", "features", "net")
    assert (facts["failures"], facts["sites_without_cells"]) == ([], [])
    assert progress[0] == (0, 10)
    assert progress[-1] == (10, 10)


def test_cells_of_several_sites_go_through_the_network_together(plate: MadePlate, tmp_path: Path) -> None:
    per_site = [len(plan_of(plate).cells_of(site).names) for site in plan_of(plate).sites]
    total = sum(per_site)
    for size in (2, max(per_site) + 3, total, total + 1):
        extractor = Moments()
        plan = plan_of(plate, batch_size=size)
        stream, _ = extract(plan, tmp_path / str(size), extractor)
        full, rest = divmod(total, size)
        assert extractor.calls == [size] * full + [rest] * bool(rest)
        table = written(stream, tmp_path / f"{size}.parquet")
        assert rows_of(table) == expected_rows(plan, Moments())


@pytest.mark.parametrize("size", [1, 7, 13, 16_000])
def test_row_groups_end_with_a_well(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(plate_features, "CELLS_PER_ROW_GROUP", size)
    plan = plan_of(plate)
    table = written(extract(plan, tmp_path / "w")[0], tmp_path / "t.parquet")
    assert rows_of(table) == expected_rows(plan, Moments())
    groups = [group["Metadata_Well"].to_pylist() for group in table.row_groups()]
    for number, wells in enumerate(groups):
        assert not set(wells) & {well for others in groups[number + 1 :] for well in others}
        last = wells.count(wells[-1])
        assert len(wells) - last < size  # no well more than needed to fill the group
    assert all(len(wells) >= size for wells in groups[:-1])
    assert pq.ParquetFile(tmp_path / "t.parquet").num_row_groups == len(groups)


def test_sites_without_cells_are_recorded_and_not_read(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = {key: value for key, value in plate.cells().items() if key[0] != "A02"}
    plan, reads = plan_of(plate, cells=cells), count_reads(monkeypatch)
    stream, _ = extract(plan, tmp_path / "w")
    assert stream.provenance["sites_without_cells"] == [f"{PLATE}/A02/1", f"{PLATE}/A02/2"]
    assert not [name for name in reads if name.startswith("A02")]
    assert rows_of(written(stream, tmp_path / "t.parquet")) == expected_rows(plan, Moments())


def test_a_plate_without_cells_is_an_empty_table(plate: MadePlate, tmp_path: Path) -> None:
    stream, _ = extract(plan_of(plate, cells={}), tmp_path / "w")
    table = written(stream, tmp_path / "t.parquet")
    assert table.row_count() == 0
    assert table.schema().names == [*CELL_KEY, "net_0", "net_1"]
    assert len(read_provenance(table.schema())["sites_without_cells"]) == 10


def test_features_of_each_channel_alone_have_its_name(plate: MadePlate, tmp_path: Path) -> None:
    stream, _ = extract(plan_of(plate, repeated_channels=("RNA", "DNA")), tmp_path / "w")
    table = written(stream, tmp_path / "t.parquet")
    assert table.schema().names == [*CELL_KEY, "net_RNA_0", "net_DNA_0"]
    assert rows_of(table) == expected_rows(plan_of(plate), Moments())


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    network = build_network(
        NetworkRequest("cnn", (16, 16, 2), classes=2, conv_blocks=2, feature_dim=5, target="Treatment")
    )
    return FeatureExtractor(network, "features", 2)


@pytest.mark.parametrize("kill_at", [3, 7])
def test_a_killed_run_goes_on_and_ends_the_same(
    plate: MadePlate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    extractor: FeatureExtractor,
    kill_at: int,
) -> None:
    plan = plan_of(plate)
    written(extract(plan, tmp_path / "other", extractor)[0], tmp_path / "undisturbed.parquet")
    with pytest.raises(KilledError):
        extract(plan, tmp_path / "w", extractor, ProgressLog(kill_at))
    work = WorkFolder(tmp_path / "w")
    left = [site for site in plan.sites if not work.finished(plan.site_fingerprint(site))]
    assert 0 < len(left) < 10
    reads, progress = count_reads(monkeypatch), ProgressLog()
    stream, _ = extract(plan, tmp_path / "w", extractor, progress)
    assert reads == {path.name: 1 for site in left for path in site.images}
    assert progress[0] == (10 - len(left), 10)
    written(stream, tmp_path / "resumed.parquet")
    stream.finished()
    assert (tmp_path / "resumed.parquet").read_bytes() == (tmp_path / "undisturbed.parquet").read_bytes()
    assert not (tmp_path / "w").exists()


def test_a_torn_site_fails_the_plate_or_is_left_out(
    plate: MadePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(plate)
    plan = replace(plan, source=replace(plan.source, sites=unchecked(plan.sites)))
    good = [row for row in expected_rows(plan, Moments()) if row[1:3] != ("A03", "2")]
    tear(plan.sites[5])
    with pytest.raises(ImageFileError, match="well A03, site 2") as caught:
        extract(plan, tmp_path / "w")
    assert "9 finished sites are kept" in str(caught.value)
    reads = count_reads(monkeypatch)
    stream, [failure] = extract(plan, tmp_path / "w", on_bad_site="skip")
    assert set(reads) <= {path.name for path in plan.sites[5].images}
    assert (failure.well, failure.site) == ("A03", "2")
    assert stream.provenance["fingerprint"] != plan.fingerprint
    assert stream.provenance["failures"] == [failure.as_dict()]
    assert rows_of(written(stream, tmp_path / "t.parquet")) == good


def test_a_site_known_to_be_bad_does_not_make_the_plate_incomplete(plate: MadePlate, tmp_path: Path) -> None:
    cells = plate.cells()
    tear(plate.sites()[0])
    plan = plan_of(plate, cells=cells)
    stream, [failure] = extract(plan, tmp_path / "w", on_bad_site="skip")
    assert (failure.well, failure.site) == ("A01", "1")
    assert stream.provenance["fingerprint"] == plan.fingerprint


def test_cells_outside_the_image_have_features_too(plate: MadePlate, tmp_path: Path) -> None:
    centres = np.array([(-100.0, 5.0), (0.0, 0.0)])
    plan = plan_of(plate, cells={("A01", "1"): SiteCells(("0", "1"), centres)})
    table = written(extract(plan, tmp_path / "w")[0], tmp_path / "t.parquet").read()
    assert table["net_0"].to_pylist()[0] == 0.0
    assert table["net_0"].to_pylist()[1] > 0


@pytest.fixture(scope="module")
def recorded_network(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> keras.Model:
    folder = tmp_path_factory.mktemp("golden")
    settings = load_experiment(golden / "inputs/config/config.json").profiling()
    publish_folder(folder / "model", import_model(ImportPlan(settings, golden / "checkpoint_golden.hdf5"))[0])
    return load_trained_network(folder / "model")


@pytest.mark.parametrize(("layer", "dimension"), [("pool5", 1280), ("block6a_activation", 672)])
def test_recorded_features_of_all_sites(
    golden: Path, tmp_path: Path, recorded_network: keras.Model, layer: str, dimension: int
) -> None:
    extractor = FeatureExtractor(recorded_network, layer, 16)
    with np.load(golden / f"features/{layer}.npz") as recorded:
        expected = {name: recorded[name] for name in recorded.files}
    assert len(expected) == 8
    for plate in PLATES:
        ready = prepared(golden, plate)
        plan = FeaturePlan(
            source=SiteCrops(ready.sites, ready.cells, CropGeometry(96), (0, 1, 2, 3, 4)),
            normalization="minmax",
            plate_range=None,
            model_fingerprint="golden",
            layer=layer,
            precision="float32",
            network="efficientnet",
            batch_size=16,
        )
        stream, _ = extract(plan, tmp_path / plate, extractor, workers=2)
        table = written(stream, tmp_path / f"{plate}.parquet").read()
        features = np.stack([table[f"efficientnet_{n}"].to_numpy() for n in range(dimension)], axis=1)
        wells = np.array(table["Metadata_Well"].to_pylist())
        for site in plan.sites:
            np.testing.assert_allclose(
                features[wells == site.well], expected.pop(f"{plate}_{site.well}_1"), atol=1e-4, rtol=0
            )
    assert expected == {}
