"""Keys of older files that have no effect: accepted, listed with what happens instead, and harmless."""

from typing import Any

import pytest

from dp_assets.config.digest import settings_digest
from dp_assets.config.experiment import load_experiment
from dp_assets.config.spellings import WITHOUT_EFFECT
from dp_assets_tests.config.conftest import Write

KEYS = [(section, key) for section, keys in WITHOUT_EFFECT.items() for key in keys]
PARAMETERS = {"pooling": "max", "latent_dim": 7, "epsilon_std": 0.5}


def digests(experiment: Any) -> list[str]:
    stages = (experiment.preparation(), experiment.crops(), experiment.training(), experiment.profiling())
    return [settings_digest(settings) for settings in stages]


@pytest.mark.parametrize(("section", "key"), KEYS, ids=lambda part: part or "top")
def test_a_key_without_effect_is_accepted_and_listed(write: Write, section: str, key: str) -> None:
    plain = load_experiment(write("plain.json"))
    path = f"{section}.{key}".lstrip(".")
    older = load_experiment(write("older.json", {path: 3}), strict=True)
    assert digests(older) == digests(plain)
    (warning,) = set(older.warnings) - {w for w in older.warnings if key not in w.what}
    assert WITHOUT_EFFECT[section][key] in warning.what
    assert warning.where.endswith(path)


@pytest.mark.parametrize("key", PARAMETERS)
def test_parameters_of_networks_that_are_not_here_are_accepted(write: Write, key: str) -> None:
    path = f"train.model.params.{key}"
    experiment = load_experiment(write("older.json", {path: PARAMETERS[key]}), strict=True)
    assert getattr(experiment.training().network.params, key) == PARAMETERS[key]
    assert experiment.warnings == ()
