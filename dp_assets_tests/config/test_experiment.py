"""What the stages get from a configuration, and what each of them refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dp_assets.config.digest import settings_digest
from dp_assets.config.errors import ConfigurationError
from dp_assets.config.experiment import Experiment, Stage, load_experiment
from dp_assets.config.sections import SingleCellsSettings, StepSchedule
from dp_assets_tests.config.conftest import BASE, REMOVED, Write, variant

VIEWS = {
    Stage.PREPARATION: Experiment.preparation,
    Stage.CROPS: Experiment.crops,
    Stage.TRAINING: Experiment.training,
    Stage.PROFILING: Experiment.profiling,
    Stage.SCORING: Experiment.scoring,
}


EVERY = "preparation crops training profiling"
CROPPING = "crops training profiling"
TRAINED = "training profiling"


def _keys(experiment: Experiment, stage: Stage) -> list[str]:
    """The keys a stage complains about, without the file."""
    return [problem.where.split(": ", 1)[1] for problem in experiment.problems(stage)]


@pytest.mark.parametrize(
    ("changes", "read", "expected"),
    [
        ({"dataset.images.file_format": ".TIF"}, lambda e: e.crops().images.file_format, "tif"),
        ({"dataset.images.bits": 8.0}, lambda e: e.crops().images.bits, 8),
        ({"dataset.locations.box_size": 64.0}, lambda e: e.crops().locations.box_size, 64),
        ({"dataset.metadata.control_value": 0}, lambda e: e.preparation().metadata.control_value, "0"),
        ({"train.partition.training": [0, 2.0, 0.5, "a", "01"]},
         lambda e: e.training().partition.training, ("0", "2", "0.5", "a", "01")),
        ({"train.partition.training": REMOVED, "train.partition.training_values": [3]},
         lambda e: e.training().partition.training, ("3",)),
        ({"train.partition.targets": "Compound"}, lambda e: e.training().partition.targets, ("Compound",)),
        ({"train.model.name": "InceptionResNetv2"},
         lambda e: e.training().network.name, "inception_resnet_v2"),
        ({"train.model.Augmentations": True}, lambda e: e.training().network.augmentations, True),
        ({"train.model.initialization": "Random"}, lambda e: e.training().network.initialization, "random"),
        ({"train.model.lr_schedule": "Cosine"}, lambda e: e.training().network.lr_schedule, "cosine"),
        ({"train.model.lr_schedule": None}, lambda e: e.training().network.lr_schedule, "constant"),
        ({"train.model.lr_schedule": {"epoch": [0, 2.0], "lr": [1, 1e-3]}},
         lambda e: e.training().network.lr_schedule, StepSchedule(epoch=(0, 2), lr=(1.0, 0.001))),
        ({"train.model.checkpoint_policy": "best"}, lambda e: e.training().network.checkpoint_policy, "best"),
        ({"train.model.checkpoint_policy": "3"}, lambda e: e.training().network.checkpoint_policy, 3),
        ({"train.model.crop_generator": "online_labels_crop_generator"},
         lambda e: e.training().network.crop_generator, "online_labels_cropgen"),
        ({"train.sampling.cache_size": REMOVED, "train.sampling.queue_size": 7},
         lambda e: e.training().sampling.cache_size, 7),
        ({"profile.use_pretrained_input_size": False},
         lambda e: e.profiling().profile.use_pretrained_input_size, None),
        ({"profile.checkpoint": "None"}, lambda e: (e.profiling().profile.checkpoint, e.model_source),
         (None, "imagenet")),
        ({"prepare.compression.implement": False}, lambda e: e.crops().compression, None),
        ({"dataset.metadata": REMOVED}, lambda e: e.preparation().metadata, None),
        ({"single_cells.name": "mine"}, lambda e: e.crops().set_name, "mine"),
        ({"dataset.locations.mask_objects": True}, lambda e: e.training().set_name, "box96_masked"),
        ({"dataset.locations.mode": "full_image", "dataset.locations.area_coverage": 0.5},
         lambda e: (e.crops().locations.view_size, e.profiling().set_name), (256, "view256_box96")),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)  # fmt: skip
def test_spellings_are_understood(write: Write, changes: dict[str, Any], read: Any, expected: Any) -> None:
    assert read(load_experiment(write(changes=changes), strict=True)) == expected


@pytest.mark.parametrize(
    ("changes", "stages", "key"),
    [
        ({"dataset.images.bits": 12}, EVERY, "dataset.images.bits"),
        ({"dataset.images.channels": []}, EVERY, "dataset.images.channels"),
        ({"dataset.images.channels": ["A", "A"]}, EVERY, "dataset.images.channels"),
        ({"dataset.images": REMOVED}, EVERY, "dataset.images"),
        ({"dataset.metadata.label_field": 3}, "preparation scoring", "dataset.metadata.label_field"),
        ({"prepare.illumination_correction.down_scale_factor": 0.5}, "preparation",
         "prepare.illumination_correction.down_scale_factor"),
        ({"prepare.compression.stretch": "wide"}, EVERY, "prepare.compression.stretch"),
        ({"prepare.compression.codec": "gif"}, EVERY, "prepare.compression.codec"),
        ({"prepare.illumination_correction.method": "mean"}, "preparation",
         "prepare.illumination_correction.method"),
        ({"dataset.images.z": "middle"}, EVERY, "dataset.images.z"),
        ({"single_cells.masks": "bilinear"}, CROPPING, "single_cells.masks"),
        ({"dataset.locations.box_size": True}, CROPPING, "dataset.locations.box_size"),
        ({"dataset.locations": [96]}, CROPPING, "dataset.locations"),
        ({"dataset.locations.mode": "full_image"}, CROPPING, "dataset.locations.view_size"),
        ({"dataset.locations.mode": "full_image", "dataset.locations.area_coverage": 0.5,
          "dataset.images.width": REMOVED}, CROPPING, "dataset.locations.view_size"),
        ({"single_cells.sampling": "exact", "prepare.compression.scaling_factor": 0.5}, CROPPING,
         "single_cells.sampling"),
        ({"train.partition.training": []}, "training", "train.partition.training"),
        ({"train.partition.training": [None]}, "training", "train.partition.training[0]"),
        ({"train.partition.split_field": REMOVED}, "training", "train.partition.split_field"),
        ({"train.partition.training_values": [9]}, "training", "train.partition.training_values"),
        ({"train.model.epochs": REMOVED}, "training", "train.model.epochs"),
        ({"train.model.params.learning_rate": float("nan")}, "training", "train.model.params.learning_rate"),
        ({"train.model.params.conv_blocks": 8}, "training", "train.model.params.conv_blocks"),
        ({"train.model.params": [1]}, "training", "train.model.params"),
        ({"train.model.lr_schedule": "linear"}, "training", "train.model.lr_schedule"),
        ({"train.model.lr_schedule": {"epoch": [1, 2], "lr": [0.1]}}, "training", "train.model.lr_schedule"),
        ({"train.model.lr_schedule": {"epoch": [2, 1], "lr": [0.1, 0.2]}}, "training",
         "train.model.lr_schedule"),
        ({"train.model.lr_schedule": {"epoch": [-1], "lr": [0.1]}}, "training",
         "train.model.lr_schedule.epoch[0]"),
        ({"train.model.checkpoint_policy": "bets"}, "training", "train.model.checkpoint_policy"),
        ({"train.model.checkpoint_policy": 0}, "training", "train.model.checkpoint_policy"),
        ({"train.model.callbacks": [{"params": {}}]}, "training", "train.model.callbacks[0].name"),
        ({"logging.comet": ""}, "training", "logging.comet"),
        ({"train.model.Augmentations": "perhaps"}, "training", "train.model.Augmentations"),
        ({"train.partition.validation": [], "train.model.lr_schedule": "plateau"}, "training",
         "train.model.lr_schedule"),
        ({"train.partition.validation": [], "train.model.checkpoint_policy": "best"}, "training",
         "train.model.checkpoint_policy"),
        ({"train.validation.frame": "test"}, "training", "train.validation.frame"),
        ({"profile.feature_layer": REMOVED}, "profiling", "profile.feature_layer"),
        ({"profile.checkpoint": ""}, "profiling", "profile.checkpoint"),
        ({"profile.use_pretrained_input_size": True}, "profiling", "profile.use_pretrained_input_size"),
        ({"profile.checkpoint": "checkpoint_0007.hdf5"}, "profiling", "profile.checkpoint"),
        ({"profile.checkpoint": "checkpoint_0000.hdf5"}, "profiling", "profile.checkpoint"),
        ({"profile.checkpoint": "checkpoint_0003.hdf5", "train.model.checkpoint_policy": 2}, "profiling",
         "profile.checkpoint"),
        ({"model.source": "imagenet"}, "profiling", "profile.checkpoint"),
        ({"model.source": "checkpoint", "profile.checkpoint": REMOVED}, "profiling", "profile.checkpoint"),
        ({"model.source": "internet"}, TRAINED, "model.source"),
        ({"profiles.aggregation": "sum"}, "scoring", "profiles.aggregation"),
        ({"profiles.cell_aggregation": "sum"}, "scoring", "profiles.cell_aggregation"),
        ({"profiles.correction.lambda": 0}, "scoring", "profiles.correction.lambda"),
        ({"profiles.feature_selection.operations": ["variance"]}, "scoring",
         "profiles.feature_selection.operations[0]"),
        ({"profiles.regularization_sweep.values": []}, "scoring", "profiles.regularization_sweep.values"),
        ({"evaluation.metrics": []}, "scoring", "evaluation.metrics"),
        ({"evaluation.metrics": ["nsc", "NSC"]}, "scoring", "evaluation.metrics"),
        ({"evaluation.ks": [5, 0]}, "scoring", "evaluation.ks[1]"),
        ({"evaluation.top_percentile": 100}, "scoring", "evaluation.top_percentile"),
        ({"evaluation.first_hit_levels": ["plate"]}, "scoring", "evaluation.first_hit_levels[0]"),
        ({"evaluation.projections.umap.n_neighbors": 1}, "scoring",
         "evaluation.projections.umap.n_neighbors"),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)  # fmt: skip
def test_one_mistake_is_reported_by_the_stages_that_use_it_and_no_other(
    write: Write, changes: dict[str, Any], stages: str, key: str
) -> None:
    experiment = load_experiment(write(changes=changes))
    for stage, view in VIEWS.items():
        if stage in stages.split():
            assert _keys(experiment, stage) == [key]
            with pytest.raises(ConfigurationError) as caught:
                view(experiment)
            assert caught.value.problems == experiment.problems(stage)
        else:
            assert _keys(experiment, stage) == []
            view(experiment)


def test_profiling_given_weights_needs_the_network_but_nothing_of_how_it_was_trained(write: Write) -> None:
    weights = {"profile.checkpoint": "Cell_Painting_CNN_v1.hdf5"}
    bare = {"train.partition": REMOVED, "train.sampling": REMOVED, "train.validation": REMOVED}
    model = {"name": "EfficientNet", "epochs": "many", "params": {"learning_rate": "high", "conv_blocks": 2}}
    experiment = load_experiment(write(changes={**weights, **bare, "train.model": model}))
    network = experiment.profiling().network
    assert network is not None
    assert (network.name, network.params.conv_blocks) == ("efficientnet", 2)
    without = load_experiment(write(changes={**weights, "train": REMOVED}))
    assert _keys(without, Stage.PROFILING) == ["train.model"]
    too_large = load_experiment(write(changes={**weights, "train.model.params.conv_blocks": 8}))
    assert _keys(too_large, Stage.PROFILING) == ["train.model.params.conv_blocks"]


def test_profiling_a_model_trained_here_needs_a_training_section(write: Write) -> None:
    experiment = load_experiment(write(changes={"train": REMOVED}))
    assert experiment.model_source == "train"
    assert not experiment.has_training
    assert _keys(experiment, Stage.PROFILING) == ["profile.checkpoint"]


def test_last_epoch_is_always_a_checkpoint(write: Write) -> None:
    changes = {"train.model.checkpoint_policy": 4, "profile.checkpoint": "checkpoint_0006.hdf5"}
    assert load_experiment(write(changes=changes)).problems(Stage.PROFILING) == ()


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({}, "train"),
        ({"profile.checkpoint": "CHECKPOINT_0002"}, "train"),
        ({"profile.checkpoint": "checkpoint_best.hdf5"}, "checkpoint"),
        ({"profile.checkpoint": "elsewhere/checkpoint_0002.hdf5"}, "checkpoint"),
        ({"profile.checkpoint": None}, "imagenet"),
        ({"profile.checkpoint": REMOVED}, "train"),
        ({"profile.checkpoint": REMOVED, "train": REMOVED}, "checkpoint"),
        ({"profile.checkpoint": "None", "profile.feature_layer": REMOVED}, "imagenet"),
        ({"profile": REMOVED}, "train"),
        ({"model.source": "Checkpoint"}, "checkpoint"),
    ],
)
def test_source_of_weights(write: Write, changes: dict[str, Any], source: str) -> None:
    assert load_experiment(write(changes=changes)).model_source == source


def test_message_reports_file_path_value_and_remedy_of_all_problems_at_once(write: Write) -> None:
    changes = {
        "dataset.locations.box_size": "large",
        "train.model.epochs": -2,
        "train.model.params.conv_blocks": 11,
        "train.model.params.batch_size": REMOVED,
        "train.partition.training": REMOVED,
    }
    path = write(changes=changes)
    with pytest.raises(ConfigurationError) as caught:
        load_experiment(path).training()
    problems = {problem.where: problem for problem in caught.value.problems}
    expected = {
        "dataset.locations.box_size": ('"large"', '"box_size": 96'),
        "train.model.epochs": ("-2", '"epochs": 30'),
        "train.model.params.conv_blocks": ("11", '"conv_blocks": 0'),
        "train.model.params.batch_size": ("missing", '"batch_size": 32'),
        "train.partition.training": ("missing", '"training": ["0"]'),
    }
    assert set(problems) == {f"{path}: {key}" for key in expected}
    for key, (value, remedy) in expected.items():
        assert value in problems[f"{path}: {key}"].what
        assert remedy in problems[f"{path}: {key}"].remedy
    assert str(caught.value).startswith("5 problems:")


def test_unknown_keys_name_the_nearest_known_one_and_stop_nothing_unless_strict(write: Write) -> None:
    changes = {
        "dataset.locations.boxsize": 3,
        "train.model.params.lerning_rate": 1,
        "train.epochs": 3,
        "qqq": 1,
        "paths": {"images": "/somewhere"},
    }
    path = write(changes=changes)
    remedies = {w.where.split(": ")[1]: w.remedy for w in load_experiment(path).warnings}
    assert remedies["dataset.locations.boxsize"] == 'Did you mean "box_size"?'
    assert remedies["train.model.params.lerning_rate"] == 'Did you mean "learning_rate"?'
    assert remedies["train.epochs"] == "It belongs in train.model."
    assert "dataset" in remedies["qqq"]
    assert set(remedies) == set(changes)
    load_experiment(path).training()
    strict = load_experiment(path, strict=True)
    assert [w.where.split(": ")[1] for w in strict.warnings] == ["paths"]
    for stage in Stage:
        assert set(_keys(strict, stage)) == set(changes) - {"paths"}


def test_training_on_the_validation_images_is_pointed_out(write: Write) -> None:
    (warning,) = load_experiment(write(changes={"train.partition.validation": ["0", 2]})).warnings
    assert '"0"' in warning.what
    assert warning.where.endswith("train.partition.validation")


def test_settings_cannot_be_changed(write: Write) -> None:
    crops = load_experiment(write()).crops()
    with pytest.raises(ValidationError):
        crops.locations.box_size = 12
    assert crops.locations.box_size == 96


def test_digest_depends_on_values_alone(write: Write) -> None:
    first = load_experiment(write("a.json")).training()
    reordered = {key: BASE[key] for key in reversed(BASE)}
    path = write("b.json")
    path.write_text(json.dumps(reordered).replace('"training":', '"training_values":').replace("96", "96.0"))
    assert settings_digest(first) == settings_digest(load_experiment(path).training())
    other = load_experiment(write("c.json", {"dataset.locations.box_size": 97})).training()
    assert settings_digest(first) != settings_digest(other)
    # recorded once: changing it makes every result of every user stale
    assert settings_digest(SingleCellsSettings()) == "01e7b720ff566d53"


_leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(10**400), st.just([[]])
)
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


def _paths(node: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in node.items():
        found.append(prefix + key)
        if isinstance(value, dict):
            found += _paths(value, f"{prefix}{key}.")
    return found


@given(path=st.sampled_from(_paths(BASE)), value=_values)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_one_place_is_either_taken_or_named(
    tmp_path: Path, path: str, value: object
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(variant({path: value})))
    experiment = load_experiment(file)
    assert isinstance(experiment.warnings, tuple)
    for stage, view in VIEWS.items():
        problems = experiment.problems(stage)
        if not problems:
            view(experiment)
            continue
        with pytest.raises(ConfigurationError):
            view(experiment)
        # profile.checkpoint is checked against the training section
        named = [p.where.split(": ", 1)[1] for p in problems if not p.where.endswith("profile.checkpoint")]
        assert all(name.startswith(path) or path.startswith(name) for name in named)
