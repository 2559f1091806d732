"""What a project has published, gathered for export to other programs' formats."""

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from dp_assets.config.errors import ProjectError, StoreError
from dp_assets.config.experiment import Experiment
from dp_assets.config.names import asked_lane
from dp_assets.config.overrides import Overrides
from dp_assets.config.project import Project, load_project
from dp_assets.imaging.full_image import grid_cells
from dp_assets.interchange.crops_export import CropExport
from dp_assets.interchange.features_export import FeatureExport
from dp_assets.interchange.sc_metadata import CropLabels
from dp_assets.interchange.site_files import Naming
from dp_assets.orchestration.assets.single_cells import PREFIX
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.storage.crop_store import CropStore
from dp_assets.storage.folders import MANIFEST
from dp_assets.storage.model_folder import ModelFolder
from dp_assets.storage.schemas import CELL_KEY, CENTER_X, CENTER_Y, PLATE, SITE, WELL
from dp_assets.storage.tables import StoredTable, read_table

FEATURES_FOLDER = "features_npz"
CROPS_FOLDER = "single_cells_png"


class PublishedResults:
    """The published results of a project.

    Parameters
    ----------
    root : the project folder.

    Raises
    ------
    ConfigurationError : `project.yaml` is wrong. Wrong experiment files do not matter here.
    """

    def __init__(self, root: Path) -> None:
        self.project: Project = load_project(root, overrides=Overrides.from_environment(os.environ))
        self.resource = ProjectResource.of(self.project)

    def features_folder(self, experiment: str) -> UPath:
        """Where exported features go unless another place is named: `outputs/<experiment>/features_npz`."""
        return UPath(self.resource.layout.store) / asked_lane(experiment) / FEATURES_FOLDER

    def crops_folder(self, set_name: str) -> UPath:
        """Where exported crops go unless another place is named: `outputs/single_cells_png/<set>`."""
        return UPath(self.resource.layout.store) / CROPS_FOLDER / set_name

    def feature_plates(self, experiment: str, wanted: Sequence[str]) -> list[str]:
        """The plates with features of an experiment, or those of them that are wanted.

        Raises
        ------
        StoreError : there are none, or not of a plate that is wanted.
        """
        folder = self.resource.path((asked_lane(experiment), "cell_features"))
        present = [path.stem for path in folder.glob("*.parquet")] if folder.exists() else []
        return _chosen(present, wanted, f"{asked_lane(experiment)}/cell_features", folder)

    def crop_plates(self, set_name: str, wanted: Sequence[str]) -> list[str]:
        """The plates with crops of a set, or those of them that are wanted. Raises as `feature_plates`."""
        folder = self.resource.path((PREFIX, set_name))
        present = [path.parent.name for path in folder.glob(f"*/{MANIFEST}")] if folder.exists() else []
        return _chosen([name for name in present if name[:1] != "."], wanted, f"{PREFIX}/{set_name}", folder)

    def index(self) -> pa.Table:
        """The published image index. Raises StoreError when there is none."""
        return self._table("image_index", None)

    def feature_export(self, experiment: str, plate: str, naming: Naming) -> FeatureExport:
        """What the features of a plate are exported from.

        Raises
        ------
        StoreError : the locations or the index are not there.
        """
        name = asked_lane(experiment)
        index = self.index()
        view_size = _view_size(self.project.experiments.get(name))
        locations = (
            self._table("cell_locations", plate)
            if view_size is None
            else _grid_locations(self._table("plate_images", plate), view_size)
        )
        return FeatureExport(
            plate,
            StoredTable(self.resource.path((name, "cell_features"), plate, ".parquet")),
            locations,
            index.filter(pc.equal(index[PLATE], plate)),
            naming,
        )

    def crop_labels(self, set_name: str, label: str | None, split: str | None) -> CropLabels:
        """The classes and splits of exported crops.

        Columns that are not named are those of the first experiment that is trained on the set.

        Raises
        ------
        ProjectError : no experiment says which columns to take.
        ImageIndexError : the index has no such columns.
        """
        partition = next(
            (
                experiment.training().partition
                for experiment in self.project.experiments.values()
                if experiment.has_training and experiment.crops().set_name == set_name
            ),
            None,
        )
        label = label or (partition.targets[0] if partition is not None else None)
        split = split or (partition.split_field if partition is not None else None)
        if label is None or split is None:
            raise ProjectError(
                f"no experiment is trained on the set {set_name}, so classes and splits are not known",
                where="--label and --split",
                remedy="name the columns of the image index that hold them",
            )
        return CropLabels.of_index(self.index(), label, split)

    def crop_export(self, set_name: str, plate: str, labels: CropLabels) -> CropExport:
        """What the crops of a plate are exported from. Raises StoreError when the store is damaged."""
        store = CropStore.open(self.resource.path((PREFIX, set_name), plate))
        try:
            locations = self._table("cell_locations", plate)
        except StoreError:
            # Views of whole images have no locations file, and imported crops need none.
            locations = None
        return CropExport(plate, store, locations, labels)

    def model_folder(self, experiment: str) -> Path:
        """The published model of an experiment, on this machine. Raises StoreError when there is none."""
        place = self.resource.path((asked_lane(experiment), "trained_model"))
        try:
            return ModelFolder.open(place).local_path(self.resource.layout.work / "models")
        except FileNotFoundError as error:
            raise StoreError(
                f"experiment {experiment} has no model",
                where=str(place),
                remedy="run `dp-assets run train` first, or correct the name",
            ) from error

    def _table(self, name: str, plate: str | None) -> pa.Table:
        path = self.resource.path((name,), plate, ".parquet")
        try:
            return read_table(path)
        except FileNotFoundError as error:
            of_plate = f" for plate {plate}" if plate else ""
            stage = "prepare" if plate else "index"
            raise StoreError(
                f"{name} is not there{of_plate}",
                where=str(path),
                remedy=f"materialize {name}{of_plate} first (`dp-assets run {stage}`)",
            ) from error


def _chosen(present: Sequence[str], wanted: Sequence[str], asset: str, folder: UPath) -> list[str]:
    missing = [plate for plate in wanted if plate not in present]
    if missing or not present:
        raise StoreError(
            f"{asset} is not there"
            + (f" for {', '.join(missing)}" if missing and present else "")
            + f"; plates that have it: {', '.join(sorted(present)) or 'none'}",
            where=str(folder),
            remedy=f"materialize {asset} first (`dp-assets run all`), or correct the names",
        )
    return list(dict.fromkeys(wanted)) if wanted else sorted(present)


def _view_size(experiment: Experiment | None) -> int | None:
    """The size of the windows in full-image mode; None for cells."""
    if experiment is None or not experiment.has_crops:
        return None
    locations = experiment.crops().locations
    return locations.view_size if locations.mode == "full_image" else None


def _grid_locations(plate_images: pa.Table, view_size: int) -> pa.Table:
    """The windows of a full-image experiment as locations of cells."""
    columns: dict[str, list] = {name: [] for name in (*CELL_KEY, CENTER_X, CENTER_Y)}
    sites = {(row[WELL], row[SITE]): row for row in plate_images.to_pylist() if row["problem"] is None}
    for (well, site), row in sites.items():
        windows = grid_cells((row["height"], row["width"]), view_size)
        for name, (y, x) in zip(windows.names, windows.centres.tolist(), strict=True):
            for column, value in zip(columns, (row[PLATE], well, site, name, x, y), strict=True):
                columns[column].append(value)
    kinds = {name: pa.string() for name in CELL_KEY} | {CENTER_X: pa.float64(), CENTER_Y: pa.float64()}
    return pa.table({name: pa.array(values, kinds[name]) for name, values in columns.items()})
