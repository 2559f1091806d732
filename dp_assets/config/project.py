"""One project folder: its settings, its experiments, and why an experiment is missing."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from dp_assets.config.automation import AutomationSettings, EmailSettings, NotifySettings, SlackSettings
from dp_assets.config.checks import ChecksSettings
from dp_assets.config.errors import ConfigurationError, Problem
from dp_assets.config.experiment import Experiment, load_experiment
from dp_assets.config.fields import AnyCase, Name, Number, Section, WholeNumber
from dp_assets.config.folders import Folders, with_legacy_paths
from dp_assets.config.names import lane_name_problem
from dp_assets.config.overrides import Overrides
from dp_assets.config.places import place_problem
from dp_assets.config.reading import ENDINGS, read_document
from dp_assets.config.sharing import crop_set_conflict, disagreements
from dp_assets.config.validation import check_settings, nearest_name, section_data

CONFIG_FOLDER = Path("inputs") / "config"
PROJECT_FILE = "project.yaml"
# 16,384 x 16,384: above every camera, below what would fill the memory of a small machine
MAXIMUM_IMAGE_PIXELS = 2**28
DEFAULT_CACHE_GIGABYTES = 20.0


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


class ProjectSettings(Section):
    """``project.yaml``: settings of the whole project; every one may be left out.

    ``store`` is a folder or an fsspec URL, None for ``outputs`` in the project folder.
    ``cores`` None means all.
    """

    image_roots: Annotated[tuple[Name, ...], BeforeValidator(_one_or_more)] = Field(
        default=(),
        description="the folders outside inputs/images that may hold images",
        examples=[["/data/screens"]],
    )
    images: Name | None = Field(
        default=None,
        description="the folder that image paths are relative to, instead of inputs/images",
        examples=["/data/screen/images"],
    )
    locations: Name | None = Field(
        default=None,
        description="the folder of cell locations, instead of inputs/locations",
        examples=["/data/screen/locations"],
    )
    index: Name | None = Field(
        default=None,
        description="the image index, instead of inputs/metadata/index.csv",
        examples=["inputs/metadata/index-000.csv"],
    )
    store: str | None = Field(
        default=None,
        min_length=1,
        description="where outputs go, a folder or URL",
        examples=["s3://bucket/project"],
    )
    cache: Name | None = Field(
        default=None,
        description="the folder for copies of what was read from object stores, instead of .work/cache",
        examples=["/scratch/dp-cache"],
    )
    cache_gigabytes: Number = Field(
        default=DEFAULT_CACHE_GIGABYTES,
        ge=0,
        description="the size of these copies in gigabytes, 0 for none",
        examples=[100],
    )
    on_bad_site: Annotated[Literal["fail", "skip"], AnyCase] = Field(
        default="fail", description='"fail" or "skip", for plates with unreadable images', examples=["skip"]
    )
    cores: WholeNumber | None = Field(
        default=None, ge=1, description="the number of CPU cores to use", examples=[8]
    )
    maximum_image_pixels: WholeNumber = Field(
        default=MAXIMUM_IMAGE_PIXELS,
        ge=1,
        description="the largest image read, in pixels",
        examples=[100_000_000],
    )
    automation: AutomationSettings = Field(
        default=AutomationSettings(),
        description="a section that says what runs by itself",
        examples=[{"nightly": "0 2 * * *"}],
    )
    checks: ChecksSettings | None = Field(
        default=None,
        description="when checks of results fail, and what their failing does",
        examples=[{"severity": {"wells_in_one_split": "warn"}}],
    )


# All sections of the file, for keys that nobody knows
PROJECT_SECTIONS: dict[str, type[Section]] = {
    "": ProjectSettings,
    "automation": AutomationSettings,
    "automation.notify": NotifySettings,
    "automation.notify.slack": SlackSettings,
    "automation.notify.email": EmailSettings,
    "checks": ChecksSettings,
}


@dataclass(frozen=True)
class Project:
    """A project as it stands.

    Attributes
    ----------
    root : the project folder.
    settings : of ``project.yaml``, or defaults.
    experiments : the usable experiments by name, sorted.
    broken : for every other configuration file, by file name, all that is wrong with it.
    reference : the experiment whose ``dataset`` and ``prepare`` are everybody's; None when no experiment
        starts from images.
    folders : places of images, locations and index that are not the usual ones.
    doubts : places that the section ``paths`` names and that do not count.
    """

    root: Path
    settings: ProjectSettings
    experiments: dict[str, Experiment] = field(default_factory=dict)
    broken: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    reference: Experiment | None = None
    folders: Folders = field(default_factory=Folders)
    doubts: tuple[Problem, ...] = ()


def load_project(root: Path | str, *, strict: bool = False, overrides: Overrides | None = None) -> Project:
    """Read the settings of a project folder and all its experiments.

    Experiments are the .json, .yaml and .yml files in ``inputs/config``. One that
    cannot be used is listed in ``broken`` and spoils nothing else.

    Parameters
    ----------
    root : the project folder.
    strict : treat unknown and repeated keys of experiments as problems.
    overrides : keys of experiments set for this run only.

    Raises
    ------
    ConfigurationError
        The folder is missing, ``project.yaml`` is wrong, or an override sets an unknown key.
    """
    root = Path(root)
    if not root.is_dir():
        raise ConfigurationError(
            "there is no such project folder",
            where=str(root),
            remedy="Check the path, or set up a project there.",
        )
    if overrides is not None:
        overrides.check()
    settings = _read_project_settings(root / PROJECT_FILE)
    experiments, broken = _read_experiments(root / CONFIG_FOLDER, strict, overrides)
    with_images = [experiment for experiment in experiments if not experiment.has_features]
    reference = next((e for e in with_images if e.path.stem.lower() == "config"), None)
    reference = reference or next(iter(with_images), None)
    if reference is not None:
        experiments = _agreeing(experiments, reference, broken)
    folders = Folders(settings.images, settings.locations, settings.index)
    doubts: tuple[Problem, ...] = ()
    if reference is not None:
        data, file = reference.document.data, str(reference.path)
        folders, doubts = with_legacy_paths(folders, data, file, root, settings.image_roots)
    return Project(
        root,
        settings,
        {e.name: e for e in experiments},
        dict(sorted(broken.items())),
        reference,
        folders,
        doubts,
    )


def _read_project_settings(path: Path) -> ProjectSettings:
    if not path.exists():
        return ProjectSettings()
    document = read_document(path, may_be_empty=True)
    problems = list(document.warnings)
    for section, model in PROJECT_SECTIONS.items():
        values, _ = section_data(document.data, section, str(path)) if section else (document.data, None)
        known = list(model.model_fields)
        for key in (str(key) for key in values or {} if key not in known):
            near = nearest_name(key, known)
            remedy = f'Did you mean "{near}"?' if near else f"Known here: {', '.join(known)}."
            where = f"{section}.{key}".lstrip(".")
            problems.append(Problem(f'unknown key "{key}"', f"{path}: {where}", remedy))
    reading = check_settings(ProjectSettings, document.data, "", str(path))
    if reading.settings is not None:
        problems += _place_problems(reading.settings, path)
    if reading.settings is None or problems:
        raise ConfigurationError([*problems, *reading.problems])
    return reading.settings


def _place_problems(settings: ProjectSettings, path: Path) -> list[Problem]:
    """URLs that hold credentials, or whose library is not installed."""
    named = {name: getattr(settings, name) for name in ("store", "images", "locations", "index")}
    places = [(name, place) for name, place in named.items() if place is not None]
    places += [("image_roots", place) for place in settings.image_roots]
    found = [place_problem(place, f"{path}: {name}") for name, place in places]
    return [problem for problem in found if problem is not None]


def _read_experiments(
    folder: Path, strict: bool, overrides: Overrides | None
) -> tuple[list[Experiment], dict[str, tuple[Problem, ...]]]:
    """The experiments usable by themselves, sorted by name; what is wrong with the others, by file name."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    files = [
        f for f in files if f.suffix.lower() in ENDINGS and not f.name.startswith(".") and not f.is_dir()
    ]
    read: list[Experiment] = []
    broken: dict[str, tuple[Problem, ...]] = {}
    for file in files:
        try:
            read.append(load_experiment(file, strict=strict, overrides=overrides))
        except ConfigurationError as error:
            broken[file.name] = error.problems
    usable = []
    for experiment in read:
        problems = (*_name_problems(experiment, read), *_stage_problems(experiment))
        if problems:
            broken[experiment.path.name] = problems
        else:
            usable.append(experiment)
    return sorted(usable, key=lambda e: e.name), broken


def _name_problems(experiment: Experiment, read: list[Experiment]) -> list[Problem]:
    reserved = lane_name_problem(experiment.name, str(experiment.path))
    same = [e.path.name for e in read if e.name == experiment.name and e is not experiment]
    problems = [] if reserved is None else [reserved]
    if same:
        what = f'the name "{experiment.name}" is also that of {", ".join(same)}'
        problems.append(Problem(what, str(experiment.path), "Rename or remove all but one of these files."))
    return problems


def _stage_problems(experiment: Experiment) -> list[Problem]:
    if not experiment.stages:
        remedy = "Add at least dataset and profile; start from an example configuration."
        return [Problem("the file describes nothing to do", str(experiment.path), remedy)]
    problems = [problem for stage in experiment.stages for problem in experiment.problems(stage)]
    return list(dict.fromkeys(problems))


def _agreeing(
    experiments: list[Experiment], reference: Experiment, broken: dict[str, tuple[Problem, ...]]
) -> list[Experiment]:
    """The experiments that agree with the reference and, on sets of crops, with those before them."""
    agreeing: list[Experiment] = []
    for experiment in sorted(experiments, key=lambda e: e is not reference):
        if experiment.has_features:
            agreeing.append(experiment)
            continue
        problems = disagreements(experiment, reference) if experiment is not reference else []
        conflicts = [
            crop_set_conflict(experiment, other)
            for other in agreeing
            if experiment.has_crops and other.has_crops
        ]
        problems += [conflict for conflict in conflicts if conflict is not None]
        if problems:
            broken[experiment.path.name] = tuple(problems)
        else:
            agreeing.append(experiment)
    return sorted(agreeing, key=lambda e: e.name)
