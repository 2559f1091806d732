"""Projects made for scoring tables: what is written, what is refused, what a second call changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from dp_assets.config.errors import ConfigurationError, ProjectError
from dp_assets.config.presets import PRESETS
from dp_assets.config.project import load_project
from dp_assets.config.protocol import Correction, Normalization, ScoringSettings, TreatmentAggregation
from dp_assets.orchestration.scoring_project import default_folder, write_scoring_project
from dp_assets.orchestration.scoring_request import USUAL, VARIANTS, ScoreRequest, chosen_variants
from dp_assets_tests.conftest import REPOSITORY

TABLE = Path("/data/profiles.csv")
CONTROL = ("Compound", ("DMSO", "water"))


def request(**changes: Any) -> ScoreRequest:
    return ScoreRequest((TABLE,), **{"preset": "bbbc021", **changes})


def settings_of(root: Path, name: str) -> ScoringSettings:
    project = load_project(root, strict=True)
    assert project.broken == {}
    return project.experiments[name].scoring()


# variants -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["zscore", "whitening", "tvn"]),
        ({"variants": ("tvn", "zscore", "tvn")}, ["tvn", "zscore"]),
        ({"correction": "sphering"}, ["sphering"]),
        ({"normalization": "mad_robustize"}, ["mad_robustize"]),
        ({"normalization": "none", "correction": "none"}, ["uncorrected"]),
        ({"normalization": "mad_robustize", "correction": "tvn"}, ["mad_robustize_tvn"]),
        ({"variants": ("zscore",), "normalization": "none", "correction": "tvn"}, ["zscore", "none_tvn"]),
        ({"variants": ("tvn",), "correction": "tvn"}, ["tvn"]),
    ],
)
def test_variants_are_those_asked_for(asked: dict[str, Any], found: list[str]) -> None:
    assert [variant.name for variant in chosen_variants(request(**asked))] == found


def test_lambda_without_a_correction_is_refused() -> None:
    with pytest.raises(ProjectError, match="zscore, uncorrected: no correction, so lambda has no meaning"):
        chosen_variants(request(variants=("zscore", "uncorrected"), regularization=0.1))


# what is written ----------------------------------------------------------------------


def test_the_usual_variants_of_a_published_set(tmp_path: Path) -> None:
    root = tmp_path / "scores" / "a"
    assert write_scoring_project(root, request()) == ["zscore", "whitening", "tvn"]
    found = {name: settings_of(root, name) for name in ("zscore", "whitening", "tvn")}
    zscore = found["zscore"].profiles
    assert zscore.level == "well"
    assert zscore.normalization == Normalization(method="standardize", by="plate", reference="controls")
    assert zscore.correction.method == "none"
    assert zscore.treatments == TreatmentAggregation(aggregation="mean", source="well")
    assert not zscore.feature_selection.operations
    assert (zscore.columns.control, zscore.columns.control_values) == (("Compound",), ("DMSO",))
    for name in ("whitening", "tvn"):
        profiles = found[name].profiles
        assert profiles.correction == Correction(method=name, regularization=1.0)
        # nothing but the correction tells the variants apart
        assert profiles.model_copy(update={"correction": zscore.correction}) == zscore
        assert found[name].evaluation == found["zscore"].evaluation
    assert all(settings.evaluation.preset == "bbbc021" for settings in found.values())
    features = found["zscore"].features
    assert features is not None
    assert features.files == (str(TABLE),)


def test_every_option_arrives_where_it_belongs(tmp_path: Path) -> None:
    asked = ScoreRequest(
        tables=(TABLE, Path("/data/more")),
        annotations=(Path("/data/moa.csv"),),
        control=CONTROL,
        treatment=("Compound", "Dose"),
        label="Target",
        compound="Compound",
        batch="Week",
        normalization="mad_robustize",
        correction="sphering",
        regularization=0.5,
        treatment_aggregation="median",
        settings=("features.level=site", 'evaluation.metrics=["nsc","map"]', "evaluation.bootstraps=100"),
    )
    assert write_scoring_project(tmp_path, asked) == ["mad_robustize_sphering"]
    found = settings_of(tmp_path, "mad_robustize_sphering")
    profiles, columns = found.profiles, found.profiles.columns
    assert profiles.preset == "custom"
    assert profiles.annotations == ("/data/moa.csv",)
    assert profiles.normalization.method == "mad_robustize"
    assert profiles.correction == Correction(method="sphering", regularization=0.5)
    assert profiles.treatments == TreatmentAggregation(aggregation="median", source="well")
    assert (columns.control, columns.control_values) == (("Compound",), ("DMSO", "water"))
    assert (columns.treatment, columns.label) == (("Compound", "Dose"), ("Target",))
    assert (columns.compound, columns.batch) == (("Compound",), ("Week",))
    assert set(columns.required) == {"Compound", "Dose", "Target", "Week"}
    assert found.evaluation.settings.metrics == ("nsc", "map")
    assert found.evaluation.settings.bootstraps == 100
    assert found.features is not None
    assert (found.features.files, found.features.level) == ((str(TABLE), "/data/more"), "site")


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_makes_a_usable_experiment(tmp_path: Path, name: str) -> None:
    write_scoring_project(tmp_path, request(variants=(name,)))
    profiles = settings_of(tmp_path, name).profiles
    assert (profiles.normalization.method, profiles.correction.method) == (
        VARIANTS[name].normalization,
        VARIANTS[name].correction,
    )


def test_profiles_as_they_are_need_no_controls(tmp_path: Path) -> None:
    asked = ScoreRequest((TABLE,), variants=("uncorrected",))
    assert write_scoring_project(tmp_path, asked) == ["uncorrected"]
    assert settings_of(tmp_path, "uncorrected").profiles.normalization.method == "none"


def test_a_table_names_its_project() -> None:
    assert default_folder(Path("/data/plates.v2.csv.gz")) == Path("scores/plates")


def test_every_variant_and_preset_is_documented() -> None:
    page = (REPOSITORY / "docs" / "scoring.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| `")}
    for variant in VARIANTS.values():
        usual = " (default)" if variant.name in USUAL else ""
        assert f"| {variant.normalization} |" in rows[f"`{variant.name}`{usual}"]
        assert f"| {variant.correction} |" in rows[f"`{variant.name}`{usual}"].lower()
    assert all(f"`{preset}`" in page for preset in PRESETS)


# what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"preset": "custom"}, "zscore, whitening, tvn needs control wells.*--control Compound=DMSO"),
        ({"settings": ("features.levle=site",)}, 'unknown key "levle"'),
        ({"settings": ("features.level=row",)}, r'variant zscore: features\.level: level is "row"'),
        ({"settings": ("profiles.treatment_source=site",)}, r"variant zscore: profiles\.treatment_source"),
        ({"settings": ("nonsense",)}, "sets nothing"),
    ],
)
def test_what_does_not_go_together_is_said_and_nothing_is_written(
    tmp_path: Path, asked: dict[str, Any], says: str
) -> None:
    with pytest.raises(ProjectError, match=f"(?s){says}"):
        write_scoring_project(tmp_path / "new", request(**asked))
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "inputs" / "config" / "zscore.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("{}")
    with pytest.raises(ProjectError, match="`dp-assets score` did not make"):
        write_scoring_project(tmp_path, request())
    assert mine.read_text() == "{}"


def test_a_project_of_other_tables_is_refused(tmp_path: Path) -> None:
    write_scoring_project(tmp_path, request())
    with pytest.raises(ProjectError, match=r"of other tables: /data/profiles\.csv"):
        write_scoring_project(tmp_path, ScoreRequest((Path("/data/other.csv"),), preset="bbbc021"))


def test_a_damaged_record_is_said(tmp_path: Path) -> None:
    write_scoring_project(tmp_path, request())
    (tmp_path / "score.json").write_text("{")
    with pytest.raises(ProjectError, match=r"score\.json: the record of this project cannot be read"):
        write_scoring_project(tmp_path, request())


def test_an_edited_file_is_neither_overwritten_nor_taken_away(tmp_path: Path) -> None:
    write_scoring_project(tmp_path, request())
    path = tmp_path / "inputs/config/tvn.json"
    edited = json.loads(path.read_text())
    edited["evaluation"]["seed"] = 1
    path.write_text(json.dumps(edited))
    for asked in (request(), request(variants=("zscore",))):
        with pytest.raises(ConfigurationError, match=r"tvn\.json: the file was edited"):
            write_scoring_project(tmp_path, asked)
        assert json.loads(path.read_text()) == edited
    path.rename(path.with_name("mine.json"))
    write_scoring_project(tmp_path, request(variants=("zscore",)))
    assert set(load_project(tmp_path).experiments) == {"mine", "zscore"}


# a second call ------------------------------------------------------------------------


def test_the_same_request_changes_no_file(tmp_path: Path) -> None:
    write_scoring_project(tmp_path, request())
    folder = tmp_path / "inputs/config"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    write_scoring_project(tmp_path, request())
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_another_request_changes_the_experiments(tmp_path: Path) -> None:
    write_scoring_project(tmp_path, request())
    names = write_scoring_project(tmp_path, request(variants=("tvn", "sphering"), regularization=0.2))
    assert names == ["tvn", "sphering"]
    assert set(load_project(tmp_path).experiments) == {"tvn", "sphering"}
    assert settings_of(tmp_path, "tvn").profiles.correction.regularization == 0.2
    write_scoring_project(tmp_path, request())
    assert set(load_project(tmp_path).experiments) == {"zscore", "whitening", "tvn"}


def test_a_call_that_was_killed_between_two_files_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dp_assets.orchestration import scoring_project

    write_scoring_project(tmp_path, request())
    real = scoring_project.write_bytes

    class KilledError(Exception):
        pass

    def until_the_second_experiment(path: Path, data: bytes) -> None:
        if path.name == "whitening.json":
            raise KilledError
        real(path, data)

    monkeypatch.setattr(scoring_project, "write_bytes", until_the_second_experiment)
    changed = request(treatment_aggregation="median")
    with pytest.raises(KilledError):
        write_scoring_project(tmp_path, changed)
    monkeypatch.undo()
    write_scoring_project(tmp_path, changed)
    for name in ("zscore", "whitening", "tvn"):
        assert settings_of(tmp_path, name).profiles.treatments.aggregation == "median"
