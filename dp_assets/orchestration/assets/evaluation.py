"""An experiment's scores, with everything behind them, in one folder."""

from typing import Any

import dagster as dg
import pyarrow as pa

from dp_assets.config.digest import settings_digest
from dp_assets.config.experiment import Experiment
from dp_assets.config.protocol import EvaluationProtocol
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.profile_table import profile_set
from dp_assets.evaluation.score import ScoreResult
from dp_assets.evaluation.scoring import ScoredProfiles, score_profiles
from dp_assets.evaluation.strong_treatments import strong_treatment_scores
from dp_assets.orchestration.assets.corrected_profiles import describe
from dp_assets.orchestration.cell_scores import ANNOTATIONS, CELLS, MODEL, cell_inputs, cell_scores
from dp_assets.orchestration.evaluation_folder import REPORT, VERSION, Evaluation, evaluation_writer
from dp_assets.orchestration.evaluation_pictures import evaluation_pictures, preview_of
from dp_assets.orchestration.map_pictures import places_of_wells
from dp_assets.orchestration.outputs import FolderOutput, Metadata, unchanged
from dp_assets.orchestration.progress import reporter
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import COMMON, picture
from dp_assets.orchestration.stage_config import StageConfig
from dp_assets.orchestration.user_errors import user_errors
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.folders import Folder
from dp_assets.storage.tables import read_provenance

SOURCES = ("profiles", "treatment_profiles", "corrected_sites", "profile_map")
# Figures that the page shows; evaluation.html has all.
PREVIEWS = ("scores_figure", "treatments_umap", "precision_recall", "enrichment", "replicates")
# Shown as numbers of their own, so that the page draws them over time.
HEADLINES = (
    "nsc",
    "nscb",
    "nscb_strict",
    "map",
    "enrichment",
    "first_hit_treatment",
    "activity",
    "activity_fraction",
    "consistency_fraction",
    "replicate_strength",
    "replicate_significant",
    "plate_effect",
    "probe_logistic",
    "accuracy_wells",
)


def evaluation_asset(experiment: Experiment) -> dg.AssetsDefinition:
    """All scores of an experiment."""
    scoring = experiment.scoring()
    protocol = scoring.evaluation
    key = dg.AssetKey([experiment.name, "evaluation"])
    metrics = ", ".join(protocol.settings.metrics)

    @dg.asset(
        key=key,
        group_name=experiment.name,
        **COMMON,
        kinds={"html"},
        io_manager_key="folder_io",
        code_version=f"{VERSION}-{settings_digest(protocol)}",
        ins={
            **{name: dg.AssetIn([experiment.name, name]) for name in SOURCES},
            **cell_inputs(experiment, protocol),
        },
        description=(
            f"The scores of {experiment.name} ({metrics}), the tables and figures behind them, and "
            f"{REPORT}, which stands alone."
        ),
    )
    def evaluation(
        context: dg.AssetExecutionContext, config: StageConfig, project: ProjectResource, **inputs: Any
    ) -> dg.MaterializeResult:
        described = _described(inputs, describe(scoring.profiles), scoring.profiles.preset)
        made_from = fingerprint(
            VERSION,
            settings_digest(protocol),
            # The report repeats this; lambda is that of the scores of cells.
            described,
            scoring.profiles.correction.regularization,
            [read_provenance(inputs[name].schema)["fingerprint"] for name in SOURCES],
            _cells_made_from(inputs),
        )
        writer = None
        if config.force or not project.is_current(context, "", made_from):
            with user_errors(experiment):
                scored = _scored(inputs)
                found = score_profiles(
                    scored,
                    protocol,
                    (
                        *cell_scores(
                            inputs["profiles"],
                            inputs.get(CELLS, {}),
                            inputs.get(MODEL),
                            inputs.get(ANNOTATIONS, {}),
                            experiment,
                        ),
                        *_strong(scored.wells, inputs["profile_map"], protocol),
                    ),
                    reporter(context, "families of scores"),
                )
                made = Evaluation(
                    experiment=experiment.name,
                    scores=found.scores,
                    tables=found.tables,
                    pictures=evaluation_pictures(experiment.name, found, inputs, protocol),
                    facts=described,
                )
                writer = evaluation_writer(made, made_from)
        return dg.MaterializeResult(
            value=FolderOutput(writer, lambda folder: {**_facts(folder), **unchanged(writer is not None)}),
            data_version=dg.DataVersion(made_from),
        )

    return evaluation


def _scored(inputs: dict[str, Any]) -> ScoredProfiles:
    return ScoredProfiles(
        treatments=profile_set(inputs["treatment_profiles"], "treatment"),
        wells=profile_set(inputs["profiles"], "well"),
        sites=profile_set(inputs["corrected_sites"], "site"),
    )


def _strong(
    wells: ProfileSet, places: pa.Table, protocol: EvaluationProtocol
) -> tuple[tuple[str, ScoreResult], ...]:
    """Which treatments stand out, where that is asked for."""
    if "strong_treatments" not in protocol.settings.metrics:
        return ()
    return (("strong", strong_treatment_scores(wells, protocol, places_of_wells(wells, places))),)


def _cells_made_from(inputs: dict[str, Any]) -> list[str]:
    """Fingerprints of what scores of cells read."""
    cells = inputs.get(CELLS, {})
    annotations = inputs.get(ANNOTATIONS, {})
    model = [inputs[MODEL].fingerprint] if MODEL in inputs else []
    return [
        *(read_provenance(cells[plate].schema())["fingerprint"] for plate in sorted(cells)),
        *(read_provenance(annotations[plate].schema)["fingerprint"] for plate in sorted(annotations)),
        *model,
    ]


def _described(inputs: dict[str, pa.Table], protocol: str, preset: str) -> dict[str, str]:
    """What the report says of the profiles."""
    provenance = read_provenance(
        (
            inputs["profiles"]
            if "correction" in read_provenance(inputs["profiles"].schema)
            else inputs["corrected_sites"]
        ).schema
    )
    left_out = provenance.get("left_out", {})
    absent = provenance.get("plates_not_profiled", [])
    warnings = provenance.get("correction", {}).get("warnings", [])
    return {
        "preset": preset,
        "profiles": protocol,
        "wells": f"{inputs['profiles'].num_rows:,}",
        "treatments": f"{inputs['treatment_profiles'].num_rows:,}",
        "left out before scoring": "; ".join(f"{why}: {n}" for why, n in left_out.items()) or "nothing",
        **({"plates not profiled yet": ", ".join(absent)} if absent else {}),
        **({"warnings": "; ".join(warnings)} if warnings else {}),
    }


def _facts(folder: Folder) -> Metadata:
    """The numbers of the scores, the report's place, and a picture."""
    headline = folder.manifest["scores"]
    pictures = {
        f"picture_{name}": picture(png, f"{name} of {folder.manifest['experiment']}")
        for name in PREVIEWS
        if (png := preview_of(folder, name)) is not None
    }
    return {
        **{name: headline[name] for name in HEADLINES if name in headline},
        "scores": dg.MetadataValue.json(headline),
        "not_applicable": dg.MetadataValue.json(folder.manifest["not_applicable"]),
        "report": dg.MetadataValue.path(str(folder.path / REPORT)),
        **pictures,
    }
