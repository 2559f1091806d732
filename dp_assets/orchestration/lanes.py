"""The asset graph of a project: shared assets once, a lane of assets per experiment."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg

from dp_assets.config.checks import ChecksSettings
from dp_assets.config.errors import Problem
from dp_assets.config.experiment import Experiment
from dp_assets.config.project import Project
from dp_assets.config.sections import ImagesSettings
from dp_assets.config.stages import CropSettings, Stage
from dp_assets.imaging import basic
from dp_assets.orchestration.assets.comparison import comparison_asset
from dp_assets.orchestration.assets.corrected_profiles import corrected_sites_asset, profiles_asset
from dp_assets.orchestration.assets.correction_sweep import correction_sweep_asset
from dp_assets.orchestration.assets.evaluation import evaluation_asset
from dp_assets.orchestration.assets.experiment_features import cell_features_asset
from dp_assets.orchestration.assets.experiment_model import trained_model_asset, training_set_asset
from dp_assets.orchestration.assets.external_profiles import external_profiles_asset
from dp_assets.orchestration.assets.image_quality import image_quality_asset
from dp_assets.orchestration.assets.plate_outlines import plate_outlines_asset
from dp_assets.orchestration.assets.plate_profiles import site_profiles_asset, well_profiles_asset
from dp_assets.orchestration.assets.plates import image_index_asset, plate_assets
from dp_assets.orchestration.assets.preparation import preparation_assets
from dp_assets.orchestration.assets.profile_map import profile_map_asset
from dp_assets.orchestration.assets.single_cells import PREFIX, single_cells_asset
from dp_assets.orchestration.assets.treatment_profiles import similarity_asset, treatment_profiles_asset
from dp_assets.orchestration.grey_levels import needs_plate_statistics


@dataclass
class ProjectGraph:
    """The assets of a project by what they are for.

    Attributes
    ----------
    assets : all of them.
    stages : job name -> asset keys it makes.
    missing : experiment file -> why its lane is missing.
    lanes : experiment -> job name -> asset keys that it needs of that job; shared ones too.
    """

    assets: list[dg.AssetsDefinition] = field(default_factory=list)
    stages: dict[str, list[dg.AssetKey]] = field(default_factory=dict)
    missing: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    lanes: dict[str, dict[str, list[dg.AssetKey]]] = field(default_factory=dict)

    def add(self, stage: str, *assets: dg.AssetsDefinition) -> None:
        """Add assets that the job `stage` makes."""
        self.assets += assets
        self.stages.setdefault(stage, []).extend(key for asset in assets for key in asset.keys)


def project_graph(project: Project) -> ProjectGraph:
    """Build the assets of a project. An experiment that cannot be used has no lane; `missing` says why."""
    graph = ProjectGraph(missing=dict(project.broken))
    reference = project.reference
    lanes = {}
    for experiment in project.experiments.values():
        problems = unavailable(experiment)
        if problems:
            graph.missing[experiment.path.name] = problems
        else:
            lanes[experiment.name] = experiment
    images = reference.sections.images.settings if reference is not None else None
    if images is None:
        if not lanes:
            graph.add("index", image_index_asset(()))
    else:
        _add_images(graph, project, lanes, images)
    for experiment in lanes.values():
        others = [other for other in lanes.values() if other.has_profile and other is not experiment]
        _add_lane(graph, experiment, others, project.root, project.settings.checks or ChecksSettings())
    scored = [experiment for experiment in lanes.values() if experiment.is_scored]
    if len(scored) > 1:
        graph.add("evaluate", comparison_asset(scored))
    graph.lanes = {name: _needed(graph, experiment) for name, experiment in lanes.items()}
    return graph


def _add_images(
    graph: ProjectGraph, project: Project, lanes: dict[str, Experiment], images: ImagesSettings
) -> None:
    """What all experiments that start from images share."""
    graph.add("index", image_index_asset(images.channels))
    rules = project.settings.checks or ChecksSettings()
    metadata = project.reference.sections.metadata.settings if project.reference is not None else None
    graph.add("prepare", *plate_assets(images, rules, metadata), image_quality_asset(images.channels, rules))
    if any(_masks_cells(experiment) for experiment in lanes.values()):
        graph.add("prepare", plate_outlines_asset())
    described = [e.preparation() for e in project.experiments.values() if e.has_preparation]
    # The one that also compresses, where an experiment describes illumination only.
    described.sort(key=lambda settings: settings.compression is None)
    if described:
        graph.add("prepare", *preparation_assets(described[0], rules))
    _add_crop_sets(graph, lanes, rules)


def _needed(graph: ProjectGraph, experiment: Experiment) -> dict[str, list[dg.AssetKey]]:
    """What an experiment needs of every job: all of the plates' own assets, its crop set, its lane."""
    crops = experiment.crops() if Stage.CROPS in experiment.stages else None
    own = {experiment.name} if crops is None else {experiment.name, f"{PREFIX}/{crops.set_name}"}
    shared = () if experiment.has_features else ("index", "prepare")
    return {
        stage: [key for key in keys if stage in shared or key.path[0] in own or key.to_user_string() in own]
        for stage, keys in graph.stages.items()
    }


def _masks_cells(experiment: Experiment) -> bool:
    return Stage.CROPS in experiment.stages and experiment.crops().locations.mask_objects


def _add_crop_sets(graph: ProjectGraph, lanes: dict[str, Experiment], rules: ChecksSettings) -> None:
    """One crop store asset per set; experiments with the same geometry share it."""
    made: set[str] = set()
    for experiment in lanes.values():
        if Stage.CROPS not in experiment.stages:
            continue
        settings = experiment.crops()
        if settings.set_name not in made:
            made.add(settings.set_name)
            metadata = experiment.sections.metadata.settings
            label = metadata.label_field if metadata is not None else None
            graph.add("export_single_cells", single_cells_asset(settings, label, rules))


def _add_lane(
    graph: ProjectGraph,
    experiment: Experiment,
    others: Sequence[Experiment],
    root: Path,
    rules: ChecksSettings,
) -> None:
    """The assets of an experiment; `others` have features, too."""
    if experiment.has_training:
        graph.add("train", training_set_asset(experiment, rules))
    if experiment.has_training or experiment.has_profile:
        graph.add("train", trained_model_asset(experiment, rules))
    if experiment.has_profile:
        graph.add("profile", cell_features_asset(experiment, rules, others))
        graph.add("profile", site_profiles_asset(experiment), well_profiles_asset(experiment))
    if experiment.has_features:
        graph.add("evaluate", external_profiles_asset(experiment, str(root)))
    if experiment.is_scored:
        graph.add("evaluate", *_scoring_assets(experiment, str(root), rules))


def _scoring_assets(experiment: Experiment, root: str, rules: ChecksSettings) -> list[dg.AssetsDefinition]:
    made = [
        corrected_sites_asset(experiment, root, rules),
        profiles_asset(experiment, root, rules),
        treatment_profiles_asset(experiment),
        similarity_asset(experiment),
        profile_map_asset(experiment),
        evaluation_asset(experiment),
    ]
    if experiment.scoring().profiles.correction.method != "none":
        made.append(correction_sweep_asset(experiment, root))
    return made


def unavailable(experiment: Experiment) -> tuple[Problem, ...]:
    """What the experiment asks for that does not go together."""
    found = []
    crops = experiment.crops() if Stage.CROPS in experiment.stages else None
    if crops is not None and crops.locations.mode == "full_image":
        found += _full_image_problems(experiment, crops)
    if crops is not None and needs_plate_statistics(crops) and not experiment.has_preparation:
        found.append(
            Problem(
                'normalization "plate" needs grey-level statistics, but there is no section prepare',
                f"{experiment.path}: single_cells.normalization",
                "add prepare.illumination_correction and prepare.compression (implement: false will do)",
            )
        )
    if experiment.has_preparation and experiment.preparation().illumination.method == "basic":
        found.append(replace(basic.UNAVAILABLE, where=f"{experiment.path}: {basic.UNAVAILABLE.where}"))
    return tuple(found)


def _full_image_problems(experiment: Experiment, crops: CropSettings) -> list[Problem]:
    found = []
    locations = crops.locations
    if locations.mask_objects:
        found.append(
            Problem(
                "mask_objects is true, but in full_image mode there is no cell to mask",
                f"{experiment.path}: dataset.locations.mask_objects",
                'set it to false, or use the mode "single_cells"',
            )
        )
    if crops.single_cells.sampling == "exact" and locations.view_size != locations.box_size:
        found.append(
            Problem(
                f'sampling is "exact", whole pixels, but windows of {locations.view_size} pixels '
                f"are resized to {locations.box_size}",
                f"{experiment.path}: single_cells.sampling",
                'write "sampling": "original", or a view_size equal to box_size',
            )
        )
    return found
