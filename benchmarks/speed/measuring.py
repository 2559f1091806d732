"""One benchmark from end to end: every stage at two sizes, the limits on the same files, and the peer."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import machine_facts, usable_cores, versions
from benchmarks.speed.peer import PeerProject, peer_versions, write_peer_project
from benchmarks.speed.plates import Plates, make_plates
from benchmarks.speed.processes import own_module
from benchmarks.speed.project import CHECKPOINT, BenchProject, write_project
from benchmarks.speed.result import (
    OURS,
    PEER,
    FeedRuns,
    Limit,
    ProcessRun,
    Result,
    SizeRuns,
    StageRuns,
)
from benchmarks.speed.settings import Settings
from benchmarks.speed.stages import (
    CROPS,
    FAST_PREPARE,
    PREPARE,
    PROFILE,
    PROFILING,
    STAGES,
    TABLES,
    TRAINING,
    WHOLE_PREPARE,
    assets_of,
    crop_set,
)
from dp_assets.storage.folders import open_folder

SMALL_SHARE = 1 / 3
RUNS_OF_NOTHING = 8
IMAGES_FOR_LIMITS = 60
QUIET_LOAD = 0.5

Say = Callable[[str], None]
Run = Callable[[], ProcessRun]


@dataclass
class Benchmark:
    """A benchmark on one set of plates.

    Attributes
    ----------
    work : folder for everything; plates in it are kept for the next run.
    settings : what to measure.
    say : told what goes on.
    peer : Python with DeepProfiler; None to leave it out.
    stages : which stages to measure.
    """

    work: Path
    settings: Settings
    say: Say
    peer: Path | None = None
    stages: Sequence[str] = STAGES
    _runs: dict[tuple[str, str, int], list[ProcessRun]] = field(default_factory=dict, repr=False)

    def measure(self) -> Result:
        """Measure everything. ValueError when there are too few sites for two sizes."""
        if self.settings.images.sites_per_plate < 2:
            raise ValueError("Expected two sites on every plate at least. Received one.")
        before = machine_facts(())
        cores = usable_cores()
        if before.load_before > QUIET_LOAD:
            self.say(
                f"the machine is busy (load {before.load_before:g}): these figures will not be worth much"
            )
        self.say(f"plates: {self.settings.images}")
        plates = make_plates(self.work, self.settings.images, cores)
        projects = self._projects(plates)
        answers = self._stages(projects, self._peers(plates))
        largest = projects["png"][-1]
        limits, image_bytes = self._image_limits(plates, projects, cores)
        forward, devices = self._forward(largest)
        feed = self._feed(largest)
        found = versions()
        if self.peer is not None:
            found |= {f"peer {name}": value for name, value in peer_versions(self.peer).items()}
        return Result(
            kind="speed",
            date=datetime.now(UTC).date().isoformat(),
            versions=found,
            machine=replace(before, devices=devices),
            settings=self.settings,
            stages=answers,
            limits=(*limits, forward, self._bare_run()),
            feed=feed,
            bare_framework=tuple(self._bare_framework() for _ in range(self.settings.repeats)),
            image_bytes=image_bytes,
        )

    def _projects(self, plates: Plates) -> dict[str, list[BenchProject]]:
        """Codec -> a small and a large project whose tables are made, with weights to profile with."""
        checkpoint = self._checkpoint()
        projects: dict[str, list[BenchProject]] = {}
        for codec in dict.fromkeys(("png", self.settings.fast_codec)):
            projects[codec] = []
            for name, share in (("small", SMALL_SHARE), ("all", 1.0)):
                root = self.work / f"project-{codec}-{name}"
                shutil.rmtree(root, ignore_errors=True)
                project = write_project(root, plates, self.settings, share=share, codec=codec)
                shutil.copy(checkpoint, root / "inputs" / "pretrained" / CHECKPOINT)
                self.say(f"{root.name}: {project.sites} sites, {project.cells} cells")
                project.run(["image_index", *TABLES])
                projects[codec].append(project)
        return projects

    def _checkpoint(self) -> Path:
        target = self.work / CHECKPOINT
        images = self.settings.images
        request = {"box": images.box, "channels": images.channels, "classes": 2, "target": str(target)}
        own_module("checkpoint_process", request, self.work / "checkpoint.log")
        return target

    def _peers(self, plates: Plates) -> list[PeerProject]:
        """The small and the large project of the peer; none without it."""
        if self.peer is None:
            return []
        found = []
        for name, share in (("small", SMALL_SHARE), ("all", 1.0)):
            root = self.work / f"peer-{name}"
            shutil.rmtree(root, ignore_errors=True)
            found.append(
                write_peer_project(
                    root,
                    plates,
                    self.settings,
                    share=share,
                    python=self.peer,
                    checkpoint=self.work / CHECKPOINT,
                )
            )
        found[0].warm_up()
        return found

    def _stages(
        self, projects: Mapping[str, Sequence[BenchProject]], peers: Sequence[PeerProject]
    ) -> tuple[StageRuns, ...]:
        """Run every stage so often at both sizes; programs and sizes take turns."""
        sizes = projects["png"]
        for stage in STAGES:
            wanted = stage in self.stages
            for repeat in range(self.settings.repeats if wanted else 1):
                for program, number, run in self._turns(stage, projects, peers):
                    if not wanted and stage in (FAST_PREPARE, WHOLE_PREPARE):
                        continue
                    done = run()
                    if wanted:
                        self._runs.setdefault((stage, program, number), []).append(done)
                        self.say(
                            f"{stage}, {program}, {sizes[number].sites} sites, {repeat + 1}: "
                            f"{done.wall_s:.2f} s, CPU {done.cpu_s:.2f} s, {done.peak_bytes / 1e6:.0f} MB"
                        )
            if stage == CROPS:
                # Not measured: the weights of profiling, and the list of cells to train on.
                for number, project in enumerate(sizes, start=1):
                    cells = [f"{TRAINING}/training_set"] if number == len(sizes) else []
                    project.run([f"{PROFILING}/trained_model", *cells])
        found = []
        for stage, program in dict.fromkeys((stage, program) for stage, program, _ in self._runs):
            of_sizes = tuple(
                SizeRuns(one.plates, one.sites, one.cells, tuple(self._runs[stage, program, number]))
                for number, one in enumerate(sizes)
            )
            found.append(StageRuns(stage, program, of_sizes))
        return tuple(found)

    def _turns(
        self,
        stage: str,
        projects: Mapping[str, Sequence[BenchProject]],
        peers: Sequence[PeerProject],
    ) -> Iterator[tuple[str, int, Run]]:
        """(program, number of the size, what to run), in turns."""
        codec = self.settings.fast_codec if stage == FAST_PREPARE else "png"
        assets = assets_of(stage, self.settings.images.box)
        for number, project in enumerate(projects[codec]):
            yield OURS, number, partial(project.run, assets)
            if peers and stage == PREPARE:
                yield PEER, number, peers[number].prepare
            if peers and stage == PROFILE:
                yield PEER, number, peers[number].profile

    def _image_limits(
        self, plates: Plates, projects: Mapping[str, Sequence[BenchProject]], cores: int
    ) -> tuple[list[Limit], dict[str, float]]:
        self.say("limits: images and crops")
        sources = [str(plates.images / name) for channel in plates.channels for name in plates.index[channel]]
        compressed = {
            codec: files
            for codec, of_codec in projects.items()
            # None where the stage with this codec was not asked for.
            if (files := compressed_images(of_codec[-1].root))
        }
        plate = plates.index["Metadata_Plate"].iloc[0]
        request = {
            "sources": _spread(sources),
            "compressed": {codec: _spread(files) for codec, files in compressed.items()},
            "crops": str(projects["png"][-1].root / "outputs" / crop_set(self.settings.images.box) / plate),
            "threads": cores,
            "repeats": max(3, self.settings.repeats),
        }
        _, answer = own_module("image_limits", request, self.work / "limits.log")
        return [_limit(data) for data in answer["limits"]], answer["image_bytes"]

    def _forward(self, project: BenchProject) -> tuple[Limit, tuple[str, ...]]:
        self.say("limits: the network")
        request = {
            "model": str(project.root / "outputs" / PROFILING / "trained_model"),
            "cache": str(self.work / "models"),
            "layer": self.settings.feature_layer,
            "batch_size": self.settings.batch_size,
            "repeats": max(3, self.settings.repeats),
        }
        _, answer = own_module("network_limits", request, self.work / "limits.log")
        return _limit(answer["limit"]), tuple(answer["devices"])

    def _feed(self, project: BenchProject) -> FeedRuns:
        self.say("training feed")
        request = {
            "root": str(project.root),
            "experiment": TRAINING,
            "steps": self.settings.steps,
            "repeats": self.settings.repeats,
        }
        run, answer = own_module("feed_process", request, self.work / "feed.log")
        return FeedRuns(
            steps=self.settings.steps,
            batch_size=self.settings.training_batch_size,
            real_s=tuple(map(tuple, answer["real_s"])),
            constant_s=tuple(map(tuple, answer["constant_s"])),
            peak_bytes=run.peak_bytes,
        )

    def _bare_run(self) -> Limit:
        root = self.work / "bare-runs"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        request = {"root": str(root), "runs": RUNS_OF_NOTHING}
        _, answer = own_module("bare_run", request, self.work / "limits.log")
        return _limit(answer["limit"])

    def _bare_framework(self) -> ProcessRun:
        run, _ = own_module("bare_framework", {}, self.work / "limits.log")
        return run


def compressed_images(root: Path) -> list[str]:
    """The files of the compressed images of all plates of a project; none before they are made."""
    images = root / "outputs" / "compressed" / "images"
    folders = sorted(images.iterdir()) if images.is_dir() else []
    return [
        str(folder / image["file"])
        for folder in folders
        for site in open_folder(folder).manifest["sites"]
        for image in site["images"]
    ]


def _spread(files: Sequence[str]) -> list[str]:
    """Some of the files, from all over the list."""
    step = max(1, len(files) // IMAGES_FOR_LIMITS)
    return list(files[::step])


def _limit(data: dict[str, Any]) -> Limit:
    return Limit(**{**data, "wall_s": tuple(data["wall_s"]), "cpu_s": tuple(data["cpu_s"])})
