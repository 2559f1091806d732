"""Scores of single cells, as an experiment asks for them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from dp_assets.config.experiment import Experiment, load_experiment
from dp_assets.evaluation.score import Score
from dp_assets.orchestration.cell_scores import cell_scores
from dp_assets.storage import profile_columns as roles
from dp_assets.storage.model_folder import ModelFolder
from dp_assets.storage.schemas import PLATE, SITE, WELL
from dp_assets_tests.profiling.cell_tables import stored_cells

_WELLS = {"A01": "x", "A02": "x", "A03": "y", "A04": "y", "A05": "DMSO"}
_TRAIN = {"targets": ["Drug"], "split_field": "Split", "training": ["t"], "validation": ["v"]}


def _experiment(folder: Path, **evaluation: Any) -> Experiment:
    path = folder / "made.json"
    document = {
        "dataset": {
            "metadata": {"label_field": "Drug", "control_value": "DMSO"},
            "images": {"channels": ["DNA"], "file_format": "tif", "bits": 8, "width": 9, "height": 9},
            "locations": {"box_size": 5},
        },
        "train": {"partition": _TRAIN, "model": {"name": "cnn", "params": {"conv_blocks": 1}}},
        "profile": {"feature_layer": "Drug", "checkpoint": "checkpoint_0001.hdf5"},
        "profiles": {"correction": {"regularization": 0.5}},
        "evaluation": {"bootstraps": 10, "cells_per_well": 4, "first_hit_repeats": 2, **evaluation},
    }
    path.write_text(json.dumps(document))
    return load_experiment(path)


def _scores(tmp_path: Path, experiment: Experiment, **card: Any) -> dict[str, Score]:
    sites = [("p", well, "1") for well in _WELLS for _ in range(3 if well == "A04" else 6)]
    x = np.array([0.9 if _WELLS[well] == "x" else 0.2 for _, well, _ in sites])
    x += 0.02 * np.random.default_rng(0).random(len(x))
    cells = stored_cells(tmp_path, sites, np.stack([x, 1 - x], axis=1).astype(np.float32))
    wells = pa.table(
        {
            PLATE: ["p"] * 5,
            WELL: list(_WELLS),
            **{name: list(_WELLS.values()) for name in (roles.TREATMENT, roles.COMPOUND)},
            **{name: [""] * 5 for name in (roles.LABEL, roles.BATCH)},
            roles.CONTROL: ["true" if drug == "DMSO" else "false" for drug in _WELLS.values()],
        }
    )
    annotations = pa.table(
        {
            WELL: list(_WELLS),
            SITE: ["1"] * 5,
            "Metadata_Drug": list(_WELLS.values()),
            "Metadata_Split": ["t", "v", "t", "v", "t"],
        }
    )
    told = SimpleNamespace(**{"classes": ("x", "y"), "source": "train", "heads": {}, **card})
    model = cast(ModelFolder, SimpleNamespace(card=told))
    found = cell_scores(wells, {"p": cells}, model, {"p": annotations}, experiment)
    return {score.name: score for _, result in found for score in result.scores}


def test_wells_with_too_few_cells_are_told(tmp_path: Path) -> None:
    experiment = _experiment(tmp_path, metrics=["first_hit"], first_hit_levels=["cell"])
    (found,) = _scores(tmp_path, experiment).values()
    assert found.excluded == {"treatments in one well only": 1, "wells with fewer than 4 cells": 1}
    assert (found.n, found.details["ranked"], found.details["draws"]) == (1, 12, 2)
    assert "4 cells of a well, sphered on 6 control cells, lambda 0.5" in found.protocol


@pytest.mark.parametrize(
    "heads", [{}, {"Drug": ("x", "y")}, {"Dose": ("1", "2"), "Drug": ("x", "y")}], ids=len
)
def test_accuracy_is_that_of_images_the_model_has_not_seen(
    tmp_path: Path, heads: dict[str, tuple[str, ...]]
) -> None:
    found = _scores(tmp_path, _experiment(tmp_path, metrics=["classifier"]), heads=heads)
    assert (found["accuracy_cells"].value, found["accuracy_cells"].n) == (1, 9)
    assert found["accuracy_wells"].n == 2
    assert found["accuracy_wells"].excluded == {"cells of images that the model was trained on": 18}


def test_a_model_from_elsewhere_was_trained_on_none_of_the_images(tmp_path: Path) -> None:
    found = _scores(tmp_path, _experiment(tmp_path, metrics=["classifier"]), source="checkpoint")
    assert found["accuracy_wells"].n == 4
    assert found["accuracy_cells"].excluded == {"cells whose label is not a class of the model": 6}
