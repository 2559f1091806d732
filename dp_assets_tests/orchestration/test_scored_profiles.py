"""From a feature table to scores: the assets over all plates, their checks, and what they keep."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from dp_assets.orchestration.code_location import build_defs
from dp_assets_tests.orchestration.feature_files import (
    external_experiment,
    lane,
    planted_wells,
    write_external,
)
from dp_assets_tests.orchestration.materializing import Ran, Workshop

BLOCKING = {"one_treatment_per_well", "controls_per_plate", "no_missing_values", "controls_whitened"}


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workshop, Ran]:
    """Two experiments over one table, both evaluated once; not to be changed."""
    plain = external_experiment()
    plain["profiles"] = {**plain["profiles"], "correction": {"method": "none"}}
    workshop = write_external(
        tmp_path_factory.mktemp("scored") / "project",
        planted_wells(),
        {"sphered": external_experiment(), "plain": plain},
    )
    ran = workshop.make(*lane("sphered"), *lane("plain", sweep=False), "comparison")
    assert ran.succeeded, ran.failures
    return workshop, ran


def scores(workshop: Workshop, name: str) -> dict[str, dict]:
    """Score -> its fields, of an evaluation."""
    path = workshop.root / "outputs" / name / "evaluation" / "scores.json"
    return {score["name"]: score for score in json.loads(path.read_text(encoding="utf-8"))}


def profile(workshop: Workshop, name: str, asset: str) -> pd.DataFrame:
    """A published table of an experiment."""
    return pd.read_parquet(workshop.root / "outputs" / name / f"{asset}.parquet")


def features(table: pd.DataFrame) -> np.ndarray:
    """The features of a table."""
    return table[[name for name in table if not name.startswith("Metadata_")]].to_numpy(np.float64)


def test_the_planted_mechanisms_are_found_and_every_score_says_what_it_rests_on(
    scored: tuple[Workshop, Ran],
) -> None:
    found = scores(scored[0], "plain")
    assert found["nsc"]["value"] == 1.0
    assert found["nsc"]["n"] == 8
    assert found["map"]["value"] == pytest.approx(1.0)
    assert found["activity_fraction"]["value"] == 1.0
    for score in found.values():
        assert score["protocol"]
        assert (score["value"] is None) == bool(score["reason"])
        if score["value"] is not None:
            assert score["n"] > 0


def test_plate_wise_z_scores_are_those_of_the_formula(scored: tuple[Workshop, Ran]) -> None:
    raw, made = planted_wells(), profile(scored[0], "plain", "profiles")
    names = [name for name in raw if name.startswith("Cells_")]
    expected = []
    for _, plate in raw.groupby("Metadata_Plate"):
        controls = plate.loc[plate["Metadata_Compound"] == "DMSO", names]
        expected.append((plate[names] - controls.mean()) / controls.std(ddof=0))
    np.testing.assert_allclose(made[names].to_numpy(), pd.concat(expected).to_numpy(), rtol=2e-4, atol=1e-4)


def test_treatments_are_means_of_wells_and_similarity_is_their_cosine(scored: tuple[Workshop, Ran]) -> None:
    workshop, _ = scored
    wells = profile(workshop, "sphered", "profiles")
    treatments = profile(workshop, "sphered", "treatment_profiles")
    treated = wells[wells["Metadata_Control"] == "false"]
    names = [name for name in wells if not name.startswith("Metadata_")]
    means = treated.groupby("Metadata_Treatment")[names].mean().loc[treatments["Metadata_Treatment"]]
    np.testing.assert_allclose(features(treatments), means.to_numpy(), rtol=1e-5, atol=1e-6)
    similarity = profile(workshop, "sphered", "similarity").set_index("Metadata_Treatment")
    np.testing.assert_allclose(
        similarity[list(similarity.index)].to_numpy(), cosine_similarity(features(treatments)), atol=1e-6
    )


def test_corrected_controls_are_white(scored: tuple[Workshop, Ran]) -> None:
    wells = profile(scored[0], "sphered", "profiles")
    controls = features(wells[wells["Metadata_Control"] == "true"])
    assert np.abs(controls.mean(axis=0)).max() < 1e-5
    covariance = controls.T @ controls / len(controls)
    eigenvalues = np.linalg.eigvalsh(covariance)
    assert 0.4 < eigenvalues.max() <= 1.0


def test_the_map_holds_wells_and_treatments(scored: tuple[Workshop, Ran]) -> None:
    places = profile(scored[0], "plain", "profile_map")
    assert places["Metadata_Level"].value_counts().to_dict() == {"well": 48, "treatment": 8}
    coordinates = places[["umap_1", "umap_2", "tsne_1", "tsne_2"]].to_numpy()
    assert np.isfinite(coordinates).all()
    assert (coordinates.std(axis=0) > 0).all()


def test_the_sweep_scores_every_lambda_on_all_labels_and_on_halves(scored: tuple[Workshop, Ran]) -> None:
    workshop, ran = scored
    table = profile(workshop, "sphered", "correction_sweep")
    assert set(table["regularization"]) == {1.0, 0.1}
    assert table.groupby("half").size().to_dict() == {"all": 2, "first": 4, "second": 4}
    assert ran.metadata["sphered/correction_sweep"]["configured_lambda"] == 0.1
    assert "plain/correction_sweep" not in ran.metadata
    assert not any(key.path[0] == "plain" and "sweep" in key.path[-1] for key in asset_keys(workshop))


def asset_keys(workshop: Workshop) -> set:
    """All assets of the project."""
    return build_defs(workshop.root).resolve_asset_graph().get_all_asset_keys()


def test_the_reports_stand_alone_and_hold_pictures(scored: tuple[Workshop, Ran]) -> None:
    outputs = scored[0].root / "outputs"
    for path in (outputs / "plain/evaluation/evaluation.html", outputs / "comparison/comparison.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(src|href)\s*=\s*[\"']https?:", text)
        assert text.count("data:image/png;base64,") >= 3
    shown = (outputs / "comparison/comparison.html").read_text(encoding="utf-8")
    assert "sphered" in shown
    assert "plain" in shown


def test_pages_of_assets_show_numbers_and_pictures(scored: tuple[Workshop, Ran]) -> None:
    facts = scored[1].metadata
    assert facts["plain/evaluation"]["nsc"] == 1.0
    assert facts["plain/evaluation"]["enrichment"] > 1  # a number, and not the picture of that name
    assert "data:image/png" in facts["plain/evaluation"]["picture_scores_figure"]
    assert "data:image/png" in facts["plain/similarity"]["clustermap"]
    assert "data:image/png" in facts["plain/profile_map"]["wells_umap"]
    assert facts["comparison"]["experiments"] in ("plain, sphered", "sphered, plain")


def test_a_second_run_changes_nothing(scored: tuple[Workshop, Ran]) -> None:
    workshop, first = scored
    before = workshop.contents()
    again = workshop.make(*lane("plain", sweep=False))
    assert again.succeeded
    assert again.versions == {name: first.versions[name] for name in again.versions}
    assert again.metadata["plain/evaluation"]["recomputed"] is False
    assert workshop.contents() == before


def test_an_experiment_that_is_not_evaluated_does_not_stop_the_comparison(tmp_path: Path) -> None:
    first, second = external_experiment(), external_experiment()
    workshop = write_external(tmp_path / "project", planted_wells(), {"first": first, "second": second})
    assert workshop.make(*lane("first", sweep=False)).succeeded
    ran = workshop.make("comparison")
    assert ran.succeeded
    assert ran.metadata["comparison"]["experiments"] == "first"
    assert ran.metadata["comparison"]["not_evaluated"] == "second"


BASE = ("lane/site_profiles", "lane/well_profiles", "lane/corrected_sites", "lane/profiles")


def made(tmp_path: Path, table: pd.DataFrame, settings: dict | None = None) -> Ran:
    """The first assets of a lane over a table."""
    workshop = write_external(tmp_path / "project", table, {"lane": settings or external_experiment()})
    return workshop.make(*BASE, "lane/treatment_profiles")


def test_a_treatment_with_two_labels_stops_everything_after_it(tmp_path: Path) -> None:
    table = planted_wells()
    table.loc[(table["Metadata_Compound"] == "c1") & (table["Metadata_Plate"] == "P2"), "Metadata_MOA"] = "m3"
    ran = made(tmp_path, table)
    assert not ran.succeeded
    assert "one_treatment_per_well" in ran.failed_checks
    assert "c1" in ran.failed_checks["one_treatment_per_well"]["conflicts"]
    assert "lane/treatment_profiles" not in ran.metadata


def test_a_plate_with_one_control_is_not_corrected_in_silence(tmp_path: Path) -> None:
    table = planted_wells()
    controls = table.index[(table["Metadata_Compound"] == "DMSO") & (table["Metadata_Plate"] == "P3")]
    settings = external_experiment()
    settings["profiles"]["normalization"] = {"method": "none"}
    ran = made(tmp_path, table.drop(controls[1:]), settings)
    assert not ran.succeeded
    assert ran.failed_checks["controls_per_plate"]["plates_with_fewer_than_two"] == "P3"
    assert "lane/treatment_profiles" not in ran.metadata


def test_a_label_of_one_batch_is_a_warning(tmp_path: Path) -> None:
    table = planted_wells()
    ran = made(tmp_path, table[~((table["Metadata_MOA"] == "m2") & (table["Metadata_Batch"] == "B1"))])
    assert ran.succeeded
    assert ran.failed_checks["batches_not_confounded"]["labels_in_one_batch"] == "m2"


def test_a_preset_says_when_counts_are_not_those_of_the_published_set(tmp_path: Path) -> None:
    table = planted_wells().assign(Metadata_Concentration="1.0")
    settings = external_experiment(profiles={"preset": "bbbc021"})
    ran = made(tmp_path, table, settings)
    assert ran.succeeded
    assert ran.failed_checks["expected_counts"]["treatments"] == 8
    assert ran.failed_checks["expected_counts"]["expected_treatments"] == "103"


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    settings = external_experiment()
    settings["profiles"]["treatment_fields"] = ["Compond"]
    ran = made(tmp_path, planted_wells(), settings)
    assert len(ran.failures) == 2  # of sites and of wells
    for message in ran.failures:
        assert 'no metadata column "Compond"; the nearest is "Compound"' in message


def test_annotations_join_labels_that_the_table_lacks(tmp_path: Path) -> None:
    table = planted_wells()
    settings = external_experiment()
    settings["profiles"]["annotations"] = ["moa.csv"]
    workshop = write_external(tmp_path / "project", table.drop(columns="Metadata_MOA"), {"lane": settings})
    moa = table.loc[table["Metadata_MOA"] != "", ["Metadata_Compound", "Metadata_MOA"]].drop_duplicates()
    moa.columns = ["compound", "moa"]
    moa.to_csv(workshop.root / "inputs" / "metadata" / "moa.csv", index=False)
    versions = code_versions(workshop)
    assert workshop.make(*BASE).succeeded
    made_profiles = profile(workshop, "lane", "profiles")
    assert made_profiles["Metadata_MOA"].tolist() == table["Metadata_MOA"].tolist()
    moa.assign(moa="other").to_csv(workshop.root / "inputs" / "metadata" / "moa.csv", index=False)
    changed = {name for name, version in code_versions(workshop).items() if version != versions[name]}
    assert {"lane/profiles", "lane/corrected_sites", "lane/correction_sweep"} <= changed
    assert "lane/evaluation" not in changed


def code_versions(workshop: Workshop) -> dict[str, str | None]:
    """Asset -> code version."""
    graph = build_defs(workshop.root).resolve_asset_graph()
    return {key.to_user_string(): graph.get(key).code_version for key in graph.get_all_asset_keys()}


def test_tables_of_cells_become_wells(tmp_path: Path) -> None:
    wells = planted_wells().query("Metadata_Plate in ('P1', 'P2')")
    random = np.random.default_rng(1)
    cells = wells.loc[wells.index.repeat(4)].assign(
        Metadata_Site=np.tile(["1", "1", "2", "2"], len(wells)),
        ObjectNumber=np.tile([1, 2, 1, 2], len(wells)),
    )
    names = [name for name in wells if name.startswith("Cells_")]
    cells[names] += random.normal(size=(len(cells), len(names)))
    workshop = write_external(tmp_path / "project", cells, {"cells": external_experiment()})
    ran = workshop.make("cells/site_profiles", "cells/well_profiles")
    assert ran.succeeded, ran.failures
    assert ran.metadata["cells/well_profiles"]["rows_are"] == "cells"
    key = ["Metadata_Plate", "Metadata_Well"]
    made = profile(workshop, "cells", "well_profiles").set_index(key)
    assert set(made["Metadata_Cell_Count"]) == {"4"}
    expected = cells.groupby(key)[names].mean()
    np.testing.assert_allclose(made.loc[expected.index, names], expected, rtol=1e-5, atol=1e-5)
    assert len(profile(workshop, "cells", "site_profiles")) == 2 * len(wells)
