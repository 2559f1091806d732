"""The project as a resource: where things lie, how many cores to use, what to do with bad sites."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import dagster as dg
from pydantic import create_model
from upath import UPath

from dp_assets.config.checks import ChecksSettings
from dp_assets.config.errors import ConfigurationError
from dp_assets.config.folders import Folders
from dp_assets.config.project import DEFAULT_CACHE_GIGABYTES, MAXIMUM_IMAGE_PIXELS, PROJECT_FILE, Project
from dp_assets.config.validation import check_settings
from dp_assets.storage.folders import Folder, open_folder
from dp_assets.storage.index_file import IndexLocation, find_index
from dp_assets.storage.layout import CacheSettings, ProjectLayout
from dp_assets.storage.published import published_fingerprint
from dp_assets.storage.schemas import PLATE
from dp_assets.storage.tables import read_table
from dp_assets.storage.work import WorkFolder

TableT = TypeVar("TableT")


class ProjectResource(dg.ConfigurableResource):
    """Settings of the project that may be changed per run in the launchpad.

    Attributes
    ----------
    root : the project folder.
    store : where outputs lie (path or fsspec URL); empty for `<root>/outputs`.
    on_bad_site : "fail" (the plate fails when a site cannot be used, finished sites are kept) or "skip" (the
        plate completes without it and says so).
    cores : threads for reading and computing; 0 for all.
    maximum_image_pixels : larger images are refused before they are decoded.
    image_roots : folders outside `inputs/images` that may hold images.
    cache, cache_gigabytes : where copies of what was read from object stores lie, empty for `.work/cache`;
        and how much of it is kept, 0 for nothing.
    images, locations, index : where they lie, when not in `inputs`; empty for the usual places.
    checks : thresholds of checks that differ from the usual ones (section `checks` of project.yaml).
    """

    root: str
    store: str = ""
    on_bad_site: Literal["fail", "skip"] = "fail"
    cores: int = 0
    maximum_image_pixels: int = MAXIMUM_IMAGE_PIXELS
    image_roots: list[str] = []  # noqa: RUF012 (pydantic copies defaults)
    cache: str = ""
    cache_gigabytes: float = DEFAULT_CACHE_GIGABYTES
    images: str = ""
    locations: str = ""
    index: str = ""
    checks: dict[str, Any] = {}  # noqa: RUF012

    @classmethod
    def of(cls, project: Project) -> "ProjectResource":
        """The resource for a loaded project.

        The values become defaults of a class of its own: a run that overrides one of them keeps the others.
        Where the project and its store lie cannot be overridden: the IO managers would not follow.
        """
        settings = project.settings
        root, store = str(project.root), settings.store or ""
        fields: dict[str, Any] = {
            "root": (Literal[root], root),
            "store": (Literal[store], store),
            "on_bad_site": (Literal["fail", "skip"], settings.on_bad_site),
            "cores": (int, settings.cores or 0),
            "maximum_image_pixels": (int, settings.maximum_image_pixels),
            "image_roots": (list[str], list(settings.image_roots)),
            "cache": (str, settings.cache or ""),
            "cache_gigabytes": (float, float(settings.cache_gigabytes)),
            "images": (str, project.folders.images or ""),
            "locations": (str, project.folders.locations or ""),
            "index": (str, project.folders.index or ""),
            "checks": (dict[str, Any], _stated(settings.checks)),
        }
        fixed: Any = create_model(cls.__name__, __base__=cls, __doc__=cls.__doc__, **fields)
        return fixed()

    @property
    def layout(self) -> ProjectLayout:
        """Where everything lies."""
        folders = Folders(self.images or None, self.locations or None, self.index or None)
        return ProjectLayout.of(Path(self.root), self.store or None, folders, self.cache_settings)

    @property
    def cache_settings(self) -> CacheSettings:
        """What is kept on this machine of what was read from object stores."""
        return CacheSettings(self.cache or None, self.cache_gigabytes)

    @property
    def check_rules(self) -> ChecksSettings:
        """When checks fail, and what that does. Raises ConfigurationError for wrong settings of a run."""
        found = check_settings(ChecksSettings, self.checks, "checks", PROJECT_FILE)
        if found.settings is None:
            raise ConfigurationError(found.problems)
        return found.settings

    @property
    def workers(self) -> int:
        """How many threads a stage may use."""
        return self.cores or os.cpu_count() or 1

    def index_location(self) -> IndexLocation:
        """The index file and what its paths are relative to. Raises ImageIndexError when there is none."""
        index = self.layout.index or find_index(self.layout.metadata)
        return IndexLocation(index, self.layout.images, tuple(self.image_roots))

    def image_location(self) -> IndexLocation:
        """What image paths are relative to, without looking for the index."""
        return IndexLocation(self.layout.metadata / "index.csv", self.layout.images, tuple(self.image_roots))

    def path(self, asset: tuple[str, ...], partition: str | None = None, ending: str = "") -> UPath:
        """Where a result is published."""
        base = UPath(self.layout.store) / self.layout.place(asset)
        if partition is None:
            return base.parent / (base.name + ending)
        return base / (partition + ending)

    def listed_plates(self) -> set[str] | None:
        """The plates of the published image index; None when there is none."""
        try:
            index = read_table(self.path(("image_index",), None, ".parquet"), [PLATE])
        except FileNotFoundError:
            return None
        return set(index[PLATE].to_pylist())

    def in_index(self, tables: Mapping[str, TableT]) -> dict[str, TableT]:
        """Of tables by plate those that the index still lists; all of them when that is not known."""
        listed = self.listed_plates()
        return {plate: table for plate, table in tables.items() if listed is None or plate in listed}

    def work(self, context: dg.AssetExecutionContext) -> WorkFolder:
        """The work folder of the asset (and plate) that is being made."""
        partition = context.partition_key if context.has_partition_key else None
        return WorkFolder(self.layout.work_folder(tuple(context.asset_key.path), partition))

    def is_current(self, context: dg.AssetExecutionContext, ending: str, fingerprint: str) -> bool:
        """Whether what is published was made from the same things, so that nothing needs computing."""
        partition = context.partition_key if context.has_partition_key else None
        return (
            published_fingerprint(self.path(tuple(context.asset_key.path), partition, ending)) == fingerprint
        )

    def published_folder(self, context: dg.AssetExecutionContext) -> Folder:
        """The folder published for this asset (and plate)."""
        partition = context.partition_key if context.has_partition_key else None
        return open_folder(self.path(tuple(context.asset_key.path), partition))

    def site_options(self, context: dg.AssetExecutionContext) -> dict:
        """Keyword arguments common to all stages that go through a plate's sites."""
        return {
            "work": self.work(context),
            "workers": self.workers,
            "on_bad_site": self.on_bad_site,
            "maximum_pixels": self.maximum_image_pixels,
        }


def _stated(checks: ChecksSettings | None) -> dict[str, Any]:
    """The settings that differ from the usual ones, so that the launchpad shows no others."""
    return {} if checks is None else checks.model_dump(mode="json", exclude_defaults=True)
