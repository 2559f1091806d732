"""All families of scores together: what is asked for, and that the order of a file does not count."""

import numpy as np
import pytest

from dp_assets.evaluation.profile_set import ProfileSet
from dp_assets.evaluation.scoring import ScoredProfiles, score_profiles
from dp_assets_tests.evaluation.planted_wells import planted_wells
from dp_assets_tests.evaluation.profile_sets import evaluation, profiles

# Those that draw or shuffle wells.
_DRAWN = ("activity", "replicate_strength", "plate_effect", "label_probes", "first_hit")


def _treatments(wells: ProfileSet) -> ProfileSet:
    names, first = np.unique(wells.treatments[~wells.is_control].astype(str), return_index=True)
    one = wells.take(np.flatnonzero(~wells.is_control)[first])
    means = [wells.features[wells.treatments == name].mean(axis=0) for name in names]
    return profiles(np.array(means), treatments=names, compounds=one.compounds, labels=one.labels)


def test_the_order_of_wells_does_not_change_a_score() -> None:
    wells = planted_wells(treatment_effect=0.5, plate_effect=0.5)
    treatments = _treatments(wells)
    protocol = evaluation(metrics=_DRAWN, permutations=50, null_draws=50, bootstraps=20, probe_folds=2)
    shuffled = wells.take(np.random.default_rng(1).permutation(len(wells)))
    found = score_profiles(ScoredProfiles(treatments, wells), protocol).scores
    again = score_profiles(ScoredProfiles(treatments, shuffled), protocol).scores
    assert len(found) > 10
    for one, other in zip(found, again, strict=True):
        assert one.name == other.name
        assert (one.value, one.low, one.high) == pytest.approx(
            (other.value, other.low, other.high), abs=1e-12, nan_ok=True
        )
        assert one.details == pytest.approx(other.details)
