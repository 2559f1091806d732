"""Which generator takes its crops from where, and what cannot be trained."""

import pytest

from dp_assets.config.errors import ModelError, TrainingDataError
from dp_assets.config.stages import TrainingSettings
from dp_assets.training.crop_supply import crop_origin, require_trainable, require_unchanged
from dp_assets_tests.training.synthetic import training_settings


def wanted(generator: str, mode: str) -> TrainingSettings:
    settings = training_settings(crop_generator=generator)
    locations = settings.locations.model_copy(update={"mode": mode, "view_size": 24})
    return settings.model_copy(update={"locations": locations})


@pytest.mark.parametrize(
    ("generator", "mode", "origin"),
    [
        ("sampled_crop_generator", "single_cells", "stores"),
        ("crop_generator", "single_cells", "images"),
        ("online_labels_cropgen", "single_cells", "stores"),
        ("of a plugin", "single_cells", "stores"),
        ("sampled_crop_generator", "full_image", "stores"),
        ("crop_generator", "full_image", "views"),
        ("full_image_crop_generator", "full_image", "views"),
    ],
)
def test_where_crops_come_from(generator: str, mode: str, origin: str) -> None:
    settings = wanted(generator, mode)
    assert crop_origin(settings) == origin
    require_trainable(settings)


@pytest.mark.parametrize("mode", ["single_cells", "full_image"])
def test_single_channels_are_for_profiling(mode: str) -> None:
    with pytest.raises(ModelError, match=r"for profiling only[\s\S]*sampled_crop_generator"):
        require_trainable(wanted("repeat_channel_crop_generator", mode))


def test_views_need_whole_images() -> None:
    with pytest.raises(ModelError, match=r"mode is 'single_cells'[\s\S]*view_size"):
        require_trainable(wanted("full_image_crop_generator", "single_cells"))


def test_plates_that_changed_are_named() -> None:
    require_unchanged({"P1": "a"}, {"P1": "a", "P2": "new"}, "crops")
    with pytest.raises(TrainingDataError, match="the images of plate P1, P3 changed after") as caught:
        require_unchanged({"P1": "a", "P2": "b", "P3": "c"}, {"P1": "x", "P2": "b"}, "images")
    assert "training_set again" in caught.value.problems[0].remedy
