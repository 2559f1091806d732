"""The doctor: every problem of a project with its remedy, before work begins."""

import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from dp_assets.orchestration.project_setup import set_up_project
from dp_assets_tests.orchestration.materializing import Workshop, call, contents

SECOND = "TINY00002"


def test_doctor_on_a_good_project(tiny: Workshop) -> None:
    set_up_project(tiny.root)
    result = call(tiny.root, "doctor")
    assert result.exit_code == 0, result.output
    for line in ("experiments: cnn", "2 plates", "8 fields of view", "24 files read", "cells", "no problems"):
        assert line in result.output
    assert "24 files looked for" in call(tiny.root, "doctor", "--quick").output


def test_doctor_outside_a_project(tmp_path: Path) -> None:
    result = call(tmp_path, "doctor")
    assert result.exit_code == 1
    assert "it has no inputs/" in result.stderr
    assert "dp-assets setup" in result.stderr


def broken_configuration(workshop: Workshop) -> None:
    workshop.configure(lambda data: data["dataset"]["locations"].update(box_size=-3))


def no_configuration(workshop: Workshop) -> None:
    (workshop.root / "inputs" / "config" / "cnn.json").unlink()


def wrong_project_file(workshop: Workshop) -> None:
    (workshop.root / "project.yaml").write_text("on_bad_sites: skip\n", encoding="utf-8")


def masked_full_images(workshop: Workshop) -> None:
    change = {"mode": "full_image", "view_size": 64, "mask_objects": True}
    workshop.configure(lambda data: data["dataset"]["locations"].update(change))


def missing_weights(workshop: Workshop) -> None:
    workshop.configure(lambda data: data["profile"].update(checkpoint="Cell_Painting_CNN_v1.hdf5"))


def unknown_network(workshop: Workshop) -> None:
    workshop.configure(lambda data: data["train"]["model"].update(name="resnext"))


def unknown_generator(workshop: Workshop) -> None:
    workshop.configure(lambda data: data["train"]["model"].update(crop_generator="crops"))


def misspelt_callback(workshop: Workshop) -> None:
    workshop.configure(lambda data: data["train"]["model"].update(callbacks=[{"name": "EarlyStoping"}]))


def wrong_callback_arguments(workshop: Workshop) -> None:
    callback = {"name": "EarlyStopping", "params": {"patients": 3}}
    workshop.configure(lambda data: data["train"]["model"].update(callbacks=[callback]))


def no_comet_key(workshop: Workshop) -> None:
    workshop.configure(lambda data: data.update(logging={"comet": "comet.key"}))


def no_imagenet_weights(workshop: Workshop) -> None:
    workshop.configure(lambda data: data["train"]["model"].update(initialization="imagenet"))


def broken_plugin(workshop: Workshop) -> None:
    (workshop.root / "plugins").mkdir()
    (workshop.root / "plugins" / "net.py").write_text("import os\ndef f(:\n", encoding="utf-8")


def wrong_split_column(workshop: Workshop) -> None:
    workshop.configure(lambda data: data["train"]["partition"].update(split_field="Fold"))


def wrong_split_values(workshop: Workshop) -> None:
    workshop.configure(lambda data: data["train"]["partition"].update(training=["0"], validation=["1"]))


def no_index(workshop: Workshop) -> None:
    (workshop.root / "inputs" / "metadata" / "index.csv").unlink()


def evil_plate(workshop: Workshop) -> None:
    workshop.rewrite_index(lambda lines: [*lines[:-1], lines[-1].replace(SECOND, "../evil", 1)])


def missing_image(workshop: Workshop) -> None:
    (workshop.root / "inputs" / "images" / SECOND / "A02_s1_RNA.tiff").unlink()


def letters_in_locations(workshop: Workshop) -> None:
    path = next((workshop.root / "inputs" / "locations" / SECOND).glob("A02-*"))
    path.write_text("Nuclei_Location_Center_X,Nuclei_Location_Center_Y\n1,two\n", encoding="utf-8")


def no_locations(workshop: Workshop) -> None:
    shutil.rmtree(workshop.root / "inputs" / "locations" / SECOND)


def no_instance(workshop: Workshop) -> None:
    shutil.rmtree(workshop.root / ".dagster")


def broken_instance(workshop: Workshop) -> None:
    (workshop.root / ".dagster" / "dagster.yaml").write_text("storage: [", encoding="utf-8")


PROBLEMS: list[tuple[Callable[[Workshop], None], list[str]]] = [
    (broken_configuration, ["dataset.locations.box_size", "-3", "greater than"]),
    (no_configuration, ["there is no experiment configuration", "configs/experiments"]),
    (wrong_project_file, ['unknown key "on_bad_sites"', 'Did you mean "on_bad_site"?']),
    (masked_full_images, ["mask_objects is true", "no cell to mask", "set it to false"]),
    (missing_weights, ["no checkpoint 'Cell_Painting_CNN_v1.hdf5'", "inputs/pretrained"]),
    (wrong_split_column, ["no column Fold", "train.partition", "Split"]),
    (wrong_split_values, ["no image has Split '0'", "'training', 'validation'", "train.partition.training"]),
    (no_index, ["there is no image index", "write index.csv"]),
    (evil_plate, ["'../evil' cannot be used as a name", "line 9", "rename it"]),
    (missing_image, ["A02_s1_RNA.tiff", "does not exist", f"plate {SECOND}, well A02, site 1", "replace"]),
    (letters_in_locations, ["'two' is not a number", "A02-1-Nuclei.csv, line 2"]),
    (no_locations, ["no site has a locations file", SECOND, "Nuclei.csv"]),
    (no_instance, ["there is no Dagster instance", "dp-assets setup"]),
    (broken_instance, ["the instance cannot be opened", "dagster.yaml"]),
]


@pytest.mark.parametrize(("damage", "said"), PROBLEMS, ids=[damage.__name__ for damage, _ in PROBLEMS])
def test_doctor_names_a_problem_and_its_remedy(
    tiny: Workshop, damage: Callable[[Workshop], None], said: list[str]
) -> None:
    set_up_project(tiny.root)
    damage(tiny)
    before = contents(tiny.root / "inputs")
    result = call(tiny.root, "doctor")
    assert result.exit_code == 1, result.output
    for text in (*said, "    -> ", " problem"):
        assert text in result.output
    assert contents(tiny.root / "inputs") == before


def test_doctor_lists_the_problems_of_all_parts_at_once(tiny: Workshop) -> None:
    for damage in (missing_image, letters_in_locations, no_locations, wrong_split_column):
        if damage is not no_locations:
            damage(tiny)
    result = call(tiny.root, "doctor", "--quick")
    assert result.exit_code == 1
    assert "4 problems" in result.output
    for text in (
        "A02_s1_RNA.tiff does not exist",
        "'two' is not a number",
        "no column Fold",
        "dp-assets setup",
    ):
        assert text in result.output


def test_doctor_warns_of_doubtful_keys_but_passes(tiny: Workshop) -> None:
    set_up_project(tiny.root)
    tiny.configure(lambda data: data["train"]["model"].update(epoochs=3))
    result = call(tiny.root, "doctor", "--quick")
    assert result.exit_code == 0
    assert 'Did you mean "epochs"?' in result.output


def test_doctor_looks_at_the_disk(tiny: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up_project(tiny.root)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 5, 5))
    result = call(tiny.root, "doctor", "--quick")
    assert result.exit_code == 1
    assert "only 5 B are free" in result.output
    assert "`store` in project.yaml" in result.output


def test_square_brackets_in_messages_are_shown_as_they_are(tiny: Workshop) -> None:
    tiny.configure(lambda data: data["dataset"]["images"].update(bits=[8, 16]))
    result = call(tiny.root, "doctor")
    assert json.dumps([8, 16]) in result.output
    assert "\\[" not in result.output
