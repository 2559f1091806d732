"""Keys set for one run: what they change, for whom, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from dp_assets.config.errors import ConfigurationError
from dp_assets.config.experiment import load_experiment
from dp_assets.config.overrides import VARIABLE, Overrides
from dp_assets.config.project import load_project
from dp_assets_tests.config.conftest import REMOVED, Write


def loaded(path: Path, *assignments: str, experiments: tuple[str, ...] = ()) -> Any:
    return load_experiment(path, overrides=Overrides(assignments, experiments))


@pytest.mark.parametrize(
    ("text", "read", "expected"),
    [
        ("train.model.params.learning_rate=0.25", lambda e: e.training().network.params.learning_rate, 0.25),
        ("train.model.epochs = 7", lambda e: e.training().network.epochs, 7),
        ("train.model.augmentations=true", lambda e: e.training().network.augmentations, True),
        ("dataset.images.channels=[B, A]", lambda e: e.crops().images.channels, ("B", "A")),
        ("single_cells.name=mine", lambda e: e.crops().set_name, "mine"),
        ("profile.checkpoint='None'", lambda e: e.model_source, "imagenet"),
        ("profile.checkpoint=a=b.hdf5", lambda e: e.profiling().profile.checkpoint, "a=b.hdf5"),
        ("train.sampling=null", lambda e: e.training().sampling.workers, 1),
        ("profiles.preset=cell_painting", lambda e: e.scoring().profiles.correction.method, "sphering"),
        ("profiles.correction.lambda=2", lambda e: e.scoring().profiles.correction.regularization, 2.0),
        ("evaluation.metrics=[nsc]", lambda e: e.scoring().evaluation.settings.metrics, ("nsc",)),
    ],
)
def test_a_key_is_set(write: Write, text: str, read: Any, expected: Any) -> None:
    assert read(loaded(write(), text)) == expected


def test_the_last_assignment_counts(write: Write) -> None:
    experiment = loaded(write(), "train.model.epochs=7", "train.model.epochs=9")
    assert experiment.training().network.epochs == 9


def test_another_spelling_of_the_key_in_the_file_is_replaced(write: Write) -> None:
    path = write(changes={"profiles.correction": {"method": "sphering", "lambda": 0.5}})
    changed = loaded(path, "profiles.correction.regularization=0.25").scoring().profiles.correction
    assert (changed.method, changed.regularization) == ("sphering", 0.25)


def test_only_the_experiments_named_are_changed(write: Write) -> None:
    path = write("one.json")
    before = loaded(path).training().network.epochs
    assert loaded(path, "train.model.epochs=77", experiments=("two",)).training().network.epochs == before
    assert loaded(path, "train.model.epochs=77", experiments=("one",)).training().network.epochs == 77


def test_an_experiment_that_only_profiles_is_not_made_to_train(write: Write) -> None:
    weights = {"train": REMOVED, "profile.checkpoint": REMOVED}
    path = write("one.json", weights)
    assert not loaded(path, "train.model.epochs=5").has_training
    assert loaded(path, "train.model.epochs=5", experiments=("one",)).has_training


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train.model.epoch=5", 'Did you mean "epochs"'),
        ("epochs=5", "It belongs in train.model"),
        ("train.model.epochs", "sets nothing"),
        ("=5", "sets nothing"),
        ("train..epochs=5", "sets nothing"),
        ("train.model.epochs=[1", "cannot be read"),
    ],
)
def test_what_sets_no_known_key_is_refused(write: Write, text: str, says: str) -> None:
    write()
    project = write("config.json").parent.parent.parent
    with pytest.raises(ConfigurationError, match=says):
        load_project(project, overrides=Overrides((text,)))


def test_overrides_travel_through_the_environment() -> None:
    overrides = Overrides(("train.model.epochs=5", 'logging.comet="a b.key"'), ("one", "two"))
    assert Overrides.from_environment({VARIABLE: overrides.as_text()}) == overrides
    assert Overrides.from_environment({}) == Overrides()


@pytest.mark.parametrize("text", ["epochs=5", "[1]", '{"experiments": []}', '{"set": 3}'])
def test_a_variable_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\$DP_SET"):
        Overrides.from_environment({VARIABLE: text})


def test_a_wrong_value_is_that_of_the_file(write: Write) -> None:
    experiment = loaded(write(), "train.model.epochs=many")
    with pytest.raises(ConfigurationError, match='epochs is "many"'):
        experiment.training()


def test_as_text_is_json() -> None:
    assert json.loads(Overrides(("a.b=1",)).as_text()) == {"set": ["a.b=1"], "experiments": []}
