"""The section `checks` of project.yaml: read, refused, and handed to a run."""

from pathlib import Path

import pytest

from dp_assets.config.checks import USUAL_SEVERITY, ChecksSettings
from dp_assets.config.errors import ConfigurationError
from dp_assets.config.project import load_project
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.results import DESCRIPTIONS


def project(root: Path, text: str) -> ProjectResource:
    (root / "project.yaml").write_text(text, encoding="utf-8")
    return ProjectResource.of(load_project(root))


def test_thresholds_and_severities_reach_the_resource(tmp_path: Path) -> None:
    text = "checks:\n  few_cells: 0.1\n  severity:\n    wells_in_one_split: Warn\n"
    resource = project(tmp_path, text)
    # Only what differs from the usual settings stands in the launchpad.
    assert resource.checks == {"few_cells": 0.1, "severity": {"wells_in_one_split": "warn"}}
    rules = resource.check_rules
    assert rules.few_cells == 0.1
    assert rules.many_cells == ChecksSettings().many_cells
    assert rules.severity_of("wells_in_one_split") == "warn"
    assert rules.severity_of("images_in_one_split") == "block"


def test_without_the_section_the_usual_rules_hold(tmp_path: Path) -> None:
    assert project(tmp_path, "cores: 2\n").check_rules == ChecksSettings()
    assert ProjectResource.of(load_project(tmp_path)).checks == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("few_cels: 0.1", 'project.yaml: checks.few_cels: unknown key "few_cels"'),
        ("few_cels: 0.1", 'Did you mean "few_cells"?'),
        ("few_cells: many", "checks.few_cells: few_cells is"),
        ("few_cells: 2", "less than 1"),
        ("swap_margin: true", "expected a number"),
        ("severity: {wells_in_one_splt: warn}", 'did you mean "wells_in_one_split"?'),
        ("severity: {schema: warn}", 'no check "schema" whose severity can be set'),
        ("severity: {cells_inside: loud}", "expected 'off', 'warn', 'error' or 'block'"),
    ],
)
def test_mistakes_are_told_with_their_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        project(tmp_path, f"checks:\n  {text}\n")
    assert said in str(caught.value)
    assert "    -> " in str(caught.value)


def test_a_wrong_setting_of_a_run_is_told(tmp_path: Path) -> None:
    resource = project(tmp_path, "cores: 1\n")
    wrong = resource.model_copy(update={"checks": {"class_ratio": 0}})
    with pytest.raises(ConfigurationError, match="class_ratio"):
        _ = wrong.check_rules


def test_every_check_with_a_severity_is_described() -> None:
    assert set(USUAL_SEVERITY) <= set(DESCRIPTIONS)
