"""Where everything lies in a project: the handbook's tree, with one place per asset under `outputs/`."""

from dataclasses import dataclass, field
from pathlib import Path

from upath import UPath

from dp_assets.config.folders import Folders

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
    def of(cls, root: Path, store: str | None = None, folders: Folders | None = None) -> "ProjectLayout":
        """The layout of the project at `root`; relative paths are taken from the project folder."""
        folders = folders or Folders()
        if store is None:
            return cls(root, UPath(root / "outputs"), folders)
        if store.startswith(LOCAL_URLS):
            # As a plain path, so that publishing renames instead of copying.
            return cls(root, UPath(UPath(store).path), folders)
        return cls(root, UPath(store) if "://" in store else UPath(root / store), folders)

    def _place(self, given: str | None, usual: Path) -> Path | UPath:
        if given is None:
            return usual
        return UPath(given) if "://" in given else self.root / given

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
