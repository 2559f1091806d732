"""The model card enforced: which crops a model refuses, and in which order it gets its channels."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.config.errors import ModelError
from dp_assets.config.sections import CompressionSettings
from dp_assets.storage.card_check import card_problems, repeats_channels, require_card
from dp_assets.storage.model_card import crop_bits, crop_facts
from dp_assets_tests.profiling_settings import STRETCHED, profiling_settings

NAMES = ("DNA", "RNA", "ER", "AGP", "Mito")
REPEATING = "repeat_channel_crop_generator"


def test_what_an_experiment_makes_itself_is_what_it_takes() -> None:
    for settings in (
        profiling_settings(*NAMES),
        profiling_settings(mode="full_image", view_size=64),
        profiling_settings(compression=STRETCHED, mask_objects=True, cells={"normalization": "none"}),
    ):
        facts = crop_facts(settings)
        assert require_card(facts, settings, "here") == tuple(range(len(settings.images.channels)))


@pytest.mark.parametrize("order", list(permutations(range(3)))[1:])
def test_another_order_of_channels_is_refused_or_mapped(order: tuple[int, ...]) -> None:
    offered = tuple(NAMES[number] for number in order)
    wanted = {"channels": NAMES[:3]}
    with pytest.raises(ModelError) as caught:
        require_card(wanted, profiling_settings(*offered), "a.json")
    [problem] = caught.value.problems
    assert "takes channels DNA, RNA, ER, in this order" in problem.what
    assert f"the images offer {', '.join(offered)}" in problem.what
    assert problem.where == "a.json: dataset.images.channels"
    assert '"allow_channel_mapping": true' in problem.remedy
    found = require_card(wanted, profiling_settings(*offered, allow_channel_mapping=True), "a.json")
    assert tuple(offered[number] for number in found) == NAMES[:3]


def test_more_channels_than_the_model_takes_are_refused_or_left_out() -> None:
    wanted = {"channels": ("RNA", "Mito")}
    with pytest.raises(ModelError, match="takes channels RNA, Mito"):
        require_card(wanted, profiling_settings(*NAMES), "here")
    assert require_card(wanted, profiling_settings(*NAMES, allow_channel_mapping=True), "here") == (1, 4)


@pytest.mark.parametrize("mapping", [False, True])
def test_a_channel_that_is_not_there_is_refused_always(mapping: bool) -> None:
    settings = profiling_settings("OrigDNA", "RNA", allow_channel_mapping=mapping)
    with pytest.raises(
        ModelError, match="takes channels DNA, RNA, in this order; the images offer OrigDNA, RNA"
    ):
        require_card({"channels": ("DNA", "RNA")}, settings, "here")
    [problem] = card_problems({"channels": ("DNA", "AGP", "RNA")}, settings, "here")
    assert "no DNA and no AGP" in problem.remedy
    assert "card beside its weights" in problem.remedy


def test_case_makes_no_difference_unless_names_differ_in_nothing_else() -> None:
    wanted = {"channels": ("DNA", "Mito")}
    assert require_card(wanted, profiling_settings("dna", "MITO"), "here") == (0, 1)
    mapped = profiling_settings("mito", "dna", allow_channel_mapping=True)
    assert require_card(wanted, mapped, "here") == (1, 0)
    twins = profiling_settings("dna", "Mito", "DNA", allow_channel_mapping=True)
    assert require_card(wanted, twins, "here") == (2, 1)
    other_twins = profiling_settings("dna", "Mito", "Dna", allow_channel_mapping=True)
    assert card_problems(wanted, other_twins, "here")


@given(st.permutations(NAMES), st.sets(st.sampled_from(NAMES), min_size=1))
def test_mapping_finds_every_channel(offered: list[str], wanted: set[str]) -> None:
    channels = tuple(sorted(wanted))
    order = require_card(
        {"channels": channels}, profiling_settings(*offered, allow_channel_mapping=True), "here"
    )
    assert tuple(offered[number] for number in order) == channels


FULL = {"mode": "full_image", "view_size": 64}


@pytest.mark.parametrize(
    ("wanted", "settings", "what"),
    [
        ({"box_size": 32}, {}, "the model has box_size 32, the configuration 16"),
        ({"normalization": "zscore"}, {}, "the model has normalization zscore, the configuration minmax"),
        ({"sampling": "exact"}, {}, "the model has sampling exact, the configuration original"),
        ({"mask_objects": True}, {}, "the model has mask_objects true, the configuration false"),
        ({"mask_objects": False}, {"mask_objects": True}, "mask_objects false, the configuration true"),
        ({"masks": "original"}, {"mask_objects": True}, "masks original, the configuration nearest"),
        ({"mode": "single_cells", "view_size": None}, FULL, "view_size null, the configuration 64"),
        ({"view_size": 32}, FULL, "the model has view_size 32, the configuration 64"),
        ({"network": "resnet"}, {}, "the model has network resnet, the configuration cnn"),
        ({"conv_blocks": 3}, {}, "the model has conv_blocks 3, the configuration 2"),
        ({"repeats_channels": True}, {}, "the model has repeats_channels true, the configuration false"),
        ({"bits": 8}, {"cells": {"normalization": "none"}}, "the model has bits 8, the configuration 16"),
        ({"bits": 8}, {"cells": {"normalization": "plate"}}, "the model has bits 8, the configuration 16"),
        (
            {"bits": 16, "normalization": "none"},
            {"compression": STRETCHED, "cells": {"normalization": "none"}},
            "the model has bits 16, the configuration 8",
        ),
    ],
)
def test_crops_made_otherwise_are_refused(
    wanted: dict[str, Any], settings: dict[str, Any], what: str
) -> None:
    [problem] = card_problems(wanted, profiling_settings(**settings), "a.json")
    assert what in problem.what
    assert problem.where == "a.json"


def test_all_that_differs_is_told_at_once() -> None:
    wanted = {"box_size": 32, "sampling": "exact", "channels": ("AGP",)}
    problems = card_problems(wanted, profiling_settings(), "here")
    assert [problem.where for problem in problems] == ["here", "here: dataset.images.channels"]
    assert problems[0].what.count("the model has") == 2


@pytest.mark.parametrize("normalization", ["minmax", "zscore"])
def test_bits_that_normalization_forgets_make_no_difference(normalization: str) -> None:
    settings = profiling_settings(cells={"normalization": normalization})
    assert card_problems({"bits": 8, "normalization": normalization}, settings, "here") == []
    assert card_problems({"masks": "original"}, settings, "here") == []


def test_each_channel_alone_needs_no_names() -> None:
    settings = profiling_settings(*NAMES, crop_generator=REPEATING)
    assert repeats_channels(settings)
    assert require_card({"channels": ("R", "G", "B"), "repeats_channels": True}, settings, "here") == tuple(
        range(5)
    )
    [problem] = card_problems({"repeats_channels": False}, settings, "here")
    assert "the model has repeats_channels false, the configuration true" in problem.what


@pytest.mark.parametrize(
    ("compression", "bits"),
    [
        (None, 16),
        (CompressionSettings(implement=False), 16),
        (STRETCHED, 8),
        (CompressionSettings(implement=True, stretch="plate"), 8),
        (CompressionSettings(implement=True, stretch="none"), 16),
    ],
)
def test_the_bit_depth_is_that_of_the_images_that_are_cut(
    compression: CompressionSettings | None, bits: int
) -> None:
    assert crop_bits(profiling_settings(compression=compression)) == bits
    assert crop_bits(profiling_settings(compression=compression, bits=8)) == 8
