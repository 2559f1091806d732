"""The asset graph as a whole: a snapshot that catches accidental changes, and what configurations do."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest

from dp_assets.config.checks import USUAL_SEVERITY
from dp_assets.orchestration.code_location import build_defs
from dp_assets_tests.orchestration.materializing import Workshop


class Node(NamedTuple):
    """An asset as the snapshot shows it."""

    parents: frozenset[str]
    partitions: str | None
    group: str
    kinds: tuple[str, ...]
    checks: tuple[str, ...]
    pools: tuple[str, ...] = ()


# Checks that stop what depends on their asset: those of every table, those of corrected profiles, and those
# of `project.yaml` that do so by default.
OF_CORRECTED = ("controls_per_plate", "controls_whitened", "no_missing_values", "one_treatment_per_well")
BLOCKING = {
    "schema",
    *OF_CORRECTED,
    *(name for name, severity in USUAL_SEVERITY.items() if severity == "block"),
}


def scored(name: str) -> dict[str, Node]:
    """The assets over all plates of an experiment without batch correction."""

    def table(checks: tuple[str, ...], *parents: str) -> Node:
        lane_parents = {parent if parent == "plate_annotations" else f"{name}/{parent}" for parent in parents}
        return Node(frozenset(lane_parents), None, name, ("parquet",), tuple(sorted((*checks, "schema"))))

    sources = ("corrected_sites", "profile_map", "profiles", "treatment_profiles")
    return {
        f"{name}/corrected_sites": table(OF_CORRECTED, "site_profiles"),
        f"{name}/profiles": table(
            (*OF_CORRECTED, "batches_not_confounded", "controls_steady", "wells_agree"),
            "well_profiles",
            "plate_annotations",
        ),
        f"{name}/treatment_profiles": table(("expected_counts", "no_missing_values"), "profiles"),
        f"{name}/similarity": table((), "treatment_profiles"),
        f"{name}/profile_map": table((), "profiles", "treatment_profiles"),
        f"{name}/evaluation": Node(
            frozenset(f"{name}/{source}" for source in sources), None, name, ("html",), ()
        ),
    }


COMPARISON = {
    "comparison": Node(
        frozenset({"cnn/evaluation", "efficientnet/evaluation"}), None, "comparison", ("html",), ()
    )
}


def lane(name: str) -> dict[str, Node]:
    """The assets of one experiment that trains on compressed images."""
    return {
        **scored(name),
        f"{name}/training_set": Node(
            frozenset({"plate_annotations", "single_cells/box32"}),
            None,
            name,
            ("parquet",),
            ("classes_balanced", "classes_validated", "images_in_one_split", "schema", "wells_in_one_split"),
        ),
        f"{name}/trained_model": Node(
            frozenset({f"{name}/training_set"}),
            None,
            name,
            ("keras",),
            ("learned", "predictions_sane"),
            ("gpu",),
        ),
        f"{name}/cell_features": Node(
            frozenset({"cell_locations", f"{name}/trained_model", "compressed_images", "plate_images"}),
            "plates",
            name,
            ("parquet",),
            ("features_finite", "features_vary", "schema", "sites_complete"),
            ("gpu",),
        ),
        f"{name}/site_profiles": Node(
            frozenset({f"{name}/cell_features", "plate_annotations"}),
            "plates",
            name,
            ("parquet",),
            ("schema", "sites_profiled"),
        ),
        f"{name}/well_profiles": Node(
            frozenset({f"{name}/cell_features", "plate_annotations"}),
            "plates",
            name,
            ("parquet",),
            ("schema", "wells_complete"),
        ),
    }


# Libraries of networks, and those of scores, maps and exports: only bodies of assets import them.
HEAVY = (
    *("tensorflow", "keras", "jax", "torch"),
    *("umap", "numba", "sklearn", "seaborn", "statsmodels", "anndata", "copairs", "pycytominer", "jinja2"),
)

SHARED = {
    "image_index": Node(frozenset(), None, "plates", ("parquet",), ("plates_listed", "schema")),
    "plate_images": Node(
        frozenset({"image_index"}),
        "plates",
        "plates",
        ("parquet",),
        ("configured_size", "schema", "sites_complete"),
    ),
    "plate_annotations": Node(frozenset({"image_index"}), "plates", "plates", ("parquet",), ("schema",)),
    "cell_locations": Node(
        frozenset({"plate_images"}),
        "plates",
        "plates",
        ("parquet",),
        ("cell_counts_usual", "cells_found", "cells_inside", "centres_on_nuclei", "schema"),
    ),
    "image_quality": Node(
        frozenset({"plate_images"}),
        "plates",
        "plates",
        ("parquet",),
        (
            "channels_in_order",
            "fields_in_focus",
            "fields_not_empty",
            "fields_not_saturated",
            "schema",
            "sites_complete",
        ),
    ),
    "illumination_functions": Node(
        frozenset({"plate_images"}),
        "plates",
        "plates",
        ("numpy",),
        ("channels_not_flat", "illumination_range", "sites_complete"),
    ),
    "compressed_images": Node(
        frozenset({"illumination_functions", "plate_images"}),
        "plates",
        "plates",
        ("png",),
        ("images_not_flat", "sites_complete"),
    ),
    "single_cells/box32": Node(
        frozenset({"cell_locations", "compressed_images", "plate_images"}),
        "plates",
        "plates",
        ("crops",),
        ("crops_not_flat", "sites_complete"),
    ),
}


def snapshot(root: Path) -> dict[str, Node]:
    """The graph of a project."""
    graph = build_defs(root).resolve_asset_graph()
    nodes = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        nodes[key.to_user_string()] = Node(
            frozenset(parent.to_user_string() for parent in node.parent_keys),
            node.partitions_def.name
            if isinstance(node.partitions_def, dg.DynamicPartitionsDefinition)
            else None,
            node.group_name,
            tuple(sorted(node.kinds)),
            tuple(sorted(check.name for check in node.check_keys)),
            tuple(sorted(node.pools or ())),
        )
    return nodes


def test_two_experiments_share_everything_but_their_lanes(write_project: Callable[..., Workshop]) -> None:
    workshop = write_project(experiments=("cnn", "efficientnet"))
    assert snapshot(workshop.root) == {**SHARED, **lane("cnn"), **lane("efficientnet"), **COMPARISON}


def test_every_asset_says_what_it_is_and_whose(tiny: Workshop) -> None:
    graph = build_defs(tiny.root).resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.owners == ["team:imaging"], key
        assert len(node.description or "") > 40, key
        assert node.code_version, key
        for check in node.check_keys:
            assert graph.get_check_spec(check).description, check


def test_checks_of_tables_and_of_results_that_would_mislead_block_and_no_others(tiny: Workshop) -> None:
    graph = build_defs(tiny.root).resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        for check in graph.get(key).check_keys:
            assert graph.get_check_spec(check).blocking == (check.name in BLOCKING), check


def test_jobs_have_the_names_of_the_handbook(tiny: Workshop) -> None:
    defs = build_defs(tiny.root)
    made = {
        name: {key.to_user_string() for key in defs.resolve_job_def(name).asset_layer.executable_asset_keys}
        for name in ("index", "prepare", "export_single_cells", "train", "profile", "evaluate")
    }
    assert made == {
        "index": {"image_index"},
        "prepare": {
            "plate_images",
            "plate_annotations",
            "cell_locations",
            "image_quality",
            "illumination_functions",
            "compressed_images",
        },
        "export_single_cells": {"single_cells/box32"},
        "train": {"cnn/training_set", "cnn/trained_model"},
        "profile": {"cnn/cell_features", "cnn/site_profiles", "cnn/well_profiles"},
        "evaluate": set(scored("cnn")),
    }
    partitioned = {name for name in made if defs.resolve_job_def(name).partitions_def is not None}
    assert partitioned == {"prepare", "export_single_cells", "profile"}


def test_no_edge_to_compressed_images_when_compression_is_off(write_project: Callable[..., Workshop]) -> None:
    workshop = write_project(overrides={"prepare": {"compression": {"implement": False}}})
    graph = snapshot(workshop.root)
    assert graph["single_cells/box32"].parents == {"cell_locations", "plate_images"}
    assert graph["cnn/cell_features"].parents == {"cell_locations", "cnn/trained_model", "plate_images"}


def test_no_preparation_assets_without_a_prepare_section(tiny: Workshop) -> None:
    tiny.configure(lambda data: data.pop("prepare"))
    graph = snapshot(tiny.root)
    assert not {"illumination_functions", "compressed_images"} & set(graph)
    assert graph["single_cells/box32"].parents == {"cell_locations", "plate_images"}


def test_another_box_size_is_another_crop_set(write_project: Callable[..., Workshop]) -> None:
    workshop = write_project(experiments=("cnn", "efficientnet"))
    workshop.configure(lambda data: data["dataset"]["locations"].update(box_size=24), "efficientnet")
    graph = snapshot(workshop.root)
    assert {name for name in graph if name.startswith("single_cells/")} == {
        "single_cells/box24",
        "single_cells/box32",
    }
    assert graph["cnn/training_set"].parents == {"plate_annotations", "single_cells/box32"}
    assert graph["efficientnet/training_set"].parents == {"plate_annotations", "single_cells/box24"}


def test_a_project_that_only_profiles_has_no_training_set(tiny: Workshop) -> None:
    def only_profile(data: dict) -> None:
        del data["train"]["partition"]
        data["profile"]["checkpoint"] = "Cell_Painting_CNN_v1.hdf5"

    tiny.configure(only_profile)
    graph = snapshot(tiny.root)
    assert {name for name in graph if name.startswith("cnn/")} == {
        "cnn/trained_model",
        "cnn/cell_features",
        "cnn/site_profiles",
        "cnn/well_profiles",
        *scored("cnn"),
    }
    assert graph["cnn/trained_model"].parents == frozenset()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{ not json", "broken.json"),
        ('{"dataset": {"images": {"channels": 7}}}', "describes nothing to do"),
        ('{"dataset": {"images": {"channels": 7}}, "profile": {}}', "dataset.images.channels"),
    ],
)
def test_a_broken_experiment_lacks_its_lane_and_spoils_no_other(
    tiny: Workshop, content: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tiny.root / "inputs" / "config" / "broken.json").write_text(content, encoding="utf-8")
    assert snapshot(tiny.root) == {**SHARED, **lane("cnn")}
    assert "broken.json has no assets" in caplog.text
    assert said in caplog.text


def test_what_does_not_go_together_lacks_its_lane_and_says_so(
    write_project: Callable[..., Workshop], caplog: pytest.LogCaptureFixture
) -> None:
    workshop = write_project(experiments=("cnn", "efficientnet"))
    change = {"mode": "full_image", "view_size": 64, "mask_objects": True}
    workshop.configure(lambda data: data["dataset"]["locations"].update(change), "efficientnet")
    assert snapshot(workshop.root) == {**SHARED, **lane("cnn")}
    assert "efficientnet.json has no assets" in caplog.text
    assert "no cell to mask" in caplog.text


@pytest.mark.parametrize("exists", [True, False])
def test_a_project_without_experiments_has_only_the_index(tmp_path: Path, exists: bool) -> None:
    root = tmp_path / "project"
    if exists:
        root.mkdir()
    assert snapshot(root) == {"image_index": SHARED["image_index"]}
    assert root.exists() == exists


def test_overrides_take_the_place_of_resources(tiny: Workshop) -> None:
    mine = dg.ResourceDefinition.hardcoded_resource("mine")
    assert build_defs(tiny.root, accelerator=mine).resources["accelerator"] is mine  # type: ignore[index]


@pytest.mark.parametrize("exists", [True, False])
def test_loading_the_definitions_imports_no_library_that_takes_long(tmp_path: Path, exists: bool) -> None:
    """In a process of its own, for a project with a full graph and for a folder that is not there."""
    root = tmp_path / "project"
    if exists:
        from dp_assets.example.tiny import write_tiny_project

        write_tiny_project(root, experiments=("cnn", "efficientnet"))
    program = (
        "import json, sys; from dp_assets.definitions import defs; "
        "assets = [key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()]; "
        f"heavy = [name for name in {HEAVY} if name in sys.modules]; "
        "print(json.dumps([len(assets), heavy]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "/usr/bin:/bin", "DP_PROJECT": str(root), "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [31 if exists else 1, []]


DOCS = Path(__file__).parents[2] / "docs"


def test_the_documented_selection_is_all_that_follows_the_profiles_of_plates(
    write_project: Callable[..., Workshop],
) -> None:
    workshop = write_project(experiments=("cnn", "efficientnet"))
    page = (DOCS / "dagster.md").read_text(encoding="utf-8")
    (selection,) = re.findall(r"--select '(key:.*profiles.*)'$", page, re.MULTILINE)
    graph = build_defs(workshop.root).resolve_asset_graph()
    chosen = dg.AssetSelection.from_string(selection).resolve(graph)
    assert {key.to_user_string() for key in chosen} == {*scored("cnn"), *COMPARISON}


def test_every_table_and_folder_of_a_lane_has_its_place_in_the_documentation() -> None:
    page = (DOCS / "data.md").read_text(encoding="utf-8")
    places = dict(re.findall(r"^\| `([\w/<>]+)` \| `([\w/<>.]+)`", page, re.MULTILINE))
    for name in (*lane("<experiment>"), "<experiment>/correction_sweep", *COMPARISON):
        folder = {"<experiment>/cell_features": "<experiment>/features"}.get(name, name)
        assert places[name].startswith(folder), name


def test_every_check_is_documented_as_blocking_or_not(tiny: Workshop) -> None:
    page = (DOCS / "dagster.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (yes|no) \|", page, re.MULTILINE))
    graph = build_defs(tiny.root).resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        for check in graph.get(key).check_keys:
            assert rows[check.name] == ("yes" if graph.get_check_spec(check).blocking else "no"), check
