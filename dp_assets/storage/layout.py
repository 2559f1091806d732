"""Where everything lies in a project: the handbook's tree, with one place per asset under `outputs/`."""

from dataclasses import dataclass, field
from pathlib import Path

from upath import UPath

from dp_assets.config.folders import Folders
from dp_assets.config.project import DEFAULT_CACHE_GIGABYTES
from dp_assets.storage.atomic import is_local
from dp_assets.storage.places import place_at
from dp_assets.storage.read_cache import ReadCache
from dp_assets.storage.remote import LocalSide, make_known

SHARED_PLACES = {
    "image_index": "metadata/image_index",
    "plate_images": "metadata/plate_images",
    "image_quality": "metadata/image_quality",
    "plate_annotations": "metadata/plate_annotations",
    "plate_outlines": "metadata/plate_outlines",
    "cell_locations": "metadata/cell_locations",
    "illumination_functions": "intensities",
    "compressed_images": "compressed/images",
}
EXPERIMENT_PLACES = {"cell_features": "features"}
LOCAL_URLS = ("file://", "local://")


GIGABYTE = 10**9


@dataclass(frozen=True)
class CacheSettings:
    """What is kept on this machine of what was read from object stores.

    Attributes
    ----------
    folder : where; None for `.work/cache` in the project folder.
    gigabytes : how much at most; 0 for nothing.
    """

    folder: str | None = None
    gigabytes: float = DEFAULT_CACHE_GIGABYTES


@dataclass(frozen=True)
class ProjectLayout:
    """The folders of one project.

    Attributes
    ----------
    root : the project folder on this machine.
    store : where outputs lie, a path or any fsspec URL; `<root>/outputs` by default.
    folders : places of images, locations and index that are not the usual ones.
    """

    root: Path
    store: Path | UPath
    folders: Folders = field(default_factory=Folders)

    @classmethod
    def of(
        cls,
        root: Path,
        store: str | None = None,
        folders: Folders | None = None,
        cache: CacheSettings | None = None,
    ) -> "ProjectLayout":
        """The layout of the project at `root`; relative paths are taken from the project folder.

        What lies on an object store is read through the cache from here on, in this process.

        Raises
        ------
        ConfigurationError : a URL holds credentials, or the library for it is not installed.
        """
        layout = cls(root, _store(root, store), folders or Folders())
        layout._cache_what_is_remote(cache or CacheSettings())
        return layout

    def _cache_what_is_remote(self, settings: CacheSettings) -> None:
        limit = int(settings.gigabytes * GIGABYTE)
        folder = self.root / settings.folder if settings.folder else self.work / "cache"
        side = LocalSide(self.work / "uploads", ReadCache(folder, limit) if limit > 0 else None)
        for place in (self.store, self.images):
            if not is_local(place):
                make_known(UPath(place), side)

    def _place(self, given: str | None, usual: Path) -> Path | UPath:
        if given is None:
            return usual
        return place_at(given) if "://" in given else self.root / given

    @property
    def index(self) -> Path | UPath | None:
        """The image index, where it is not the one in the folder `metadata`."""
        return None if self.folders.index is None else self._place(self.folders.index, self.metadata)

    @property
    def metadata(self) -> Path:
        """The folder of the image index."""
        return self.root / "inputs" / "metadata"

    @property
    def images(self) -> Path | UPath:
        """The folder that image paths are relative to."""
        return self._place(self.folders.images, self.root / "inputs" / "images")

    @property
    def locations(self) -> Path | UPath:
        """The folder of cell locations."""
        return self._place(self.folders.locations, self.root / "inputs" / "locations")

    @property
    def config(self) -> Path:
        """The folder of experiment configurations."""
        return self.root / "inputs" / "config"

    @property
    def pretrained(self) -> Path:
        """The folder of weights brought from elsewhere."""
        return self.root / "inputs" / "pretrained"

    @property
    def work(self) -> Path:
        """Unfinished work, always on this machine."""
        return self.root / ".work"

    @property
    def dagster_home(self) -> Path:
        """The Dagster instance of this project."""
        return self.root / ".dagster"

    def place(self, asset: tuple[str, ...]) -> str:
        """Where an asset lies, relative to the store and without partition or file ending."""
        if len(asset) == 1:
            return SHARED_PLACES.get(asset[0], asset[0])
        return "/".join((*asset[:-1], EXPERIMENT_PLACES.get(asset[-1], asset[-1])))

    def work_folder(self, asset: tuple[str, ...], partition: str | None = None) -> Path:
        """The deterministic work folder of an asset, or of one plate of it."""
        return self.work.joinpath(*asset, *([partition] if partition else []))


def _store(root: Path, store: str | None) -> Path | UPath:
    if store is None:
        return UPath(root / "outputs")
    if store.startswith(LOCAL_URLS):
        # As a plain path, so that publishing renames instead of copying.
        return UPath(UPath(store).path)
    return place_at(store) if "://" in store else UPath(root / store)
