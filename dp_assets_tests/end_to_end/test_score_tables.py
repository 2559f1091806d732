"""`dp-assets score` from a table of features to scores, with mechanisms planted so that these are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from dp_assets.cli import main
from dp_assets_tests.end_to_end.planted_bbbc021 import (
    COMPOUND,
    MISPLACED,
    PLATE,
    WELL,
    expected_scores,
    planted_features,
    wells_with_mechanisms,
)

FEW_SCORES = 'evaluation.metrics=["nsc", "nscb", "plate_effect"]'


def score(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["score", *map(str, arguments)], catch_exceptions=False)


def scores_of(project: Path, variant: str) -> dict[str, dict[str, Any]]:
    found = json.loads((project / "outputs" / variant / "evaluation" / "scores.json").read_text())
    return {entry["name"]: entry for entry in found}


def small_screen() -> pd.DataFrame:
    """Wells of four plates in two weeks: DMSO, and six compounds of three mechanisms at two doses."""
    compounds = {f"{letter}-{number}": letter * 3 for letter in "abc" for number in (1, 2)}
    rows = []
    for plate in ("Week1_1", "Week1_2", "Week2_1", "Week2_2"):
        treated = [(name, dose, moa) for name, moa in compounds.items() for dose in (0.1, 3.0)]
        for number, (name, dose, moa) in enumerate([("DMSO", 0.0, "DMSO")] * 4 + treated):
            rows.append((plate, f"B{number + 2:02d}", name, dose, moa))
    return pd.DataFrame(rows, columns=[PLATE, WELL, COMPOUND, "dose", "moa"])


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """A small screen: `wells.csv` with features alone, `plates.csv` and `moa.csv` with what wells are."""
    monkeypatch.chdir(tmp_path)
    wells = small_screen()
    features = planted_features(wells, {("a-1", 3.0): "bbb"}, seed=1)
    features.to_csv("wells.csv", index=False)
    listed = {PLATE: "Metadata_Plate", WELL: "Metadata_Well", COMPOUND: "Compound", "dose": "Concentration"}
    wells.rename(columns=listed)[list(listed.values())].to_csv("plates.csv", index=False)
    known = wells[wells["moa"] != "DMSO"].drop_duplicates([COMPOUND, "dose"])
    known.rename(columns={COMPOUND: "compound", "dose": "concentration"})[
        ["compound", "concentration", "moa"]
    ].to_csv("moa.csv", index=False)
    return wells


OPTIONS = (
    "--annotations",
    "plates.csv",
    "--annotations",
    "moa.csv",
    "--control",
    "Compound=DMSO",
    "--treatment",
    "Compound",
    "--treatment",
    "Concentration",
    "--set",
    FEW_SCORES,
)


def test_a_small_screen_is_scored_by_one_command(screen: pd.DataFrame, tmp_path: Path) -> None:
    result = score("wells.csv", *OPTIONS, "--variant", "zscore", "--variant", "tvn")
    assert result.exit_code == 0, result.output
    project = tmp_path / "scores" / "wells"
    right, n = expected_scores(screen, pd.read_csv("wells.csv"))["nsc"]
    assert (right, n) == (11, 12), "one treatment is misplaced"
    for variant in ("zscore", "tvn"):
        nsc = scores_of(project, variant)["nsc"]
        assert (nsc["value"], nsc["n"]) == (pytest.approx(right / n), n)
        assert nsc["low"] <= nsc["value"] <= nsc["high"]
        page = project / "outputs" / variant / "evaluation" / "evaluation.html"
        assert page.exists()
        assert str(page) in result.output
    table = {line.split()[0]: line.split() for line in result.output.splitlines() if line.strip()}
    assert table["score"] == ["score", "n", "zscore", "tvn"]
    assert table["nsc"][:3] == ["nsc", "12", "0.917"]
    assert str(project / "outputs" / "comparison") in result.output


def test_a_second_call_computes_what_has_changed(screen: pd.DataFrame, tmp_path: Path) -> None:
    arguments = ("wells.csv", *OPTIONS, "--variant", "zscore", "--variant", "whitening")
    assert score(*arguments).exit_code == 0
    outputs = tmp_path / "scores" / "wells" / "outputs"
    pages = {name: outputs / name / "evaluation" / "evaluation.html" for name in ("zscore", "whitening")}
    before = {name: page.stat().st_mtime_ns for name, page in pages.items()}
    again = score(*arguments)
    assert again.exit_code == 0
    assert "nsc" in again.output
    assert {name: page.stat().st_mtime_ns for name, page in pages.items()} == before
    assert score(*arguments, "--lambda", "0.5").exit_code == 0
    after = {name: page.stat().st_mtime_ns for name, page in pages.items()}
    assert after["zscore"] == before["zscore"]
    assert after["whitening"] > before["whitening"]
    table = pd.read_csv("wells.csv")
    table.iloc[0, 2:] += 50.0
    table.to_csv("wells.csv", index=False)
    assert score(*arguments, "--lambda", "0.5").exit_code == 0
    assert all(page.stat().st_mtime_ns > after[name] for name, page in pages.items())


def test_a_variant_that_cannot_be_made_is_named_and_the_others_are_shown(
    screen: pd.DataFrame, tmp_path: Path
) -> None:
    arguments = ("wells.csv", *OPTIONS, "--variant", "uncorrected", "--variant", "whitening")
    assert score(*arguments).exit_code == 0
    table = pd.read_csv("wells.csv")
    is_control = (screen[PLATE] == "Week2_2") & (screen[COMPOUND] == "DMSO")
    table[~is_control.to_numpy()].to_csv("wells.csv", index=False)
    result = score(*arguments)
    assert result.exit_code == 1
    assert "Week2_2" in result.output
    assert "could not be scored: whitening" in result.output
    header = next(line for line in result.output.splitlines() if line.split()[:1] == ["score"])
    assert header.split() == ["score", "n", "uncorrected"]
    assert "Traceback" not in result.output


def test_the_project_is_one_like_any_other(screen: pd.DataFrame, tmp_path: Path) -> None:
    assert score("wells.csv", *OPTIONS, "--variant", "zscore").exit_code == 0
    project = str(tmp_path / "scores" / "wells")
    output = tmp_path / "zscore.parquet"
    exported = CliRunner().invoke(
        main, ["--project", project, "export", "profiles", "--experiment", "zscore", str(output)]
    )
    assert exported.exit_code == 0, exported.output
    profiles = pd.read_parquet(output)
    controls = profiles["Metadata_Control"] == "true"
    assert controls.sum() == 16
    features = [name for name in profiles if not name.startswith("Metadata_")]
    for _, plate in profiles[controls].groupby("Metadata_Plate"):
        np.testing.assert_allclose(plate[features].mean(), 0, atol=1e-3)
        np.testing.assert_allclose(plate[features].std(ddof=0), 1, atol=1e-3)
    raw = tmp_path / "raw.csv"
    arguments = ["--project", project, "export", "profiles", "--experiment", "zscore", "--raw", str(raw)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    found = pd.read_csv(raw).set_index(["Metadata_Plate", "Metadata_Well"])
    given = pd.read_csv("wells.csv").set_index([PLATE, WELL])
    np.testing.assert_allclose(found.loc[given.index, features], given[features], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("misplaced", [{}, MISPLACED], ids=["perfect", "three errors"])
def test_bbbc021_is_scored_as_published(
    shared: Path, tmp_path: Path, misplaced: dict[tuple[str, float], str]
) -> None:
    images = shared / "reference" / "BBBC021_v1_image.csv.gz"
    mechanisms = shared / "reference" / "BBBC021_v1_moa.csv"
    wells = wells_with_mechanisms(images, mechanisms)
    features = planted_features(wells, misplaced)
    expected = expected_scores(wells, features)
    assert expected["nsc"] == (103 - len(misplaced), 103)
    features.to_csv(tmp_path / "wells.csv", index=False)
    arguments = ["--annotations", images, "--annotations", mechanisms, "--preset", "bbbc021"]
    variants = ("zscore", "whitening", "tvn", "uncorrected")
    chosen = [text for variant in variants for text in ("--variant", variant)]
    metrics = 'evaluation.metrics=["nsc", "nscb", "nscb_strict", "map"]'
    result = score(
        tmp_path / "wells.csv", *arguments, *chosen, "--project", tmp_path / "scored", "--set", metrics
    )
    assert result.exit_code == 0, result.output
    assert "expected_counts" not in result.output, "103 treatments of 12 mechanisms are found"
    for variant in ("zscore", "whitening", "tvn"):
        found = scores_of(tmp_path / "scored", variant)
        for name, (right, n) in expected.items():
            assert (found[name]["value"], found[name]["n"]) == (pytest.approx(right / n), n), (variant, name)
        assert found["drop"]["value"] == pytest.approx(found["nsc"]["value"] - found["nscb"]["value"])
    errors = pd.read_csv(tmp_path / "scored/outputs/zscore/evaluation/tables/errors_nsc.csv")
    assert len(errors) == len(misplaced)
    assert scores_of(tmp_path / "scored", "uncorrected")["nsc"]["value"] < 0.5, "plates had to be corrected"
