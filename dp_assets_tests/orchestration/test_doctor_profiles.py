"""The doctor on profiles and scores: controls, labels, replicates, annotation tables and feature files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dp_assets.config.errors import Problem
from dp_assets.config.project import load_project
from dp_assets.orchestration.doctor_profiles import examine_profiles, site_annotations
from dp_assets.orchestration.examination import Examination
from dp_assets.orchestration.lanes import unavailable
from dp_assets.orchestration.project_resource import ProjectResource
from dp_assets.orchestration.project_setup import set_up_project
from dp_assets.storage.index_file import read_index
from dp_assets_tests.orchestration.materializing import Workshop, call

SPHERING = {"correction": {"method": "sphering"}}


def examined(root: Path, *, read: bool = True) -> Examination:
    """What the doctor finds of profiles and scores, without looking at images."""
    project = load_project(root)
    resource = ProjectResource.of(project)
    sites = None
    if project.reference is not None:
        channels = project.reference.crops().images.channels
        sites = site_annotations(read_index(resource.index_location(), channels), channels)
    usable = [e for e in project.experiments.values() if not unavailable(e)]
    return examine_profiles(usable, resource, sites, read=read)


def texts(problems: list[Problem]) -> str:
    return "\n".join(map(str, problems))


def profiles(**changes: Any) -> Callable[[dict], None]:
    return lambda data: data["profiles"].update(changes)


def in_column(workshop: Workshop, column: str, change: Callable[[dict[str, str]], str]) -> None:
    """Change a column of the index; `change` gets the row."""

    def rewritten(lines: list[str]) -> list[str]:
        names = lines[0].split(",")
        rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
        for row in rows:
            row[column] = change(row)
        return [lines[0], *(",".join(row[name] for name in names) for row in rows)]

    workshop.rewrite_index(rewritten)


def without_column(workshop: Workshop, column: str) -> None:
    def rewritten(lines: list[str]) -> list[str]:
        place = lines[0].split(",").index(column)
        return [
            ",".join(cell for number, cell in enumerate(line.split(",")) if number != place) for line in lines
        ]

    workshop.rewrite_index(rewritten)


def test_a_good_project_has_neither_problems_nor_warnings(tiny: Workshop) -> None:
    found = examined(tiny.root)
    assert (texts(found.problems), texts(found.warnings)) == ("", "")
    assert found.summary == "of 1 experiments"


def test_the_doctor_says_it(tiny: Workshop) -> None:
    set_up_project(tiny.root)
    assert "profiles and scores" in call(tiny.root, "doctor", "--quick").output
    tiny.configure(profiles(treatment_fields=["Drug"]))
    result = call(tiny.root, "doctor", "--quick")
    assert result.exit_code == 1
    assert 'no metadata column "Drug"' in result.output
    assert "cnn.json: profiles.treatment_fields" in result.output.replace("\n", "")


# columns ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"profiles": {"treatment_fields": ["Compound", "Day"]}}, "profiles.treatment_fields", '"Day"'),
        ({"evaluation": {"label_field": "Metadata_Pathway"}}, "evaluation.label_field", '"Pathway"'),
        ({"profiles": {"correction": {"batch_field": "Week"}}}, "profiles.correction.batch_field", '"Week"'),
        (
            {"profiles": {"control_field": "Role", "control_values": ["negcon"]}},
            "profiles.control_field",
            '"Role"',
        ),
    ],
)
def test_columns_that_are_asked_for_and_missing(
    tiny: Workshop, changes: dict[str, Any], key: str, said: str
) -> None:
    tiny.configure(lambda data: data.update(changes))
    (problem,) = examined(tiny.root).problems
    assert problem.where == f"{tiny.root / 'inputs/config/cnn.json'}: {key}"
    assert said in problem.what


def test_wells_with_two_treatments(tiny: Workshop) -> None:
    lines = (tiny.root / "inputs/metadata/index.csv").read_text().splitlines()
    names = lines[0].split(",")
    tiny.rewrite_index(
        lambda lines: [
            *lines,
            # a second field of the last well, of another compound
            ",".join(
                {"Metadata_Site": "2", "Compound": "Rotundin-A"}.get(name, cell)
                for name, cell in zip(names, lines[-1].split(","), strict=True)
            ),
        ]
    )
    said = texts(examined(tiny.root).problems)
    assert 'well A04 has several treatments: "Nuclidol-B", "Rotundin-A"' in said
    assert "cnn.json: profiles.treatment_fields" in said


def test_an_experiment_without_scores_is_not_asked_for_treatments(tiny: Workshop) -> None:
    def plain(data: dict) -> None:
        del data["profiles"], data["evaluation"]
        del data["dataset"]["metadata"]

    tiny.configure(plain)
    for column in ("Compound", "Treatment"):
        without_column(tiny, column)
    # the split still trains, but on another column
    tiny.configure(lambda data: data["train"]["partition"].update(targets=["MOA"]))
    found = examined(tiny.root)
    assert (found.problems, found.warnings) == ([], [])
    assert found.summary == "of 0 experiments"


# controls -----------------------------------------------------------------------------


def test_controls_that_are_nowhere(tiny: Workshop) -> None:
    tiny.configure(lambda data: data["dataset"]["metadata"].update(control_value="EMPTY_"))
    found = examined(tiny.root)
    (problem,) = found.problems
    assert "no well has Treatment 'EMPTY_'" in problem.what
    assert "profiles.normalization needs" in problem.what
    tiny.configure(profiles(normalization={"method": "none"}))
    found = examined(tiny.root)
    assert found.problems == []
    assert "no well is a control: activity, plate_effect will not apply" in texts(found.warnings)


@pytest.mark.parametrize(
    ("settings", "asks"),
    [
        ({}, "profiles.normalization"),
        ({"normalization": {"method": "none"}, **SPHERING}, "profiles.correction"),
        (SPHERING, "profiles.correction"),
        ({"normalization": {"by": "batch"}}, "profiles.normalization"),
    ],
)
def test_plates_with_one_control_well(tiny: Workshop, settings: dict[str, Any], asks: str) -> None:
    tiny.configure(profiles(**settings))
    assert examined(tiny.root).problems == []
    for column in ("Treatment", "Compound"):
        in_column(
            tiny,
            column,
            lambda row, column=column: (
                "Rotundin"
                if (row["Metadata_Plate"], row["Metadata_Well"]) == ("TINY00002", "A03")
                else row[column]
            ),
        )
    (problem,) = examined(tiny.root).problems
    by = "2" if "batch" in json.dumps(settings) else "TINY00002"
    assert "fewer than two control wells" in problem.what
    assert asks in problem.what
    assert problem.what.endswith(f": {by}")


def test_one_scale_for_all_plates_asks_no_plate_for_controls(tiny: Workshop) -> None:
    tiny.configure(profiles(normalization={"by": "all"}))
    for column in ("Treatment", "Compound"):
        in_column(
            tiny,
            column,
            lambda row, column=column: "X" if row["Metadata_Plate"] == "TINY00002" else row[column],
        )
    assert examined(tiny.root).problems == []


# scores -------------------------------------------------------------------------------


def test_metrics_that_will_not_apply(tiny: Workshop) -> None:
    in_column(tiny, "MOA", lambda _: "")
    said = texts(examined(tiny.root).warnings)
    assert "no treatment has a label: consistency, enrichment, map, nsc, nscb, nscb_strict" in said
    assert "add a column MOA" in said
    tiny.configure(lambda data: data.update(evaluation={"metrics": ["replicate_strength", "plate_effect"]}))
    assert examined(tiny.root).warnings == []


def test_labels_of_one_compound_each(tiny: Workshop) -> None:
    in_column(tiny, "MOA", lambda row: row["Compound"])
    said = texts(examined(tiny.root).warnings)
    assert "no two compounds share a label: consistency, nsc, nscb, nscb_strict will not apply" in said
    # the compounds of the example are on a plate each, and so are their labels then
    assert "2 labels are in a single batch" in said


def test_several_labels_are_compared_one_by_one(tiny: Workshop) -> None:
    in_column(tiny, "MOA", lambda row: f"Nuclear swelling|{row['Compound']}" if row["MOA"] else "")
    said = texts(examined(tiny.root).warnings)
    assert "share a label" not in said
    assert "labels are in a single batch" in said
    assert "Nuclear swelling" not in said


def test_treatments_without_replicates(tiny: Workshop) -> None:
    in_column(tiny, "Concentration", lambda row: row["Metadata_Well"][1:] if row["MOA"] else "0")
    tiny.configure(profiles(treatment_fields=["Compound", "Concentration"]))
    said = texts(examined(tiny.root).warnings)
    assert "no treatment has two wells: activity, replicate_strength will not apply" in said


def test_a_single_batch(tiny: Workshop) -> None:
    in_column(tiny, "Batch", lambda _: "1")
    assert "there is a single batch: nscb, nscb_strict will not apply" in texts(examined(tiny.root).warnings)


def test_part_of_a_published_set(tiny: Workshop) -> None:
    tiny.configure(lambda data: data.update(profiles={"preset": "bbbc021"}))
    said = texts(examined(tiny.root).warnings)
    assert "bbbc021 stands for 103 treatments; there are 2" in said


# annotation tables --------------------------------------------------------------------


def test_labels_from_an_annotation_table(tiny: Workshop) -> None:
    without_column(tiny, "MOA")
    assert "no treatment has a label" in texts(examined(tiny.root).warnings)
    table = tiny.root / "inputs/metadata/moa.csv"
    table.write_text("Compound,MOA\nNuclidol-A,swelling\nNuclidol-B,swelling\n")
    tiny.configure(profiles(annotations=["moa.csv"]))
    found = examined(tiny.root)
    assert (texts(found.problems), texts(found.warnings)) == ("", "")


def test_an_annotation_table_that_is_missing_or_empty(tiny: Workshop) -> None:
    tiny.configure(profiles(annotations=["moa.csv"]))
    (problem,) = examined(tiny.root).problems
    assert "moa.csv" in problem.where
    assert "not there" in problem.what
    (tiny.root / "inputs/metadata/moa.csv").write_text("")
    (problem,) = examined(tiny.root).problems
    assert "empty" in problem.what


def test_an_annotation_table_that_contradicts_itself_or_is_of_another_project(tiny: Workshop) -> None:
    table = tiny.root / "inputs/metadata/moa.csv"
    tiny.configure(profiles(annotations=["moa.csv"]))
    table.write_text("Compound,Target,Day\nNuclidol-A,lamin,1\nNuclidol-A,lamin,2\n")
    found = examined(tiny.root)
    assert found.problems == []
    assert "column Day of moa.csv is not used" in texts(found.warnings)
    assert "profiles.annotations" in texts(found.warnings)
    table.write_text("Compound,Target\naspirin,COX\n")
    (problem,) = examined(tiny.root).problems
    assert problem.where.endswith("moa.csv")


# feature tables of other programs -----------------------------------------------------


def write_table(root: Path, name: str = "P1.csv", plate: str = "P1", controls: int = 4) -> None:
    """A table of wells: some of DMSO, and two of each of two compounds with one mechanism."""
    rows = [(f"A{number + 1:02d}", "DMSO", "") for number in range(controls)]
    rows += [(f"B{number + 1:02d}", f"drug {'xy'[number % 2]}", "kinase") for number in range(4)]
    lines = [
        "Metadata_Plate,Metadata_Well,Metadata_Compound,Metadata_MOA,Cells_AreaShape_Area,Nuclei_AreaShape_Area"
    ]
    lines += [
        f"{plate},{well},{compound},{moa},{n}.5,{n * n}" for n, (well, compound, moa) in enumerate(rows)
    ]
    folder = root / "inputs" / "features"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n")


def write_tables_experiment(root: Path, **profiles: Any) -> None:
    data = {
        "features": {"files": ["*.csv"]},
        "dataset": {"metadata": {"label_field": "Compound", "control_value": "DMSO"}},
        "profiles": profiles,
    }
    folder = root / "inputs" / "config"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tables.json").write_text(json.dumps(data))


def test_tables_alone_in_a_project_are_looked_into(tmp_path: Path) -> None:
    write_tables_experiment(tmp_path)
    for number in (1, 2):
        write_table(tmp_path, f"P{number}.csv", f"P{number}")
    for read in (False, True):
        found = examined(tmp_path, read=read)
        assert (texts(found.problems), texts(found.warnings)) == ("", "")
    set_up_project(tmp_path)
    result = call(tmp_path, "doctor")
    assert result.exit_code == 0, result.output
    assert "experiments: tables" in result.output


def test_tables_that_are_not_there(tmp_path: Path) -> None:
    write_tables_experiment(tmp_path)
    for read in (False, True):
        (problem,) = examined(tmp_path, read=read).problems
        assert "*.csv" in str(problem)
        assert problem.where.startswith(str(tmp_path / "inputs/config/tables.json"))


def test_a_table_without_wells_is_found_by_its_header(tmp_path: Path) -> None:
    write_tables_experiment(tmp_path)
    write_table(tmp_path)
    path = tmp_path / "inputs/features/P1.csv"
    path.write_text(path.read_text().replace("Metadata_Well", "Metadata_Place"))
    (problem,) = examined(tmp_path, read=False).problems
    assert "no column tells the well" in problem.what


def test_controls_and_columns_of_tables_are_looked_at(tmp_path: Path) -> None:
    write_tables_experiment(tmp_path, correction={"method": "sphering"})
    write_table(tmp_path)
    write_table(tmp_path, "P2.csv", "P2", controls=1)
    assert examined(tmp_path, read=False).problems == []
    (problem,) = examined(tmp_path).problems
    assert problem.what.endswith("profiles.correction needs: P2")
    write_tables_experiment(tmp_path, treatment_fields=["Compound", "Dose"])
    (problem,) = examined(tmp_path).problems
    assert '"Dose"' in problem.what


def test_tables_and_images_in_one_project(tiny: Workshop) -> None:
    write_tables_experiment(tiny.root)
    write_table(tiny.root)
    found = examined(tiny.root)
    assert found.problems == []
    assert found.summary == "of 2 experiments"
    # one plate is one batch, and it says so of the tables alone
    assert all("tables.json" in warning.where for warning in found.warnings)


def test_values_that_are_missing_are_told(tmp_path: Path) -> None:
    write_tables_experiment(tmp_path)
    for number in (1, 2):
        write_table(tmp_path, f"P{number}.csv", f"P{number}")
    path = tmp_path / "inputs/features/P1.csv"
    path.write_text(path.read_text().replace("0.5,", "nan,", 1))
    found = examined(tmp_path)
    assert found.problems == []
    assert "not everything is used" in texts(found.warnings)
