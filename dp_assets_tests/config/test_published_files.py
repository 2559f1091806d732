"""Configurations published with the original program, and our own examples, are understood as they are."""

from pathlib import Path

import pytest

from dp_assets.config.experiment import Experiment, Stage, load_experiment
from dp_assets_tests.conftest import REPOSITORY, shared_folder

PUBLISHED = sorted(
    [
        *shared_folder().glob("reference/configs/*.json"),
        *shared_folder().glob("golden/inputs/config/*.json"),
        *shared_folder().glob("data/*/inputs/config/*.json"),
    ]
)


def _all_problems(experiment: Experiment) -> list[str]:
    return [str(problem) for stage in Stage for problem in experiment.problems(stage)]


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.name)
def test_published_file_is_valid_for_every_stage_without_unknown_keys(path: Path) -> None:
    experiment = load_experiment(path, strict=True)
    assert _all_problems(experiment) == []


def test_checkpoint_example_needs_no_labels_and_trains_nothing() -> None:
    experiment = load_experiment(REPOSITORY / "configs" / "experiments" / "cell_painting_cnn.yaml")
    assert (experiment.model_source, experiment.has_training) == ("checkpoint", False)
    network = experiment.profiling().network
    assert network is not None
    assert (network.name, network.params.conv_blocks) == ("efficientnet", 0)


@pytest.mark.parametrize(
    ("name", "source", "epoch"),
    [
        ("DeepProfilerExperiments__bbbc021_config_autoencoder.json", "train", 100),
        ("DeepProfilerExperiments__bbbc021_config_inception.json", "checkpoint", None),
        ("DeepProfilerExperiments__ta-orf_config_pretrained_effnet.json", "imagenet", None),
        ("DeepProfilerExperiments__ta-orf_config_cell_painting_cnn.json", "checkpoint", None),
        ("DeepProfiler__tests_files_config_test.json", "train", 3),
    ],
)
def test_source_of_weights_of_published_files(
    shared: Path, name: str, source: str, epoch: int | None
) -> None:
    experiment = load_experiment(shared / "reference" / "configs" / name)
    assert (experiment.model_source, experiment.checkpoint_epoch) == (source, epoch)
    assert experiment.has_training == (source == "train")


def test_file_from_before_dataset_locations_takes_the_box_from_sampling(shared: Path) -> None:
    path = shared / "reference" / "configs" / "DeepProfilerExperiments__bbbc021_config_autoencoder.json"
    experiment = load_experiment(path)
    crops, training = experiment.crops(), experiment.training()
    assert (crops.locations.box_size, crops.set_name, crops.compression) == (96, "box96", None)
    assert training.partition.training == ("1", "3")
    assert training.network.crop_generator == "sampled_crop_generator"
    metadata = experiment.preparation().metadata
    assert metadata is not None
    assert metadata.control_value == "DMSO_0.0"
    listed = {warning.where.split(": ")[1] for warning in experiment.warnings}
    assert {"train.queueing", "train.comet_ml", "train.gpus", "train.sampling.alpha"} <= listed
    assert "train.sampling.box_size" not in listed
