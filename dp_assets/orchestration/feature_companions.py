"""Which experiments' features of a plate are computed in the same pass over its images.

The step that makes an experiment's features of a plate looks for others that the same run will make later
from the same crops. It keeps their features as finished units in their own work folders, where their own
steps find them. Whatever goes wrong with an experiment that comes along is said in the log, and met again by
its own step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from dp_assets.config.experiment import Experiment
from dp_assets.config.stages import ProfilingSettings
from dp_assets.orchestration.accelerator_resource import AcceleratorResource
from dp_assets.orchestration.crop_inputs import image_inputs
from dp_assets.orchestration.feature_extractors import MODELS_OPEN, extractor_loader
from dp_assets.orchestration.feature_inputs import (
    MODEL,
    checkpoint_of,
    feature_inputs,
    feature_plan,
    features_key,
)
from dp_assets.orchestration.grey_levels import ILLUMINATION
from dp_assets.orchestration.outputs import StoredIllumination
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.steps_to_come import is_forced, steps_to_come
from dp_assets.profiling.feature_plan import FeaturePlan
from dp_assets.storage.earlier_units import take_over
from dp_assets.storage.image_sites import ImageSite
from dp_assets.storage.model_folder import ModelFolder
from dp_assets.storage.published import published_fingerprint
from dp_assets.storage.tables import StoredTable
from dp_assets.storage.work import WorkFolder

if TYPE_CHECKING:
    from dp_assets.profiling.shared_pass import Companion


@contextmanager
def companions_of(
    context: dg.AssetExecutionContext,
    experiment: Experiment,
    others: Sequence[Experiment],
    plan: FeaturePlan,
    inputs: Mapping[str, Any],
    project: ProjectResource,
    accelerator: AcceleratorResource,
) -> Iterator[Callable[[Sequence[ImageSite]], list["Companion"]]]:
    """A function for `extract_plate` that finds an experiment's companions; their locks are held meanwhile.

    Parameters
    ----------
    experiment : whose step this is.
    others : all other experiments with features.
    plan, inputs : what the features of `experiment` are made from.
    """

    def find(sites: Sequence[ImageSite]) -> list["Companion"]:
        found: list[Companion] = []
        to_come = steps_to_come(context) if others else set()
        for other in others:
            if len(found) + 1 == MODELS_OPEN:
                break
            search = _Search(context, other, plan, project, accelerator)
            if not search.may_come_along(experiment, to_come):
                continue
            try:
                companion = search.opened(inputs, sites, held)
            except Exception as error:
                # Whatever it is: this step can do without, and the experiment's own step meets it again.
                search.left_alone(error)
                continue
            if companion is not None:
                context.log.info(f"{search.name}: {len(companion.units)} sites are computed in the same pass")
                found.append(companion)
        return found

    with ExitStack() as held:
        yield find


@dataclass(frozen=True)
class _Search:
    """Whether one experiment comes along in the pass of `plan`."""

    context: dg.AssetExecutionContext
    other: Experiment
    plan: FeaturePlan
    project: ProjectResource
    accelerator: AcceleratorResource

    @property
    def key(self) -> dg.AssetKey:
        return features_key(self.other)

    @property
    def name(self) -> str:
        return f"{self.key.to_user_string()} of plate {self.context.partition_key}"

    @property
    def settings(self) -> ProfilingSettings:
        return self.other.profiling()

    def may_come_along(self, experiment: Experiment, to_come: set[dg.AssetKey]) -> bool:
        """Whether this run makes the features later, from images of the same kind, and of nothing else that
        it makes later."""
        inputs = feature_inputs(self.other, self.settings)
        needed = {asset.key or dg.AssetKey(name) for name, asset in inputs.items()}
        is_same_kind = image_inputs(self.settings).keys() == image_inputs(experiment.profiling()).keys()
        return is_same_kind and self.key in to_come and not needed & to_come

    def opened(
        self, inputs: Mapping[str, Any], sites: Sequence[ImageSite], held: ExitStack
    ) -> "Companion | None":
        """The companion, its work folder locked; None when it has nothing to do here."""
        from dp_assets.profiling.plate_features import EarlierFeatures
        from dp_assets.profiling.shared_pass import Companion, same_crops

        context, settings = self.context, self.settings
        plate = context.partition_key
        theirs = self._inputs(inputs)
        plan = feature_plan(self.other, settings, plate, theirs, self.project, self.accelerator)
        shared = {site.key for site in same_crops(self.plan, plan, sites)}
        stored = StoredTable(self.project.path(tuple(self.key.path), plate, ".parquet"))
        forced = is_forced(context, self.key)
        if not shared or (not forced and published_fingerprint(stored.path) == plan.fingerprint):
            return None
        units = {site.key: plan.site_fingerprint(site) for site in plan.sites if site.key in shared}
        work = WorkFolder(self.project.layout.work_folder(tuple(self.key.path), plate))
        with ExitStack() as lock:
            lock.enter_context(work.locked(waiting=False))
            earlier = None if forced else EarlierFeatures(stored)
            kept = take_over(work, units.values(), earlier, self.project.workers)
            units = {site: unit for site, unit in units.items() if unit not in kept}
            if not units:
                return None
            load = extractor_loader(
                context,
                theirs[MODEL],
                checkpoint_of(self.other, settings),
                settings,
                self.project,
                self.accelerator,
            )
            companion = Companion(plan, load(), work, units, self.left_alone)
            held.enter_context(lock.pop_all())
        return companion

    def left_alone(self, error: Exception) -> None:
        """Say that the experiment's own step has to do what was not done here."""
        self.context.log.info(f"{self.name} is left to its own step: {type(error).__name__}: {error}")

    def _inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The values of `feature_inputs`: what both experiments read is there already."""
        found = {name: inputs[name] for name in image_inputs(self.settings)}
        found[MODEL] = ModelFolder.open(self.project.path((self.other.name, MODEL)))
        if ILLUMINATION in feature_inputs(self.other, self.settings):
            path = self.project.path((ILLUMINATION,), self.context.partition_key, ".npz")
            found[ILLUMINATION] = inputs.get(ILLUMINATION) or StoredIllumination.read(path)
        return found
