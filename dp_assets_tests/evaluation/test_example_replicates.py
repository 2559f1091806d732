"""On the generated example: replicates of a treatment agree, and those of shuffled treatments do not."""

from dataclasses import replace

import numpy as np
import pytest

from dp_assets.config.evaluation_sections import EvaluationSettings
from dp_assets.config.protocol import EvaluationProtocol, Normalization, ProfileProtocol
from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.profile_table import profile_set
from dp_assets.evaluation.replicate_strength import replicate_strength
from dp_assets.evaluation.score import Score
from dp_assets.profiling.correction import correct
from dp_assets_tests.example_profiles import example_profiles

PROTOCOL = EvaluationProtocol(settings=EvaluationSettings(permutations=2000, bootstraps=50, null_draws=200))


@pytest.fixture(scope="module")
def wells() -> ProfileSet:
    """The example's wells as z-scores to the controls of their plate."""
    protocol = ProfileProtocol(normalization=Normalization(method="standardize"))
    return profile_set(correct(example_profiles(), protocol).table, "well")


def found(wells: ProfileSet) -> dict[str, Score]:
    """The scores of replicates by name."""
    return {score.name: score for score in replicate_strength(wells, PROTOCOL).scores}


def shuffled(wells: ProfileSet, seed: int) -> ProfileSet:
    """The same wells with the treatments of each plate dealt out anew; controls stay."""
    random = np.random.default_rng(seed)
    treatments = wells.treatments.copy()
    for plate in set(wells.plates):
        rows = np.flatnonzero((wells.plates == plate) & ~wells.is_control)
        treatments[rows] = treatments[random.permutation(rows)]
    return replace(wells, treatments=treatments)


def test_replicates_of_true_treatments_agree(wells: ProfileSet) -> None:
    scores = found(wells)
    assert scores["replicate_significant"].value == 1.0
    assert scores["replicate_reproducibility"].details["p_value"] < 0.01


def test_replicates_of_shuffled_treatments_do_not(wells: ProfileSet) -> None:
    results = [found(shuffled(wells, seed)) for seed in range(5)]
    assert [scores["replicate_significant"].value for scores in results] == [0.0] * 5
    assert np.median([scores["replicate_reproducibility"].details["p_value"] for scores in results]) > 0.1
