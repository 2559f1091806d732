"""DeepProfiler 0.5.1 as released, in a virtual environment of its own, on the same files."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.plates import Plates
from benchmarks.speed.processes import measured
from benchmarks.speed.project import CHECKPOINT, experiment
from benchmarks.speed.result import ProcessRun
from benchmarks.speed.settings import Settings
from benchmarks.speed.stages import PROFILING

REQUIREMENTS = ("deepprofiler==0.5.1", "tensorflow<=2.15.1", "numpy<2", "pandas<3")
PYTHONS = ((3, 11), (3, 10))
NAMED = ("deepprofiler", "tensorflow", "numpy", "pandas", "scikit-image")
INSTALLED = "installed.json"
EXPERIMENT = "bench"
OWN_PACKAGES: Mapping[str, str] = {"PYTHONPATH": ""}


class NoPeerError(RuntimeError):
    """DeepProfiler cannot be installed here; the message says why."""


def peer_environment(folder: Path, python: str | None = None) -> Path:
    """The Python of a virtual environment with DeepProfiler, which is made when it is not there.

    Parameters
    ----------
    folder : of the environment.
    python : interpreter of version 3.10 or 3.11; the first that is found by default.

    Raises
    ------
    NoPeerError : there is no such interpreter, or pip fails.
    """
    made = folder / "bin" / "python"
    if not (folder / INSTALLED).exists():
        try:
            subprocess.run([python or _interpreter(), "-m", "venv", str(folder)], check=True)
            install = [str(made), "-m", "pip", "install", "--quiet", *REQUIREMENTS]
            subprocess.run(install, check=True, stdout=sys.stderr)
        except subprocess.CalledProcessError as error:
            raise NoPeerError(f"{' '.join(error.cmd)} ended with code {error.returncode}") from error
        (folder / INSTALLED).write_text(json.dumps(_versions(made)), encoding="utf-8")
    return made


def peer_versions(python: Path) -> dict[str, str]:
    """Package -> version in the environment."""
    return json.loads((python.parents[1] / INSTALLED).read_text(encoding="utf-8"))


def _interpreter() -> str:
    if sys.version_info[:2] in PYTHONS:
        return sys.executable
    for major, minor in PYTHONS:
        if found := shutil.which(f"python{major}.{minor}"):
            return found
    raise NoPeerError(
        "Python 3.10 or 3.11 is needed for DeepProfiler 0.5.1 and was not found; name one with --peer-python"
    )


def _versions(python: Path) -> dict[str, str]:
    code = (
        "import json, platform, importlib.metadata as m; "
        f"print(json.dumps({{'python': platform.python_version(), **{{n: m.version(n) for n in {NAMED}}}}}))"
    )
    done = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@dataclass(frozen=True)
class PeerProject:
    """A project of DeepProfiler.

    Attributes
    ----------
    root : its folder.
    python : of the environment.
    """

    root: Path
    python: Path

    @property
    def log(self) -> Path:
        """Where its processes print."""
        return self.root / "bench.log"

    def warm_up(self) -> None:
        """Import everything once: the first import also compiles, and reads from the disk."""
        self._command("--help")

    def prepare(self) -> ProcessRun:
        """Illumination statistics and compressed images, made anew."""
        for name in ("intensities", "compressed"):
            shutil.rmtree(self.root / "outputs" / name, ignore_errors=True)
        run = self._command("prepare")
        self._require("compressed/images", "*.png")
        return run

    def profile(self) -> ProcessRun:
        """Features of every cell, made anew; after `prepare`."""
        shutil.rmtree(self.root / "outputs" / EXPERIMENT / "features", ignore_errors=True)
        run = self._command("profile")
        self._require(f"{EXPERIMENT}/features", "*.npz")
        return run

    def _command(self, stage: str) -> ProcessRun:
        options = [f"--root={self.root}", "--config=bench.json", f"--exp={EXPERIMENT}"]
        # Its console script is broken: it calls the group without the object it needs.
        run, _ = measured([str(self.python), "-m", "deepprofiler", *options, stage], self.log, OWN_PACKAGES)
        return run

    def _require(self, folder: str, pattern: str) -> None:
        # Its workers may fail without an exit code.
        if not any((self.root / "outputs" / folder).rglob(pattern)):
            raise RuntimeError(f"DeepProfiler made no {pattern} in {folder}: see {self.log}")


def write_peer_project(
    root: Path, plates: Plates, settings: Settings, *, share: float, python: Path, checkpoint: Path
) -> PeerProject:
    """Write a project with the same sites as `write_project` does."""
    index, _ = plates.of_first_sites(share)
    for folder in ("inputs/config", "inputs/metadata", f"outputs/{EXPERIMENT}/checkpoint"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    index.to_csv(root / "inputs" / "metadata" / "index.csv", index=False)
    configuration = experiment(PROFILING, plates, settings, "png")
    del configuration["model"], configuration["prepare"]["compression"]["codec"]
    configuration["paths"] = {"images": f"{plates.images}/", "locations": f"{plates.locations}/"}
    text = json.dumps(configuration, indent=1)
    (root / "inputs" / "config" / "bench.json").write_text(text, encoding="utf-8")
    shutil.copy(checkpoint, root / "outputs" / EXPERIMENT / "checkpoint" / CHECKPOINT)
    return PeerProject(root, python)
