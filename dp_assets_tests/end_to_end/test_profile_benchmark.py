"""The benchmark of correction and scores: made profiles are what it says, and every score is timed."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from dp_assets.config.evaluation_sections import METRICS
from dp_assets.profiling.treatments import batch_label_confounding
from dp_assets.storage.schemas import PROFILES
from dp_assets_tests.conftest import REPOSITORY
from dp_assets_tests.end_to_end.test_benchmarks import benchmark


def test_made_profiles_are_a_screen_of_the_promised_size() -> None:
    scores = benchmark("profile_scores")
    table = PROFILES.enforce(scores.made_profiles(2000, 40))
    frame = table.select([name for name in table.column_names if name.startswith("Metadata_")]).to_pandas()
    controls = frame[frame["Metadata_Control"] == "true"]
    treated = frame[frame["Metadata_Control"] == "false"]
    assert (len(frame), len(controls), frame["Metadata_Plate"].nunique()) == (2000, 200, 20)
    assert (controls.groupby("Metadata_Plate").size() == 10).all()
    assert treated["Metadata_Treatment"].nunique() == 450
    assert (treated.groupby("Metadata_Treatment")["Metadata_Plate"].nunique() == 4).all()
    assert (treated.groupby("Metadata_Treatment")["Metadata_Batch"].nunique() == 2).all()
    assert treated["Metadata_MOA"].nunique() == 30
    assert (frame.groupby("Metadata_Plate")["Metadata_Batch"].nunique() == 1).all()
    assert frame["Metadata_Batch"].nunique() == 5
    assert batch_label_confounding(table).labels_in_one_batch == ()
    features = np.stack([table[f"made_{number}"].to_numpy() for number in range(40)])
    assert 0 < (features.std(axis=1) == 0).sum() < 10
    assert scores.made_profiles(2000, 40).equals(table)


def test_every_metric_belongs_to_a_family_that_is_timed() -> None:
    scores = benchmark("profile_scores")
    timed = [metric for family in scores.FAMILIES for metric in family]
    assert len(timed) == len(set(timed))
    assert set(timed) == set(METRICS)


def test_correction_and_all_scores_are_measured() -> None:
    scores = benchmark("profile_scores")
    found = scores.measure(scores.made_profiles(800, 60), "tvn", permutations=100)
    seconds: dict[str, Any] = found["seconds"]
    steps = ["correction", "treatments", *("+".join(family) for family in scores.FAMILIES)]
    assert list(seconds) == [*steps, "total"]
    assert seconds["total"] == pytest.approx(sum(seconds[step] for step in steps), abs=0.01)
    assert all(seconds[step] > 0 for step in ("correction", "activity", "label_probes"))
    # mechanisms are planted: far above one in thirty
    assert found["nsc"] > 0.15
    assert found["scores"] > 20
    # tables of wells have no sites; no two treatments of all lie in the same batches
    assert set(found["not_applicable"]) == {"first_hit_site"}
    assert found["peak_bytes"] > 50e6


def test_the_budget_is_that_of_two_minutes_and_four_gigabytes() -> None:
    scores = benchmark("profile_scores")
    kept = {"seconds": {"total": 119.0}, "peak_bytes": 3.9e9}
    assert scores.within_budget({"a": kept})
    assert not scores.within_budget({"a": kept, "b": {**kept, "seconds": {"total": 121.0}}})
    assert not scores.within_budget({"a": {**kept, "peak_bytes": 4.1e9}})


def test_the_script_prints_json() -> None:
    script = REPOSITORY / "benchmarks" / "profile_scores.py"
    options = ["--wells", "120", "--features", "6", "--methods", "sphering", "--permutations", "50"]
    ran = subprocess.run(
        [sys.executable, str(script), *options, "--cores", "1"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert (report["wells"], report["features"], report["within_budget"]) == (120, 6, True)
    assert set(report["results"]) == {"sphering"}
