"""`make bench`: its plates, arithmetic, tables and pages; and (slow) the whole of it on a tiny project."""

import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from benchmarks import compare, performance_page
from benchmarks import device_rates as benchmark_of_devices
from benchmarks.speed.bare_run import WARM_UP, seconds_of_runs
from benchmarks.speed.costs import median_mark, stage_cost, step_cost
from benchmarks.speed.large_data_set import DataSet, Node, cores_for_gpu, estimate_rows, site_demands
from benchmarks.speed.measuring import Benchmark, compressed_images
from benchmarks.speed.peer import NoPeerError, peer_environment, write_peer_project
from benchmarks.speed.plates import make_plates
from benchmarks.speed.processes import ProcessError, measured
from benchmarks.speed.project import experiment, write_project
from benchmarks.speed.result import (
    OURS,
    PEER,
    FeedRuns,
    Limit,
    Machine,
    ProcessRun,
    Result,
    SizeRuns,
    StageRuns,
    read_result,
    write_result,
)
from benchmarks.speed.scaling import Scaling, scaling_rows, size_costs, step_rows
from benchmarks.speed.settings import SOURCES, PlatesSettings, Settings
from benchmarks.speed.stages import (
    BEGUN,
    CROPS,
    DEFINED,
    ENDED,
    FAST_PREPARE,
    FIRST_SITE,
    IMPORTED,
    PREPARE,
    PROFILE,
    PROFILING,
    STAGES,
)
from benchmarks.speed.table import limit_rows, markdown_table, stage_rows, start_rows, target_rows
from benchmarks.speed.targets import cpu_bound_of_stage, targets, wall_bound_of_profiling
from benchmarks.speed.timing import timed
from dp_assets.config.project import load_project
from dp_assets.example.experiments import usual_experiment
from dp_assets.orchestration.stage_runner import project_instance
from dp_assets.storage.images import read_image

TINY = PlatesSettings(plates=2, sites=6, channels=2, rows=96, cols=80, cells=4, box=32)
MACHINE = Machine("a processor", 2, 2**33, "Linux", ("CPU",), 0.1)


def linear(
    stage: str,
    program: str = OURS,
    *,
    start: float,
    site: float,
    cpu: float = 2.0,
    peak: int = 500_000_000,
    sizes: tuple[int, int] = (8, 24),
) -> StageRuns:
    """A stage that takes start + site x sites, and `cpu` times as many CPU seconds; 60 cells a site."""

    def runs(sites: int) -> tuple[ProcessRun, ...]:
        wall = start + site * sites
        # The third run was disturbed.
        return tuple(
            ProcessRun(wall * slower, wall * cpu * slower, peak, {FIRST_SITE: start / 2})
            for slower in (1.0, 1.0, 3.0)
        )

    return StageRuns(stage, program, tuple(SizeRuns(2, n, 60 * n, runs(n)) for n in sizes))


def result(*stages: StageRuns, **changes: object) -> Result:
    """A result with round numbers: decode 10, encode 20 (PNG) and 5, forward 2, crops 0.1 CPU ms."""
    limits = {
        "decode source": ("image", 0.010),
        "decode png": ("image", 0.010),
        "encode png": ("image", 0.020),
        "encode jpegxl": ("image", 0.005),
        "encode crops": ("cell", 0.0001),
        "forward": ("cell", 0.002),
    }
    made = Result(
        kind="speed",
        date="2026-11-30",
        versions={"dp_assets": "1", "python": "3.11"},
        machine=MACHINE,
        settings=Settings(),
        stages=stages,
        limits=tuple(
            Limit(name, unit, 10, (cpu / 2,), (cpu, cpu, 9.0)) for name, (unit, cpu) in limits.items()
        ),
        feed=FeedRuns((10, 30), 32, ((3.0, 7.0), (3.0, 7.0)), ((2.0, 5.6), (2.0, 5.6)), 10**9),
        bare_framework=(ProcessRun(3.0, 3.0, 300_000_000),),
        image_bytes={"source": 1_500_000.0, "png": 350_000.0},
    )
    return replace(made, **changes)


def test_start_and_site_separate_and_medians_count() -> None:
    cost = stage_cost(linear(PREPARE, start=3.0, site=0.25))
    assert cost.site_s == pytest.approx(0.25)
    assert cost.start_s == pytest.approx(3.0)
    assert cost.site_cpu_s == pytest.approx(0.5)
    assert cost.cell_s == pytest.approx(0.25 / 60)
    assert cost.wall_s == pytest.approx(9.0)
    assert cost.peak_bytes == 500_000_000
    assert median_mark(linear(PREPARE, start=3.0, site=0.25), FIRST_SITE) == pytest.approx(1.5)
    assert median_mark(linear(PREPARE, start=3.0, site=0.25), "no such mark") is None
    one_size = replace(linear(PREPARE, start=1, site=1), sizes=linear(PREPARE, start=1, site=1).sizes[:1])
    with pytest.raises(ValueError, match="two sizes"):
        stage_cost(one_size)
    with pytest.raises(ValueError, match="ascending"):
        stage_cost(linear(PREPARE, start=1, site=1, sizes=(8, 8)))


def test_a_step_is_the_difference_of_two_lengths() -> None:
    step = step_cost(result().feed)
    assert step.real_s == pytest.approx(0.2)
    assert step.constant_s == pytest.approx(0.18)


def test_bounds_are_made_of_the_limits() -> None:
    found = result(*(linear(stage, start=1, site=1) for stage in STAGES))
    # 5 channels; 60 cells a site.
    assert cpu_bound_of_stage(found, PREPARE) == pytest.approx(5 * (2 * 0.010 + 0.020))
    assert cpu_bound_of_stage(found, FAST_PREPARE) == pytest.approx(5 * (2 * 0.010 + 0.005))
    assert cpu_bound_of_stage(found, CROPS) == pytest.approx(5 * 0.010 + 60 * 0.0001)
    assert cpu_bound_of_stage(found, PROFILE) == pytest.approx(5 * 0.010 + 60 * 0.002)
    assert wall_bound_of_profiling(found) == pytest.approx((5 * 0.010 + 60 * 0.002) / 2)
    on_gpu = replace(found, machine=replace(MACHINE, devices=("GPU:0",)))
    assert wall_bound_of_profiling(on_gpu) == pytest.approx(max(5 * 0.005, 60 * 0.001))
    assert cpu_bound_of_stage(replace(found, limits=()), PROFILE) is None


def test_targets_are_met_and_missed_by_what_was_measured() -> None:
    stages = [
        linear(PREPARE, start=1.0, site=0.1, cpu=2.0, peak=699_000_000),
        linear(FAST_PREPARE, start=1.0, site=0.1, peak=701_000_000),
        linear(PREPARE, PEER, start=2.5, site=0.5),
        linear(CROPS, start=1.0, site=0.02, cpu=3.0),
        linear(PROFILE, start=4.0, site=0.09, peak=1_400_000_000),
        linear(PROFILE, PEER, start=2.5, site=0.27),
    ]
    found = {(one.stage, one.what): one for one in targets(result(*stages))}
    faster = "sites/s over the peer's"
    assert found[PREPARE, faster].found == pytest.approx(5.0)
    assert found[PREPARE, faster].met
    assert not found[FAST_PREPARE, faster].met
    assert found[PREPARE, "CPU time over decode twice, encode once"].found == pytest.approx(1.0)
    assert found[PREPARE, "peak memory, MB"].met
    assert not found[FAST_PREPARE, "peak memory, MB"].met
    original = 5.1e-3 * 0.5 / 0.48
    in_cells = found[CROPS, "cells/s over the original's (recorded, scaled)"]
    assert in_cells.found == pytest.approx(original / (0.02 / 60))
    assert in_cells.met == (in_cells.found >= 15)
    assert found[PROFILE, "wall time over the bound"].found == pytest.approx(0.09 / 0.085)
    assert found[PROFILE, "cells/s over the peer's"].met
    assert found[PROFILE, "time to the first cell over the peer's start-up"].found == pytest.approx(2 / 2.5)
    assert found[PROFILE, "peak memory beyond the framework, MB"].found == pytest.approx(1100)
    assert found["training feed", "step over that on a constant batch"].found == pytest.approx(0.2 / 0.18)
    vanished = targets(result(linear(PREPARE, start=9.0, site=-0.1)))
    assert [one.met for one in vanished if one.what.startswith("CPU time")] == [False]
    alone = {one.what for one in targets(result(*(one for one in stages if one.program == OURS)))}
    assert not any("peer" in what or "original" in what for what in alone)


def test_a_result_comes_back_from_its_file(tmp_path: Path) -> None:
    made = result(linear(PREPARE, start=1, site=1), linear(PREPARE, PEER, start=1, site=2))
    write_result(tmp_path / "new" / "a.json", made)
    assert read_result(tmp_path / "new" / "a.json") == made
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="format 1"):
        read_result(tmp_path / "other.json")


def test_tables_have_a_row_for_everything() -> None:
    made = result(linear(PREPARE, start=1, site=0.25), linear(PREPARE, PEER, start=1, site=1))
    _, stages = stage_rows(made)
    assert [row[:3] for row in stages] == [(PREPARE, OURS, "4.00"), (PREPARE, PEER, "1.00")]
    assert stages[1][5] == ""
    assert start_rows(made)[1] == [(PREPARE, "", "", "", "0.50")]
    assert len(limit_rows(made)[1]) == len(made.limits) + 2
    assert {row[-1] for row in target_rows(made)[1]} == {"yes", "no"}
    assert len(markdown_table(stage_rows(made)).splitlines()) == 4


def test_two_results_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a = result(linear(PREPARE, start=1, site=0.2), linear(CROPS, start=1, site=0.2))
    b = replace(
        result(linear(PREPARE, start=1, site=0.1)),
        versions={"dp_assets": "2"},
        machine=replace(MACHINE, cores=4),
    )
    rows = {row[:2]: row[2:] for row in compare.comparison(a, b)[1]}
    assert rows[f"{PREPARE}, {OURS}", "ms/site"] == ("200.00", "100.00", "0.50")
    assert not any(of.startswith(CROPS) for of, _ in rows)
    assert compare.differences(a, a) == []
    assert compare.differences(a, b) == [
        "cores: 2 and 4",
        "version of dp_assets: 1 and 2",
        "version of python: 3.11 and none",
    ]
    for name, made in (("a.json", a), ("b.json", b)):
        write_result(tmp_path / name, made)
    monkeypatch.setattr(sys, "argv", ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert compare.main() == 0
    assert "not the same: cores: 2 and 4" in capsys.readouterr().out


def test_the_page_is_made_of_results_and_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speed = result(linear(PREPARE, start=1, site=0.25), linear(PREPARE, PEER, start=1, site=1))
    scaling = replace(result(linear(PREPARE, start=1, site=0.25)), kind="scaling", limits=(), feed=None)
    for name, made in (("speed.json", speed), ("scaling.json", scaling)):
        write_result(tmp_path / name, made)
    (tmp_path / "notes.md").write_text("## Notes\n\nNothing helped.\n", encoding="utf-8")
    files = [str(tmp_path / name) for name in ("speed.json", "scaling.json")]
    where = ["--notes", str(tmp_path / "notes.md"), "--out", str(tmp_path / "page.md")]
    monkeypatch.setattr(sys, "argv", ["page", *files, *where])
    assert performance_page.main() == 0
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "## zlib TIFF: 24 sites, 5 x 1080 x 1080" in text
    assert f"| {PREPARE} | {OURS} | 4.00 |" in text
    assert "All numbers: `scaling.json`." in text
    assert text.endswith("## Notes\n\nNothing helped.\n")
    assert performance_page.main() == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == text


def test_scaling_is_told_against_the_smallest_size() -> None:
    stage = linear(PREPARE, start=3.0, site=0.25, sizes=(24, 96))
    small, large = size_costs(stage)
    assert small.site_s is None
    assert large.site_s == pytest.approx(0.25)
    assert large.site_cpu_s == pytest.approx(0.5)
    rows = scaling_rows(result(stage))[1]
    assert [row[:5] for row in rows] == [
        (PREPARE, "2", "12", "9.0", ""),
        (PREPARE, "2", "48", "27.0", "250.0"),
    ]


def test_steps_between_sizes_are_compared_with_the_first_of_their_kind() -> None:
    def size(plates: int, sites: int, cpu: float, peak: int = 10) -> SizeRuns:
        return SizeRuns(plates, plates * sites, 0, (ProcessRun(cpu / 2, cpu, peak),))

    sizes = (size(1, 24, 10), size(2, 24, 14), size(4, 24, 23), size(1, 96, 17.2), size(1, 384, 46, 11))
    rows = step_rows(result(StageRuns(PREPARE, OURS, sizes)))[1]
    assert rows == [
        (PREPARE, "1 x 24", "2 x 24", "2.00 s a plate", "4.00 s a plate", "1.00", "1.00"),
        (PREPARE, "2 x 24", "4 x 24", "2.25 s a plate", "4.50 s a plate", "1.12", "1.00"),
        (PREPARE, "1 x 24", "1 x 96", "50.0 ms a site", "100.0 ms a site", "1.00", "1.00"),
        (PREPARE, "1 x 96", "1 x 384", "50.0 ms a site", "100.0 ms a site", "1.00", "1.10"),
    ]


def test_a_large_data_set_is_extrapolated_from_the_rates() -> None:
    # 0.5 CPU seconds and 7.5 MB of source a site; 60 cells, of whose 0.2 CPU seconds the network takes 0.12.
    made = result(linear(PREPARE, start=3, site=0.25), linear(PROFILE, start=3, site=0.1))
    data, node = DataSet(plates=36, sites=1000), Node(cores=10, gpu_cells_s=1200, storage_bytes_s=1e8)
    prepare, profile = site_demands(made, data, node)
    assert (prepare.cpu_s, prepare.gpu_s) == (pytest.approx(0.5), 0)
    assert (prepare.read, prepare.written) == (pytest.approx(15e6), pytest.approx(1.75e6))
    assert (profile.cpu_s, profile.gpu_s) == (pytest.approx(0.08), pytest.approx(0.05))
    assert profile.written == pytest.approx(60 * 672 * 4)
    assert prepare.seconds(node, 2) == {
        "cores": pytest.approx(0.025),
        "GPU": 0,
        "storage": pytest.approx(16.75e6 / 2e8),
    }
    assert prepare.seconds(node, 1000)["storage"] == pytest.approx(16.75e6 / 20e9)
    headings, rows = estimate_rows(made, (1,), data, node)
    assert rows == [
        (PREPARE, "5", "0", "1", "0.1", "0.07", "storage"),
        (PROFILE, "1", "0", "0", "0.0", "0.02", "GPU"),
    ]
    assert len(headings) == len(rows[0])
    assert cores_for_gpu(made, data, node) == pytest.approx(1.6)
    assert cores_for_gpu(result(), data, node) is None


def test_rates_of_a_device_are_measured_on_its_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_of_devices, "LEAST_SECONDS", 0.01)
    rates = benchmark_of_devices.device_rates(
        "cnn", 1, "features", [32, 48], 2, "float32", xla=False, repeats=2
    )
    assert [(rate.what, rate.box, rate.batch) for rate in rates] == [
        ("forward", 32, 2),
        ("training", 32, 2),
        ("forward", 48, 2),
        ("training", 48, 2),
    ]
    assert all(len(rate.repetitions) == 2 and min(rate.repetitions) > 0 for rate in rates)


def test_runs_of_nothing_are_recorded_and_timed(tmp_path: Path) -> None:
    walls, cpus = seconds_of_runs(tmp_path, 2)
    assert len(walls) == len(cpus) == 2
    assert min(walls) > 0
    with project_instance(tmp_path) as instance:
        assert sorted(instance.get_materialized_partitions(dg.AssetKey("nothing"))) == [
            f"P{number:05d}" for number in range(2 + WARM_UP)
        ]


@pytest.mark.parametrize("source", SOURCES)
def test_plates_are_made_once_and_every_file_differs(tmp_path: Path, source: str) -> None:
    settings = replace(TINY, source=source)
    plates = make_plates(tmp_path, settings, threads=2)
    assert len(plates.index) == 6
    assert len(plates.cells) == 6
    assert sum(plates.cells) > 6
    files = [plates.images / name for channel in plates.channels for name in plates.index[channel]]
    images = [read_image(path) for path in files]
    assert {(image.shape, image.dtype) for image in images} == {((96, 80), np.dtype(np.uint16))}
    assert len({image.tobytes() for image in images}) == len(files) == 12
    raw = files[0].stat().st_size / images[0].nbytes
    assert raw > 1 if source == "tiff" else raw < 0.95
    before = files[0].stat().st_mtime_ns
    again = make_plates(tmp_path, settings, threads=1)
    assert again.cells == plates.cells
    assert files[0].stat().st_mtime_ns == before
    other = make_plates(tmp_path / "elsewhere", settings, threads=1)
    name = plates.index[plates.channels[0]].iloc[-1]
    assert (other.images / name).read_bytes() == (plates.images / name).read_bytes()


def test_all_sources_hold_the_same_pixels_and_cells_lie_in_bright_places(tmp_path: Path) -> None:
    made = [make_plates(tmp_path, replace(TINY, source=source), threads=2) for source in SOURCES]
    first = [read_image(plates.images / plates.index["DNA"].iloc[1]) for plates in made]
    assert np.array_equal(first[0], first[1])
    assert np.array_equal(first[0], first[2])
    plates = make_plates(tmp_path, replace(TINY, rows=200, cols=200, box=64), threads=2)
    for row in plates.index.to_dict("records"):
        image = read_image(plates.images / row["DNA"])
        where = plates.locations / row["Metadata_Plate"] / f"{row['Metadata_Well']}-{row['Metadata_Site']}"
        table = np.loadtxt(f"{where}-Nuclei.csv", delimiter=",", skiprows=1, ndmin=2)
        cols, rows = np.rint(table).astype(int).T
        # Nuclei are brighter than most of a field: turning the image turned the centres too.
        assert np.median(image[rows, cols]) > np.percentile(image, 80)


def test_a_part_of_the_sites_is_from_every_plate(tmp_path: Path) -> None:
    plates = make_plates(tmp_path, TINY, threads=2)
    part, cells = plates.of_first_sites(1 / 3)
    assert part["Metadata_Plate"].tolist() == ["BENCH00001", "BENCH00002"]
    assert cells == plates.cells[0] + plates.cells[3]
    everything, all_cells = plates.of_first_sites(1.0)
    assert len(everything) == 6
    assert all_cells == sum(plates.cells)
    with pytest.raises(ValueError, match="as many sites on every plate"):
        replace(TINY, sites=7)
    with pytest.raises(ValueError, match="at least one site"):
        replace(TINY, sites=1)


def test_projects_of_both_programs_have_the_same_sites(tmp_path: Path) -> None:
    plates = make_plates(tmp_path, TINY, threads=2)
    settings = Settings(TINY)
    ours = write_project(tmp_path / "ours", plates, settings, share=1 / 3, codec="jpegxl")
    assert (ours.plates, ours.sites) == (2, 2)
    project = load_project(ours.root, strict=True)
    assert set(project.experiments) == {"profiling", "training"}
    assert not project.broken
    assert project.experiments["profiling"].preparation().compression.codec == "jpegxl"
    assert compressed_images(ours.root) == []
    assert project.experiments["profiling"].model_source == "checkpoint"
    weights = tmp_path / "weights.hdf5"
    weights.write_bytes(b"weights")
    peer = write_peer_project(
        tmp_path / "peer", plates, settings, share=1 / 3, python=Path("python"), checkpoint=weights
    )
    index = Path("inputs") / "metadata" / "index.csv"
    assert (peer.root / index).read_bytes() == (ours.root / index).read_bytes()
    with pytest.raises(NoPeerError, match="ended with code"):
        peer_environment(tmp_path / "environment", python="false")


def test_a_process_is_measured_from_outside(tmp_path: Path) -> None:
    code = "import time; data = b'x' * 120_000_000; time.sleep(0.3); print('done')"
    started = time.time()
    run, began = measured([sys.executable, "-S", "-c", code], tmp_path / "log")
    assert 0.3 <= run.wall_s <= time.time() - started
    assert began >= started
    assert 120_000_000 < run.peak_bytes < 220_000_000
    assert 0 < run.cpu_s < run.wall_s
    assert (tmp_path / "log").read_text(encoding="utf-8") == "done\n"
    with pytest.raises(ProcessError, match="no such luck"):
        measured([sys.executable, "-S", "-c", "raise SystemExit('no such luck')"], tmp_path / "log")


def test_every_item_is_done_in_every_round() -> None:
    done: list[int] = []
    walls, cpus = timed([1, 2, 3], done.append, threads=2, repeats=2)
    assert sorted(done) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert len(walls) == len(cpus) == 2
    assert all(wall > 0 for wall in walls)
    with pytest.raises(ValueError, match="no items"):
        timed([], done.append, threads=1, repeats=1)


def test_two_sizes_need_two_sites_a_plate(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two sites on every plate"):
        Benchmark(tmp_path, Settings(replace(TINY, sites=2)), print).measure()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_whole_benchmark_on_a_tiny_project(tmp_path: Path) -> None:
    settings = Settings(replace(TINY, sites=12), batch_size=8, training_batch_size=4, steps=(2, 4), repeats=1)
    said: list[str] = []
    made = Benchmark(tmp_path, settings, said.append).measure()
    assert [one.stage for one in made.stages] == list(STAGES)
    for stage in made.stages:
        assert [(size.plates, size.sites) for size in stage.sizes] == [(2, 4), (2, 12)]
        assert all(len(size.runs) == 1 for size in stage.sizes)
        small, large = (size.runs[0] for size in stage.sizes)
        cost = stage_cost(stage)
        assert cost.start_s + 4 * cost.site_s == pytest.approx(small.wall_s)
        assert cost.start_s + 12 * cost.site_s == pytest.approx(large.wall_s)
        for run in (small, large):
            marks = [run.marks[name] for name in (IMPORTED, DEFINED, BEGUN, FIRST_SITE, ENDED)]
            assert marks == sorted(marks)
            assert 0 < marks[0] < marks[-1] <= run.wall_s
    profiled = made.stage(PROFILE)
    assert profiled is not None
    assert profiled.sizes[-1].runs[0].peak_bytes > made.bare_framework[0].peak_bytes
    expected = {
        "decode source",
        "decode png",
        "decode jpegxl",
        "encode png",
        "encode jpegxl",
        "encode jpegls",
    }
    expected |= {"encode tiff", "encode crops", "decode crops", "copy memory", "forward"}
    assert {limit.name for limit in made.limits} == expected
    assert all(wall > 0 for limit in made.limits for wall in limit.wall_s)
    assert made.feed is not None
    assert all(few > 0 and many > 0 for few, many in (*made.feed.real_s, *made.feed.constant_s))
    assert {one.stage for one in targets(made)} == {PREPARE, FAST_PREPARE, CROPS, PROFILE, "training feed"}
    assert not any(math.isnan(one.found) for one in targets(made))
    write_result(tmp_path / "result.json", made)
    assert read_result(tmp_path / "result.json") == made


@pytest.mark.slow
def test_scaling_on_tiny_projects(tmp_path: Path) -> None:
    images = replace(TINY, box=48)
    scaling = Scaling(tmp_path, Settings(repeats=1), lambda _: None, ((1, 1), (2, 3)), images)
    made = scaling.measure()
    assert made.kind == "scaling"
    assert [one.stage for one in made.stages] == [PREPARE, CROPS, PROFILE]
    for stage in made.stages:
        assert [(size.plates, size.sites) for size in stage.sizes] == [(1, 1), (2, 6)]
        assert size_costs(stage)[1].site_cpu_s is not None


def test_what_is_measured_is_the_usual_experiment_but_for_what_is_said(tmp_path: Path) -> None:
    plates, settings = make_plates(tmp_path, TINY, threads=2), Settings()
    measured_one = experiment(PROFILING, plates, settings, "jpegxl")
    usual = usual_experiment(
        "efficientnet",
        measured_one["dataset"]["images"],
        box_size=settings.images.box,
        epochs=1,
        batch_size=settings.training_batch_size,
    )
    assert measured_one["prepare"]["compression"].pop("codec") == "jpegxl"
    assert measured_one.pop("model") == {"source": "checkpoint"}
    assert measured_one.pop("profile")["batch_size"] == settings.batch_size
    assert measured_one == usual
