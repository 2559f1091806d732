"""Running the experiments of a scoring project, and showing what came out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg
from rich.console import Console
from rich.markup import escape

from dp_assets import __version__
from dp_assets.config.digest import settings_digest
from dp_assets.config.project import Project, load_project
from dp_assets.interchange.feature_files import find_feature_files
from dp_assets.orchestration import comparison_folder, evaluation_folder
from dp_assets.orchestration.assets.external_profiles import FEATURES_FOLDER
from dp_assets.orchestration.code_location import definitions_of
from dp_assets.orchestration.lanes import project_graph
from dp_assets.orchestration.profile_inputs import annotation_digest
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.run_display import run_stages
from dp_assets.orchestration.score_display import print_scores
from dp_assets.orchestration.scoring_record import ScoringRecord, read_record
from dp_assets.orchestration.stage_runner import StageOutcome, project_instance, run_stage
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.folders import Folder, open_folder
from dp_assets.storage.tables import StoredTable, read_provenance

STAGE = "evaluate"
COMPARISON = "comparison"
METADATA = "Metadata_"
# Messages name keys of experiments; somebody who scores a table has written options.
OPTIONS = (
    "    --annotations, --control, --treatment, --label, --compound and --batch are the keys "
    "profiles.annotations, profiles.control_field and control_values, profiles.treatment_fields, "
    "evaluation.label_field, evaluation.compound_field and profiles.correction.batch_field; "
    "--set KEY=VALUE sets any other"
)


def run_scores(root: Path, lanes: Sequence[str], *, force: bool, verbose: bool, console: Console) -> bool:
    """Evaluate what has changed of a project, compare, and print the scores; True when everything was made.

    Experiments whose evaluation cannot be made are named and not shown, even where an earlier one is there.

    Parameters
    ----------
    root : the project folder, as `write_scoring_project` left it.
    lanes : the experiments.
    force : evaluate even what has not changed.

    Raises
    ------
    ProjectError : the project cannot be used, or a table is not there any more.
    """
    project = load_project(root)
    resource = ProjectResource.of(project)
    record = read_record(root) or ScoringRecord([])
    found: dict[str, Folder] = {}
    changed = False
    for lane in lanes:
        made_from = _made_from(project, lane)
        published = _published(resource, lane, "evaluation")
        if not force and published is not None and record.finished.get(lane) == made_from:
            console.print(f"[bold]{lane}[/bold]  nothing has changed")
            found[lane] = published
            continue
        console.print(f"[bold]{lane}[/bold]")
        changed, record = True, record.begin(root, lane)
        outcomes = run_stages(root, [STAGE], None, (lane,), force=force, verbose=verbose, console=console)
        if all(outcome.succeeded for outcome in outcomes):
            found[lane] = open_folder(resource.path((lane, "evaluation")))
            record = record.finish(root, lane, made_from)
    missing = [lane for lane in lanes if lane not in found]
    compared = True
    if len(lanes) > 1 and not missing and (changed or _published(resource, COMPARISON) is None):
        compared = _compare(project, force=force, verbose=verbose, console=console)
    pages = [folder.path / evaluation_folder.REPORT for folder in found.values()]
    if len(lanes) > 1 and compared and not missing:
        pages.append(open_folder(resource.path((COMPARISON,))).path / comparison_folder.REPORT)
    described = {lane: _profiles_of(resource, lane) for lane in found}
    _show(found, described, pages, missing, console)
    return compared and not missing


def _made_from(project: Project, lane: str) -> str:
    """A fingerprint of everything that an experiment's scores are made from; reads the tables once."""
    scoring = project.experiments[lane].scoring()
    files = scoring.features.files if scoring.features is not None else ()
    return fingerprint(
        __version__,
        settings_digest(scoring),
        find_feature_files(files, project.root / "inputs" / FEATURES_FOLDER).fingerprint(),
        annotation_digest(scoring.profiles, str(project.root)),
    )


def _published(resource: ProjectResource, *asset: str) -> Folder | None:
    try:
        return open_folder(resource.path(asset))
    except FileNotFoundError:
        return None


def _compare(project: Project, *, force: bool, verbose: bool, console: Console) -> bool:
    """Materialize the comparison of all experiments; says why where that fails."""
    defs = definitions_of(project, project_graph(project))
    with project_instance(project.root) as instance:
        outcome: StageOutcome = run_stage(
            defs, instance, [dg.AssetKey(COMPARISON)], COMPARISON, None, force=force, verbose=verbose
        )
    for message in outcome.messages:
        console.print(f"[red]{COMPARISON} failed[/red] {escape(message)}")
    return outcome.succeeded


def _profiles_of(resource: ProjectResource, lane: str) -> str:
    """What the scores of an experiment are of: how many wells and features, and what was left out before."""
    stored = {
        name: StoredTable(resource.path((lane, name), None, ".parquet"))
        for name in ("profiles", "corrected_sites", "treatment_profiles")
    }
    schema = stored["profiles"].schema()
    facts = read_provenance(schema)
    if "correction" not in facts:
        facts = read_provenance(stored["corrected_sites"].schema())
    features = sum(not name.startswith(METADATA) for name in schema.names)
    left_out = ", ".join(f"{reason}: {count:,}" for reason, count in facts.get("left_out", {}).items())
    notes = [f"left out before: {left_out}"] if left_out else []
    return "; ".join(
        (
            f"{stored['profiles'].row_count()} wells, {stored['treatment_profiles'].row_count()} treatments, "
            f"{features} features",
            *notes,
            *facts.get("correction", {}).get("warnings", ()),
        )
    )


def _show(
    found: Mapping[str, Folder],
    described: Mapping[str, str],
    pages: Sequence[object],
    missing: Sequence[str],
    console: Console,
) -> None:
    for text in dict.fromkeys(described.values()):
        lanes = [lane for lane, found_text in described.items() if found_text == text]
        where = "" if len(lanes) == len(described) else f"{', '.join(lanes)}: "
        console.print(escape(where + text))
    if found:
        print_scores({lane: evaluation_folder.read_scores(folder) for lane, folder in found.items()}, console)
    if missing:
        console.print(f"[red]could not be scored:[/red] {', '.join(missing)} (the messages are above)")
        console.print(OPTIONS)
    if pages:
        console.print("reports:")
    for page in pages:
        console.print(f"  {escape(str(page))}")
