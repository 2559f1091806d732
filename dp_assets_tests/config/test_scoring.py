"""Profiles and scores: what presets stand for, what a file changes of them, and what contradicts itself."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dp_assets.config.digest import settings_digest
from dp_assets.config.errors import ConfigurationError
from dp_assets.config.evaluation_sections import METRICS
from dp_assets.config.experiment import Experiment, Stage, load_experiment
from dp_assets.config.protocol import (
    CellAggregation,
    EvaluationProtocol,
    ProfileColumns,
    ProfileProtocol,
    ScoringSettings,
)
from dp_assets_tests.config.conftest import REMOVED, Write

NO_METADATA = {"dataset.metadata": REMOVED}
# The block that the specification of profiles and scores suggests, key by key.
SUGGESTED = """
profiles:
  cell_aggregation: median
  well_aggregation: mean
  treatment_aggregation: median
  treatment_source: well
  correction: {method: sphering, lambda: 0.01, level: well, batch_field: Metadata_Batch}
  min_cells_per_site: 1
evaluation:
  preset: bbbc022
  label_field: Metadata_MOA
  label_separator: "|"
  compound_field: Metadata_Compound
  exclude_from_wells: [taxol]
  metrics: [nsc, nscb, nscb_strict, map, enrichment, precision_recall, first_hit, replicate_strength,
            plate_effect]
  top_percentile: 99.0
  ks: [5, 10, 15, 20, 25, 30, 35, 40, 45, 50]
  null_draws: 1000
  null_size: 10
  seed: 0
  compat: false
  projections: {tsne: {perplexity: 30}, umap: {n_neighbors: 15}}
"""


def scoring(write: Write, changes: dict[str, Any] | None = None) -> ScoringSettings:
    return load_experiment(write(changes=changes), strict=True).scoring()


def problem_of(experiment: Experiment) -> tuple[str, str, str]:
    """Key, text and remedy of the one problem of scoring."""
    (problem,) = experiment.problems(Stage.SCORING)
    return problem.where.split(": ", 1)[1], problem.what, problem.remedy


# presets ------------------------------------------------------------------------------


def test_bbbc021_is_the_published_protocol(write: Write) -> None:
    settings = scoring(write, {**NO_METADATA, "profiles.preset": "BBBC021"})
    profiles, evaluation = settings.profiles, settings.evaluation
    # site = mean of cells, corrected as sites; treatment = median of sites, well = mean of sites
    assert (profiles.cells.aggregation, profiles.cells.well_aggregation) == ("mean", "mean")
    assert (profiles.level, profiles.treatments.source, profiles.treatments.aggregation) == (
        "site",
        "site",
        "median",
    )
    assert (profiles.correction.method, profiles.correction.regularization) == ("tvn", 1.0)
    assert profiles.normalization.method == "none"
    columns = profiles.columns
    assert (columns.control, columns.control_values) == (("Compound",), ("DMSO",))
    assert columns.treatment == ("Compound", "Concentration")
    assert columns.batch_from_plate
    assert profiles.labelled_only
    assert (profiles.expected.treatments, profiles.expected.labels) == (103, 12)
    assert evaluation.label_separator == ""
    assert evaluation.exclude_from_wells == ("taxol",)
    assert evaluation.excluded_labels == ("Cholesterol-lowering", "Kinase inhibitors")
    assert evaluation.preset == "bbbc021"


@pytest.mark.parametrize(
    ("preset", "regularization", "treatments", "separator", "controls"),
    [
        ("cell_painting", 0.01, None, "|", ("DMSO",)),
        ("bbbc022", 1e-3, 995, "|", ("DMSO",)),
        ("bbbc036", 1e-3, 1550, "|", ("DMSO",)),
        ("taorf", 1e-4, 205, "", ("DMSO",)),
    ],
)
def test_cell_painting_presets_are_the_published_protocol(
    write: Write,
    preset: str,
    regularization: float,
    treatments: int | None,
    separator: str,
    controls: tuple[str, ...],
) -> None:
    settings = scoring(write, {"profiles.preset": preset})
    profiles = settings.profiles
    assert (profiles.cells.aggregation, profiles.cells.well_aggregation) == ("median", "mean")
    assert (profiles.level, profiles.treatments.source, profiles.treatments.aggregation) == (
        "well",
        "well",
        "mean",
    )
    assert (profiles.correction.method, profiles.correction.regularization) == ("sphering", regularization)
    assert profiles.normalization.method == "none"
    assert profiles.expected.treatments == treatments
    assert profiles.labelled_only == (treatments is not None)
    assert settings.evaluation.label_separator == separator
    # dataset.metadata of the file names the controls
    assert (profiles.columns.control, profiles.columns.control_values) == (("Treatment",), controls)


@pytest.mark.parametrize(("preset", "value"), [("bbbc022", "DMSO"), ("bbbc036", "DMSO"), ("taorf", "EMPTY_")])
def test_presets_of_published_sets_know_their_controls(write: Write, preset: str, value: str) -> None:
    columns = scoring(write, {**NO_METADATA, "profiles.preset": preset}).profiles.columns
    assert columns.names_controls
    assert value in columns.control_values


def test_without_sections_profiles_are_brought_to_the_scale_of_the_controls(write: Write) -> None:
    settings = scoring(write)
    profiles = settings.profiles
    assert profiles.preset == settings.evaluation.preset == "custom"
    assert (profiles.normalization.method, profiles.normalization.by) == ("standardize", "plate")
    assert profiles.normalization.reference == "controls"
    assert (profiles.correction.method, profiles.level) == ("none", "well")
    assert profiles.cells == CellAggregation()
    assert profiles.columns.treatment == ("Treatment",)
    assert profiles.columns.required == ()
    assert settings.evaluation.settings.metrics == METRICS
    assert settings.features is None


def test_without_controls_everything_gives_the_scale(write: Write) -> None:
    for changes in (NO_METADATA, {"dataset.metadata.control_value": REMOVED}):
        normalization = scoring(write, changes).profiles.normalization
        assert (normalization.method, normalization.reference) == ("standardize", "all")


@pytest.mark.parametrize(
    ("profiles", "evaluation", "expected"),
    [
        (None, None, ("custom", "custom")),
        ("bbbc021", None, ("bbbc021", "bbbc021")),
        (None, "bbbc021", ("bbbc021", "bbbc021")),
        ("custom", "bbbc021", ("custom", "bbbc021")),
        ("cell_painting", "bbbc022", ("cell_painting", "bbbc022")),
    ],
)
def test_a_preset_named_once_is_that_of_both_sections(
    write: Write, profiles: str | None, evaluation: str | None, expected: tuple[str, str]
) -> None:
    settings = scoring(write, {"profiles.preset": profiles, "evaluation.preset": evaluation})
    assert (settings.profiles.preset, settings.evaluation.preset) == expected


def test_the_suggested_block_is_accepted_as_written(write: Write, tmp_path: Path) -> None:
    block = yaml.safe_load(SUGGESTED)
    settings = scoring(write, block)
    profiles, evaluation = settings.profiles, settings.evaluation
    assert profiles.cells == CellAggregation(aggregation="median", well_aggregation="mean")
    assert (profiles.treatments.aggregation, profiles.treatments.source) == ("median", "well")
    assert (profiles.correction.method, profiles.correction.regularization) == ("sphering", 0.01)
    assert (profiles.columns.batch, profiles.columns.label, profiles.columns.compound) == (
        ("Batch",),
        ("MOA",),
        ("Compound",),
    )
    assert profiles.columns.required == ("Compound", "MOA", "Batch")
    assert evaluation.settings.metrics == tuple(block["evaluation"]["metrics"])
    assert (evaluation.tsne.perplexity, evaluation.umap.n_neighbors) == (30.0, 15)
    assert evaluation.exclude_from_wells == ("taxol",)


@pytest.mark.parametrize("method", ["standardize", "mad_robustize"])
def test_a_scale_may_be_named_as_the_correction(write: Write, method: str) -> None:
    profiles = scoring(
        write, {"profiles.preset": "bbbc021", "profiles.correction": {"method": method}}
    ).profiles
    assert profiles.normalization.method == method
    assert (profiles.normalization.by, profiles.normalization.reference) == ("plate", "controls")
    assert profiles.correction.method == "none"


# what a file gives beats the preset ---------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "read", "expected"),
    [
        ({"profiles.aggregation": "median"}, lambda p: p.cells.aggregation, "median"),
        ({"profiles.well_aggregation": "median"}, lambda p: p.cells.well_aggregation, "median"),
        ({"profiles.treatment_aggregation": "mean"}, lambda p: p.treatments.aggregation, "mean"),
        ({"profiles.treatment_source": "well"}, lambda p: p.treatments.source, "well"),
        ({"profiles.minimum_cells": 20}, lambda p: p.cells.minimum_cells, 20),
        ({"profiles.min_cells_per_site": 3}, lambda p: p.cells.minimum_cells_per_site, 3),
        ({"profiles.outlier_cells": 5}, lambda p: p.cells.outlier_cells, 5.0),
        ({"profiles.correction": {"method": "whitening"}},
         lambda p: (p.correction.method, p.correction.regularization), ("whitening", 1.0)),
        ({"profiles.correction": {"lambda": 0.5}},
         lambda p: (p.correction.method, p.correction.regularization), ("tvn", 0.5)),
        ({"profiles.correction": {"method": "none"}}, lambda p: p.correction.method, "none"),
        ({"profiles.correction": {"level": "well"}}, lambda p: (p.level, p.treatments.source),
         ("well", "well")),
        ({"profiles.normalization": {"method": "mad_robustize", "by": "batch", "reference": "all"}},
         lambda p: (p.normalization.method, p.normalization.by, p.normalization.reference),
         ("mad_robustize", "batch", "all")),
        ({"profiles.treatment_fields": "Metadata_Treatment"}, lambda p: p.columns.treatment, ("Treatment",)),
        ({"profiles.concentration_field": "Dose"}, lambda p: p.columns.concentration, ("Dose",)),
        ({"profiles.replicate_field": "Copy"}, lambda p: p.columns.replicate, ("Copy",)),
        ({"profiles.control_values": ["DMSO", "EMPTY"]},
         lambda p: (p.columns.control, p.columns.control_values), (("Compound",), ("DMSO", "EMPTY"))),
        ({"profiles.control_field": "Control", "profiles.control_values": "negative"},
         lambda p: (p.columns.control, p.columns.control_values), (("Control",), ("negative",))),
        ({"profiles.correction": {"batch_field": "Week"}},
         lambda p: (p.columns.batch, p.columns.batch_from_plate), (("Week",), False)),
        ({"profiles.annotations": "moa.csv"}, lambda p: p.annotations, ("moa.csv",)),
        ({"profiles.feature_selection": {"operations": "variance_threshold"}},
         lambda p: p.feature_selection.operations, ("variance_threshold",)),
    ],
    ids=lambda value: str(next(iter(value.values()))) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_a_file_gives_beats_the_preset(
    write: Write, changes: dict[str, Any], read: Any, expected: Any
) -> None:
    settings = scoring(write, {**NO_METADATA, "profiles.preset": "bbbc021", **changes})
    assert read(settings.profiles) == expected


def test_what_a_file_gives_of_scores_beats_the_preset(write: Write) -> None:
    given = {
        "profiles.preset": "bbbc021",
        "evaluation": {"label_separator": ";", "exclude_from_wells": [], "metrics": "NSC", "ks": [50, 5]},
    }
    evaluation = scoring(write, given).evaluation
    assert (evaluation.label_separator, evaluation.exclude_from_wells) == (";", ())
    assert evaluation.settings.metrics == ("nsc",)
    assert evaluation.settings.ks == (5, 50)


def test_wells_are_made_of_sites_where_sites_are_corrected(write: Write) -> None:
    profiles = scoring(write, {"profiles.correction": {"level": "site"}}).profiles
    assert profiles.cells.well_aggregation == "mean"
    assert profiles.treatments.source == "well"


# controls -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (("Treatment",), ("DMSO",))),
        ({"dataset.metadata.label_field": "Metadata_Treatment"}, (("Treatment",), ("DMSO",))),
        ({"profiles.control_values": ["EMPTY"]}, (("Treatment",), ("EMPTY",))),
        ({"profiles.control_field": "Control", "profiles.control_values": ["neg"]}, (("Control",), ("neg",))),
        ({"profiles.preset": "bbbc021", "profiles.control_values": ["EMPTY"]}, (("Compound",), ("EMPTY",))),
    ],
)
def test_controls_are_those_of_profiles_or_else_of_the_metadata(
    write: Write, changes: dict[str, Any], expected: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    columns = scoring(write, changes).profiles.columns
    assert (columns.control, columns.control_values) == expected


def test_columns_are_searched_by_their_usual_names_and_none_is_required(write: Write) -> None:
    columns = scoring(write).profiles.columns
    assert columns.label[0] == "MOA"
    assert columns.compound[0] == "Compound"
    assert columns.required == ()
    named = scoring(write, {"evaluation.label_field": "Pathway", "profiles.replicate_field": "Copy"})
    assert named.profiles.columns.label == ("Pathway",)
    assert set(named.profiles.columns.required) == {"Pathway", "Copy"}


# contradictions -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"profiles.treatment_source": "site"}, "profiles.treatment_source", 'level "well"'),
        ({"profiles.correction": {"level": "site"}, "profiles.well_aggregation": "cells"},
         "profiles.well_aggregation", 'level "site"'),
        ({"profiles.correction": {"method": "standardize"},
          "profiles.normalization": {"method": "robustize"}}, "profiles.correction.method", '"robustize"'),
        ({**NO_METADATA, "profiles.correction": {"method": "sphering"}},
         "profiles.control_values", '"sphering"'),
        ({**NO_METADATA, "profiles.preset": "cell_painting"}, "profiles.control_values", '"sphering"'),
        ({**NO_METADATA, "profiles.normalization": {"reference": "controls"}},
         "profiles.control_values", "normalization"),
        ({**NO_METADATA, "profiles.control_values": ["DMSO"]}, "profiles.control_field", "no column"),
        ({**NO_METADATA, "profiles.control_field": "Compound"}, "profiles.control_values", '"Compound"'),
    ],
    ids=lambda value: str(list(value.values())[-1]) if isinstance(value, dict) else "",
)  # fmt: skip
def test_contradictions_are_named(write: Write, changes: dict[str, Any], key: str, said: str) -> None:
    experiment = load_experiment(write(changes=changes))
    found, what, remedy = problem_of(experiment)
    assert found == key
    assert said in what
    assert remedy
    with pytest.raises(ConfigurationError):
        experiment.scoring()
    # crops and features do not depend on it
    assert experiment.problems(Stage.PROFILING) == ()


def test_a_scale_that_is_not_used_needs_no_controls(write: Write) -> None:
    changes = {**NO_METADATA, "profiles.normalization": {"method": "none", "reference": "controls"}}
    assert scoring(write, changes).profiles.normalization.method == "none"


# digests ------------------------------------------------------------------------------


def test_digests_of_protocols_leave_defaults_out() -> None:
    # recorded once: changing one makes results of users stale
    assert {settings_digest(model()) for model in (CellAggregation, ProfileProtocol, EvaluationProtocol)} == {
        "01e7b720ff566d53"
    }
    one = CellAggregation(aggregation="median", minimum_cells=3)
    assert settings_digest(one) == settings_digest(CellAggregation(minimum_cells=3, aggregation="median"))
    assert settings_digest(one) != settings_digest(CellAggregation(aggregation="median"))
    assert settings_digest(ProfileProtocol(columns=ProfileColumns())) == settings_digest(ProfileProtocol())


def test_saying_what_is_so_anyway_changes_no_digest(write: Write) -> None:
    plain = scoring(write, {"profiles.preset": "bbbc021"})
    said = {
        "profiles": {
            "preset": "bbbc021",
            "cell_aggregation": "mean",
            "well_aggregation": "mean",
            "treatment_source": "site",
            "correction": {"method": "tvn", "lambda": 1, "level": "site"},
        },
        "evaluation": {
            "preset": "bbbc021",
            "label_separator": "",
            "exclude_from_wells": ["taxol"],
            "seed": 0,
        },
    }
    spelled_out = scoring(write, said)
    assert settings_digest(spelled_out.profiles) == settings_digest(plain.profiles)
    assert settings_digest(spelled_out.evaluation) == settings_digest(plain.evaluation)
    other = scoring(write, {"profiles.preset": "bbbc021", "evaluation": {"seed": 1}})
    assert settings_digest(other.evaluation) != settings_digest(plain.evaluation)
    assert settings_digest(other.profiles) == settings_digest(plain.profiles)
