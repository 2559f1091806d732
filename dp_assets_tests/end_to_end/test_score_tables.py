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
VARIANTS = ("zscore", "tvn")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


def scores_of(project: Path, variant: str) -> dict[str, dict[str, Any]]:
    found = json.loads((project / "outputs" / variant / "evaluation" / "scores.json").read_text())
    return {entry["name"]: entry for entry in found}


def small_screen() -> pd.DataFrame:
    """Wells of four plates: DMSO, and of each of three mechanisms one compound in each week, at two doses."""
    rows = []
    for week in (1, 2):
        treated = [(f"{kind}-{week}", dose, kind * 3) for kind in "abc" for dose in (0.1, 3.0)]
        for plate in (f"Week{week}_1", f"Week{week}_2"):
            for number, (name, dose, moa) in enumerate([("DMSO", 0.0, "DMSO")] * 4 + treated):
                rows.append((plate, f"B{number + 2:02d}", name, dose, moa))
    return pd.DataFrame(rows, columns=[PLATE, WELL, COMPOUND, "dose", "moa"])


def write_screen(folder: Path) -> None:
    """`wells.csv` with features alone; `plates.csv` and `moa.csv` with what the wells are."""
    wells = small_screen()
    planted_features(wells, {("a-1", 3.0): "bbb"}, seed=1).to_csv(folder / "wells.csv", index=False)
    names = {PLATE: "Metadata_Plate", WELL: "Metadata_Well", COMPOUND: "Compound", "dose": "Concentration"}
    wells.rename(columns=names)[list(names.values())].to_csv(folder / "plates.csv", index=False)
    known = wells[wells["moa"] != "DMSO"].drop_duplicates([COMPOUND, "dose"])
    known = known.rename(columns={COMPOUND: "compound", "dose": "concentration"})
    known[["compound", "concentration", "moa"]].to_csv(folder / "moa.csv", index=False)


def command(folder: Path) -> list[object]:
    """The command that scores the screen."""
    return [
        "score",
        folder / "wells.csv",
        *("--annotations", folder / "plates.csv", "--annotations", folder / "moa.csv"),
        *("--control", "Compound=DMSO", "--treatment", "Compound", "--treatment", "Concentration"),
        *(text for name in VARIANTS for text in ("--variant", name)),
        *("--project", folder / "scored", "--set", FEW_SCORES),
    ]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The folder of a small screen that was scored, and what the command said; not to be changed."""
    folder = tmp_path_factory.mktemp("screen")
    write_screen(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DP_PROJECT", "DAGSTER_HOME"):
            patch.setenv(name, "unset")
            patch.delenv(name)
        patch.setattr("absl.logging.PythonHandler.close", lambda _: None)
        return folder, run(*command(folder))


def test_a_small_screen_is_scored_by_one_command(scored: tuple[Path, Result]) -> None:
    folder, result = scored
    assert result.exit_code == 0, result.output
    expected = expected_scores(small_screen(), pd.read_csv(folder / "wells.csv"))
    assert expected == {"nsc": (11, 12), "nscb": (11, 12)}, "one treatment is misplaced"
    for variant in VARIANTS:
        found = scores_of(folder / "scored", variant)
        for name, (right, n) in expected.items():
            assert (found[name]["value"], found[name]["n"]) == (pytest.approx(right / n), n)
            assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]


def test_the_command_shows_the_variants_side_by_side_and_where_the_reports_lie(
    scored: tuple[Path, Result],
) -> None:
    folder, result = scored
    table = {line.split()[0]: line.split() for line in result.output.splitlines() if line.strip()}
    assert table["score"] == ["score", "n", *VARIANTS]
    assert table["nsc"][:3] == ["nsc", "12", "0.917"]
    outputs = folder / "scored" / "outputs"
    pages = [outputs / variant / "evaluation" / "evaluation.html" for variant in VARIANTS]
    for page in (*pages, outputs / "comparison" / "comparison.html"):
        assert page.exists()
        assert f"  {page}\n" in result.output
    assert "40 wells, 12 treatments, 60 features" in result.output


def test_profiles_are_those_of_the_protocol(scored: tuple[Path, Result]) -> None:
    """z-score to the DMSO wells of the plate, then the mean of the wells: number for number."""
    folder, _ = scored
    wells, table = small_screen(), pd.read_csv(folder / "wells.csv")
    features = [name for name in table if name not in (PLATE, WELL)]
    scaled = []
    for _, rows in table.groupby(PLATE):
        controls = rows[wells.loc[rows.index, COMPOUND] == "DMSO"][features]
        scaled.append((rows[features] - controls.mean()) / controls.std(ddof=0))
    names = wells[COMPOUND] + "@" + wells["dose"].map("{:g}".format)
    expected = pd.concat(scaled).groupby(names).mean().drop(index="DMSO@0")
    found = pd.read_parquet(folder / "scored/outputs/zscore/treatment_profiles.parquet")
    found = found.set_index("Metadata_Treatment")
    assert sorted(found.index) == sorted(expected.index)
    np.testing.assert_allclose(found.loc[expected.index, features], expected, rtol=1e-3, atol=1e-3)


def test_a_second_call_makes_nothing_again(scored: tuple[Path, Result]) -> None:
    folder, first = scored
    outputs = folder / "scored" / "outputs"
    before = {path: path.stat().st_mtime_ns for path in outputs.rglob("*")}
    again = run(*command(folder))
    assert again.exit_code == 0, again.output
    assert again.output.count("nothing has changed") == len(VARIANTS)
    assert again.output.partition("40 wells")[2] == first.output.partition("40 wells")[2]
    assert {path: path.stat().st_mtime_ns for path in outputs.rglob("*")} == before


def test_the_project_is_one_like_any_other(scored: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = scored
    export = ("--project", folder / "scored", "export", "profiles", "--experiment", "zscore")
    assert run(*export, tmp_path / "zscore.parquet").exit_code == 0
    profiles = pd.read_parquet(tmp_path / "zscore.parquet")
    controls = profiles[profiles["Metadata_Control"] == "true"]
    assert len(controls) == 16
    features = [name for name in profiles if not name.startswith("Metadata_")]
    for _, plate in controls.groupby("Metadata_Plate"):
        np.testing.assert_allclose(plate[features].mean(), 0, atol=1e-3)
        np.testing.assert_allclose(plate[features].std(ddof=0), 1, atol=1e-3)
    assert run(*export, "--raw", tmp_path / "raw.csv").exit_code == 0
    found = pd.read_csv(tmp_path / "raw.csv").set_index(["Metadata_Plate", "Metadata_Well"])
    given = pd.read_csv(folder / "wells.csv").set_index([PLATE, WELL])
    np.testing.assert_allclose(found.loc[given.index, features], given[features], rtol=1e-5)


def test_a_plate_without_controls_is_named(tmp_path: Path) -> None:
    write_screen(tmp_path)
    wells = small_screen()
    kept = ~((wells[PLATE] == "Week2_2") & (wells[COMPOUND] == "DMSO")).to_numpy()
    pd.read_csv(tmp_path / "wells.csv")[kept].to_csv(tmp_path / "wells.csv", index=False)
    result = run(*command(tmp_path))
    assert result.exit_code == 1
    assert "Week2_2" in result.output
    assert "could not be scored: zscore, tvn" in result.output
    assert "->" in result.output
    assert "Traceback" not in result.output


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
    target = ("--project", tmp_path / "scored", "--set", metrics)
    result = run("score", tmp_path / "wells.csv", *arguments, *chosen, *target)
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
