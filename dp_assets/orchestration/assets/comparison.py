"""The scores of all experiments side by side."""

from collections.abc import Sequence

import dagster as dg

from dp_assets.config.experiment import Experiment
from dp_assets.orchestration.comparison_folder import REPORT, comparison_pictures, comparison_writer
from dp_assets.orchestration.evaluation_folder import VERSION
from dp_assets.orchestration.outputs import FolderOutput, Metadata
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import COMMON, picture
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.folders import Folder, open_folder


def comparison_asset(experiments: Sequence[Experiment]) -> dg.AssetsDefinition:
    """Scores and curves of every experiment that has been evaluated."""
    names = [experiment.name for experiment in experiments]
    keys = [dg.AssetKey([name, "evaluation"]) for name in names]

    @dg.asset(
        key="comparison",
        group_name="comparison",
        **COMMON,
        kinds={"html"},
        io_manager_key="folder_io",
        code_version=VERSION,
        # Read by hand: an experiment that is not evaluated yet does not keep the others from being compared.
        deps=keys,
        description=(
            f"The scores of {', '.join(names)} side by side, their precision-recall and enrichment curves, "
            f"and {REPORT}, which stands alone. Experiments without an evaluation are left out and named."
        ),
    )
    def comparison(project: ProjectResource) -> dg.MaterializeResult:
        with user_errors():
            found = _evaluations(names, project)
            absent = [name for name in names if name not in found]
            made_from = fingerprint(
                VERSION, {name: folder.fingerprint for name, folder in found.items()}, absent
            )
            writer = comparison_writer(found, absent, made_from)
        return dg.MaterializeResult(
            value=FolderOutput(writer, lambda folder: _facts(folder, found, absent)),
            data_version=dg.DataVersion(made_from),
        )

    return comparison


def _evaluations(names: Sequence[str], project: ProjectResource) -> dict[str, Folder]:
    found = {}
    for name in names:
        try:
            found[name] = open_folder(project.path((name, "evaluation")))
        except FileNotFoundError:
            continue
    return found


def _facts(folder: Folder, found: dict[str, Folder], absent: list[str]) -> Metadata:
    pictures = {shown.name: picture(shown.png, shown.heading) for shown in comparison_pictures(found)}
    return {
        "experiments": ", ".join(found),
        "not_evaluated": ", ".join(absent) or "none",
        "report": dg.MetadataValue.path(str(folder.path / REPORT)),
        **pictures,
    }
