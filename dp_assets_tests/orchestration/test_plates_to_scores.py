"""From the profiles of plates to scores: plates that are missing or old, labels that change or contradict."""

from pathlib import Path

import pandas as pd
import pytest

from dp_assets.orchestration.code_location import build_defs
from dp_assets_tests.orchestration.made_up_cells import (
    CORRECTED,
    PLATES,
    SCORED,
    annotate,
    configuration,
    made_up_project,
    profile,
    site_index,
    write_cells,
)
from dp_assets_tests.orchestration.materializing import call


def test_a_plate_that_is_not_profiled_yet_is_named_wherever_results_are_shown(tmp_path: Path) -> None:
    workshop = made_up_project(tmp_path / "project")
    profile(workshop, "P1", "P2")
    ran = workshop.make(*SCORED)
    assert ran.succeeded
    assert ran.metadata["cnn/profiles"]["plates"] == 2
    assert ran.metadata["cnn/profiles"]["plates_not_profiled"] == "P3"
    assert ran.failed_checks["wells_agree"]["plates_without_profiles"] == "P3"
    report = (workshop.root / "outputs" / "cnn" / "evaluation" / "evaluation.html").read_text(
        encoding="utf-8"
    )
    assert "plates not profiled yet" in report
    profile(workshop, "P3")
    again = workshop.make(*SCORED)
    assert again.metadata["cnn/profiles"]["plates_not_profiled"] == "none"
    assert again.failed_checks == {}
    assert again.metadata["cnn/evaluation"]["recomputed"] is True


@pytest.mark.parametrize("origin", [{"model": "former"}, {"layer": "other"}])
def test_plates_of_another_model_or_layer_are_refused_by_name(tmp_path: Path, origin: dict[str, str]) -> None:
    workshop = made_up_project(tmp_path / "project")
    write_cells(workshop.root, site_index(), plates=("P2",), **origin)
    profile(workshop, *PLATES)
    ran = workshop.make("cnn/profiles")
    assert not ran.succeeded
    assert ran.message.startswith("cnn/well_profiles: ")
    assert "plates P1, P3" in ran.message
    assert f"{next(iter(origin.values()))}" in ran.message
    assert "run the stage `profile` again" in ran.message


def test_nothing_profiled_says_which_stage_to_run(tmp_path: Path) -> None:
    ran = made_up_project(tmp_path / "project").make("cnn/profiles")
    assert ran.message == (
        "cnn/well_profiles: no plate has been profiled\n    -> run the stage `profile` for at least one plate"
    )


def test_a_corrected_label_changes_its_plates_profiles_and_the_scores_alone(tmp_path: Path) -> None:
    workshop = made_up_project(tmp_path / "project")
    first = profile(workshop, *PLATES)
    scores = workshop.make(*SCORED)
    index = site_index()
    of_c0 = index["Compound"] == "c0"
    annotate(workshop, index.assign(MOA=index["MOA"].where(~of_c0, "m1")))
    second = profile(workshop, *PLATES)
    assert all(
        first[plate].versions["cnn/well_profiles"] != second[plate].versions["cnn/well_profiles"]
        for plate in PLATES
    )
    again = workshop.make(*SCORED)
    assert again.metadata["cnn/evaluation"]["recomputed"] is True
    assert again.versions["cnn/evaluation"] != scores.versions["cnn/evaluation"]
    annotate(workshop, index)
    profile(workshop, *PLATES)
    assert workshop.make(*SCORED).versions == scores.versions


def test_wells_that_take_no_part_are_not_missing(tmp_path: Path) -> None:
    index = site_index()
    index.loc[index["Compound"] == "c3", "MOA"] = ""
    settings = configuration(
        profiles={"preset": "bbbc022", "correction": {"method": "none"}, "normalization": {"method": "none"}}
    )
    workshop = made_up_project(tmp_path / "project", index, settings)
    profile(workshop, *PLATES)
    ran = workshop.make(*CORRECTED)
    assert ran.succeeded, ran.failures
    assert ran.metadata["cnn/profiles"]["left_out"] == {"no label": 3}
    assert set(ran.failed_checks) == {"expected_counts"}


def contradicting(plates: tuple[str, ...]) -> pd.DataFrame:
    """A well of the first plate whose sites have two compounds."""
    index = site_index(plates)
    second = (index["Metadata_Plate"] == "P1") & (index["Metadata_Well"] == "A05")
    index.loc[second & (index["Metadata_Site"] == "2"), "Compound"] = "c3"
    return index


@pytest.mark.parametrize("plates", [("P1",), PLATES])
def test_sites_of_a_well_that_contradict_each_other_are_named(
    tmp_path: Path, plates: tuple[str, ...]
) -> None:
    workshop = made_up_project(tmp_path / "project", contradicting(plates))
    profile(workshop, *plates)
    ran = workshop.make(*CORRECTED)
    assert not ran.succeeded
    told = "\n".join([*ran.failures, *map(str, ran.failed_checks.get("one_treatment_per_well", {}).values())])
    assert 'plate P1, well A05 has several treatments: "c0", "c3"' in told
    assert "no metadata column" not in told
    assert "cnn/treatment_profiles" not in ran.metadata


def test_a_blocking_check_is_named_on_the_command_line_with_what_to_do(tmp_path: Path) -> None:
    workshop = made_up_project(tmp_path / "project", contradicting(PLATES))
    profile(workshop, *PLATES)
    assert call(workshop.root, "run", "index").exit_code == 0
    result = call(workshop.root, "run", "evaluate")
    shown = " ".join(result.output.split())
    assert result.exit_code == 1
    assert "stopped by a blocking check: cnn/profiles: one_treatment_per_well" in shown
    assert "name all columns that make a treatment" in shown
    assert "no mistake that is known" not in shown


def test_controls_alone_are_no_experiment(tmp_path: Path) -> None:
    index = site_index().assign(Compound="DMSO")
    workshop = made_up_project(tmp_path / "project", index)
    profile(workshop, *PLATES)
    ran = workshop.make(*CORRECTED)
    assert (
        "cnn.json: profiles.control_values: there is no treatment: all 24 profiles are controls"
        in ran.message
    )


def test_images_without_treatments_are_profiled_and_not_scored(tmp_path: Path) -> None:
    settings = configuration()
    del settings["dataset"]["metadata"], settings["evaluation"]
    workshop = made_up_project(tmp_path / "project", None, settings)
    profile(workshop, *PLATES)
    keys = {
        key.to_user_string() for key in build_defs(workshop.root).resolve_asset_graph().get_all_asset_keys()
    }
    assert not keys & set(SCORED)
    result = call(workshop.root, "run", "evaluate")
    assert result.exit_code == 1
    assert "no experiment describes the stage evaluate" in result.output
