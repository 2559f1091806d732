"""docs/coming-from-deepprofiler.md: every key of the handbook has its row, and every row its test."""

import re

import pytest

from dp_assets.cli import main
from dp_assets.config.network import CROP_GENERATORS
from dp_assets.config.spellings import OLDER_SPELLINGS, WITHOUT_EFFECT
from dp_assets_tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "coming-from-deepprofiler.md"
TESTS = REPOSITORY / "dp_assets_tests"
# Every key that the handbook and its configuration page describe, by section of the page.
HANDBOOK_KEYS = {
    "dataset": """metadata.label_field metadata.control_value images.channels images.file_format images.bits
        images.width images.height locations.mode locations.box_size locations.view_size area_coverage
        locations.mask_objects""",
    "prepare": """illumination_correction.down_scale_factor illumination_correction.median_filter_size
        compression.implement compression.scaling_factor outlines""",
    "train": """partition.targets partition.split_field partition.training partition.validation model.name
        model.crop_generator model.augmentations Augmentations model.metrics model.epochs
        model.initialization model.checkpoint_policy model.params.learning_rate model.params.batch_size
        model.params.conv_blocks model.params.feature_dim model.params.latent_dim epsilon_std
        model.params.pooling model.params.label_smoothing model.params.online_label_smoothing online_lambda
        model.lr_schedule model.steps sampling.factor sampling.cache_size sampling.workers
        validation.frequency validation.top_k validation.batch_size validation.frame
        validation.sample_first_crops gpus queueing comet_ml""",
    "profile": "feature_layer checkpoint batch_size use_pretrained_input_size pretrained",
}
HANDBOOK_COMMANDS = [
    "setup",
    "prepare",
    "export-sc",
    "train",
    "traintf2",
    "profile",
    "split",
    "download-bbbc021",
]
HANDBOOK_OPTIONS = [
    "--root",
    "--config",
    "--cores",
    "--gpu",
    "--exp",
    "--logging",
    "--sample",
    "--metadata",
    "--epoch",
]


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def rows(page: str, heading: str = "") -> list[list[str]]:
    """The cells of every table row, of one part of the page or of all."""
    part = page if not heading else re.split(r"^## ", page.partition(f"\n## {heading}\n")[2], flags=re.M)[0]
    lines = [line for line in part.splitlines() if line.startswith("| ") and not line.startswith("| Deep")]
    return [[cell.strip() for cell in re.split(r" \|", line.strip("|"))] for line in lines]


def named(page: str, heading: str) -> set[str]:
    """What the first column of a part names in back quotes."""
    return {name for row in rows(page, heading) for name in re.findall(r"`([^`]+)`", row[0])}


@pytest.mark.parametrize("section", HANDBOOK_KEYS)
def test_every_key_of_the_handbook_has_a_row(page: str, section: str) -> None:
    assert set(HANDBOOK_KEYS[section].split()) <= named(page, f"Configuration: {section}")


def test_every_older_key_has_a_row(page: str) -> None:
    first_columns = {
        name.rpartition(".")[2] for row in rows(page) for name in re.findall(r"`([^`]+)`", row[0])
    }
    # profiles is no section of DeepProfiler
    sections = [section for section in OLDER_SPELLINGS if section.partition(".")[0] != "profiles"]
    older = {key for section in sections for key in OLDER_SPELLINGS[section]}
    silent = {key for section, keys in WITHOUT_EFFECT.items() for key in keys if section}
    # of the file of the tests of another program, and doubled from dataset.locations
    silent -= {"channel_repeats", "box_size", "mask_objects"}
    assert older | silent <= first_columns


def test_every_command_and_option_has_a_row(page: str) -> None:
    assert {*HANDBOOK_COMMANDS, "download-bbbc021"} <= named(page, "Commands")
    options = {name.split()[0] for name in named(page, "Options")}
    assert {*HANDBOOK_OPTIONS, "--metadata", "--epoch"} <= options


def test_every_crop_generator_has_a_row(page: str) -> None:
    assert set(CROP_GENERATORS) <= named(page, "Crop generators")


def test_every_row_names_tests_that_are_there(page: str) -> None:
    tables = rows(page)
    assert len(tables) > 80
    for row in tables:
        if set("".join(row)) <= {"-"} or row[-1] == "test":
            continue
        file, _, name = row[-1].strip("`").partition("::")
        path = TESTS / file
        assert path.is_file(), row
        text = path.read_text(encoding="utf-8")
        assert f"def {name}(" in text if name else "def test_" in text, row


def test_the_commands_named_are_there(page: str) -> None:
    for words in re.findall(r"`dp-assets ((?:[a-z]+ ?)+)", page):
        command = main
        for word in words.split():
            if not hasattr(command, "commands"):
                break
            assert word in command.commands, f"dp-assets {words}"
            command = command.commands[word]
