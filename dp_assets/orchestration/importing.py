"""Other programs' results brought into a project, and made known to its Dagster instance."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
import pyarrow as pa
from upath import UPath

from dp_assets.config.errors import ConfigurationError, ProjectError
from dp_assets.config.names import asked_lane, lane_name_problem
from dp_assets.config.overrides import Overrides
from dp_assets.config.project import load_project
from dp_assets.interchange.crop_list import CropList
from dp_assets.interchange.crops_import import import_crops
from dp_assets.interchange.strip_format import StripFormat
from dp_assets.orchestration.assets.single_cells import PREFIX
from dp_assets.orchestration.code_location import definitions_of
from dp_assets.orchestration.crop_inputs import crop_geometry
from dp_assets.orchestration.lanes import project_graph
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.stage_runner import project_instance, run_stage
from dp_assets.storage.folders import publish_folder
from dp_assets.storage.index_file import read_index
from dp_assets.storage.published import published_fingerprint
from dp_assets.storage.work import WorkFolder

FEATURES_FOLDER = "imported_features"
DATA_VERSION = "dagster/data_version"
Progress = Callable[[int, int], None]


class ProjectImports:
    """Where imported results go.

    Parameters
    ----------
    root : the project folder.

    Raises
    ------
    ConfigurationError : `project.yaml` is wrong.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = load_project(root, overrides=Overrides.from_environment(os.environ))
        self.resource = ProjectResource.of(self.project)

    def index(self) -> pa.Table:
        """inputs/metadata/index.csv, its names checked. Raises ImageIndexError with every problem."""
        return read_index(self.resource.index_location(), ())

    def features_folder(self, experiment: str) -> UPath:
        """Where imported features go unless another place is named: `outputs/<name>/imported_features`.

        Raises
        ------
        ConfigurationError : the name is that of something else.
        """
        name = asked_lane(experiment)
        problem = lane_name_problem(name, "--experiment")
        if problem is not None:
            raise ConfigurationError([problem])
        return UPath(self.resource.layout.store) / name / FEATURES_FOLDER

    def channels(self) -> tuple[str, ...]:
        """Names of the channels in the order of the project's experiments.

        Raises
        ------
        ConfigurationError : the project has no experiment yet.
        """
        reference = self.project.reference
        images = reference.sections.images.settings if reference is not None else None
        if images is None:
            raise ConfigurationError(
                "the project has no experiment that names the channels of the crops",
                where=str(self.root / "inputs" / "config"),
                remedy="write one with dataset.images.channels, in the order of the squares of a strip",
            )
        return images.channels

    def require_geometry(self, set_name: str, form: StripFormat) -> None:
        """Compare the strips with the experiments that name this set.

        Raises
        ------
        ConfigurationError : one of them cuts its crops in another way, so it could not be trained on these.
        """
        for experiment in self.project.experiments.values():
            if not experiment.has_crops or experiment.crops().set_name != set_name:
                continue
            settings = experiment.crops()
            agrees = crop_geometry(settings) == form.geometry
            if not agrees or settings.locations.mask_objects != form.has_mask:
                raise ConfigurationError(
                    f"the crops of set {set_name} are cut in another way than those of the dataset",
                    where=str(experiment.path),
                    remedy=f"write {settings_for(set_name, form)}",
                )

    def import_plate(
        self,
        crops: CropList,
        plate: str,
        set_name: str,
        form: StripFormat,
        *,
        skip_missing: bool,
        progress: Progress,
    ) -> tuple[int, int, bool]:
        """Read the strips of a plate and publish them as `single_cells/<set>`.

        Returns
        -------
        Cells in the store; cells left out because their image is missing; whether the same store was there.

        Raises
        ------
        ImageFileError : strips that cannot be used.
        AtWorkError : a run is working on the same crops.
        """
        asset = (PREFIX, set_name)
        place = self.resource.path(asset, plate)
        with WorkFolder(self.resource.layout.work_folder(asset, plate)).locked() as work:
            found = import_crops(
                crops,
                plate,
                form,
                work=work,
                workers=self.resource.workers,
                skip_missing=skip_missing,
                progress=progress,
            )
            kept = published_fingerprint(place) == found.writer.fingerprint
            if not kept:
                publish_folder(place, found.writer)
            found.writer.finished()
        if not kept:
            self._tell_dagster(asset, plate, found.writer.fingerprint, found.cells, crops.path)
        return found.cells, found.missing, kept

    def make_labels(self, plates: Sequence[str]) -> None:
        """Materialize image_index and the annotations of these plates: what training needs beside crops.

        The images themselves need not be there.

        Raises
        ------
        ProjectError : one of them cannot be made; the message says why.
        """
        graph = project_graph(self.project)
        defs = definitions_of(self.project, graph)
        todo: list[tuple[str, str | None]] = [("image_index", None)]
        todo += [("plate_annotations", plate) for plate in plates]
        with project_instance(self.root) as instance:
            for name, plate in todo:
                done = run_stage(
                    defs, instance, [dg.AssetKey(name)], "import", plate, force=False, verbose=False
                )
                if not done.succeeded:
                    raise ProjectError(
                        "; ".join(done.messages) or "it cannot be made",
                        where=f"{name} {plate or ''}".strip(),
                        remedy="put this right, then run the import again",
                    )

    def _tell_dagster(
        self, asset: tuple[str, ...], plate: str, fingerprint: str, cells: int, source: Path
    ) -> None:
        """Record the import as a materialization, so that what depends on the crops knows their version."""
        with project_instance(self.root) as instance:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    dg.AssetKey(list(asset)),
                    partition=plate,
                    description=f"imported from {source}",
                    metadata={"cells": cells, "imported_from": dg.MetadataValue.path(str(source))},
                    tags={DATA_VERSION: fingerprint},
                )
            )


def settings_for(set_name: str, form: StripFormat) -> str:
    """The settings of an experiment that trains on imported crops."""
    mask = ', "mask_objects": true' if form.has_mask else ""
    return (
        f'"dataset": {{"locations": {{"box_size": {form.box_size}{mask}}}}} and '
        f'"single_cells": {{"name": "{set_name}", "sampling": "exact", "margin": 0}}'
    )
