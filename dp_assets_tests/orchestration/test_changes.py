"""What a change makes stale and what it leaves alone: new plates, corrected labels, pixels, settings."""

import os
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import tifffile
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from dp_assets.orchestration.code_location import build_defs
from dp_assets_tests.orchestration.materializing import (
    COMPUTED,
    INDEX,
    MODEL,
    PIXELS,
    PROFILES,
    TABLES,
    Workshop,
)

FIRST, SECOND = "TINY00001", "TINY00002"


def only(plate: str) -> Callable[[list[str]], list[str]]:
    """Keep the header and one plate of the index."""
    return lambda lines: [lines[0], *(line for line in lines[1:] if line.startswith(plate))]


def test_a_plate_added_later_recomputes_nothing_of_the_first(tiny: Workshop) -> None:
    both = (tiny.root / "inputs" / "metadata" / "index.csv").read_text(encoding="utf-8").splitlines()
    tiny.rewrite_index(only(FIRST))
    assert tiny.make(*INDEX).succeeded
    assert tiny.instance.get_dynamic_partitions("plates") == [FIRST]
    first = tiny.make(*TABLES, *PIXELS, plate=FIRST)
    assert first.recomputed == set(PIXELS)
    training = tiny.make("cnn/training_set")
    before = tiny.contents()

    tiny.rewrite_index(lambda _: both)
    index = tiny.make(*INDEX)
    assert (index.metadata["image_index"]["plates"], index.metadata["image_index"]["new_plates"]) == (
        2,
        SECOND,
    )
    again = tiny.make(*TABLES, *PIXELS, plate=FIRST)
    assert again.succeeded
    assert again.recomputed == set()
    assert again.versions == first.versions
    after = tiny.contents()
    assert {name for name in before if after[name] != before[name]} == {"metadata/image_index.parquet"}

    second = tiny.make(*TABLES, *PIXELS, plate=SECOND)
    assert second.recomputed == set(PIXELS)
    assert all(second.versions[name] != first.versions[name] for name in first.versions)
    # The split names training and validation images on the new plate too, so the set is another one now.
    assert tiny.make("cnn/training_set").versions != training.versions


def test_a_plate_outside_the_split_leaves_the_training_set_alone(tiny: Workshop) -> None:
    tiny.rewrite_index(lambda lines: [*only(FIRST)(lines), *(
        line.replace(",training,", ",held out,").replace(",validation,", ",held out,")
        for line in only(SECOND)(lines)[1:]
    )])  # fmt: skip
    tiny.make(*INDEX)
    tiny.make(*TABLES, *PIXELS, plate=FIRST)
    before = tiny.make("cnn/training_set")
    assert tiny.make(*TABLES, *PIXELS, plate=SECOND).succeeded
    after = tiny.make("cnn/training_set")
    assert after.versions == before.versions
    assert after.metadata["cnn/training_set"]["plates"] == FIRST


def test_a_corrected_label_recomputes_no_pixel(finished: Workshop) -> None:
    made = finished.make(*TABLES, *PIXELS, plate=FIRST).versions
    training = finished.make("cnn/training_set").versions
    finished.rewrite_index(
        lambda lines: [line.replace("A01,1,DMSO,0,1,", "A01,1,Nuclidol,0,1,") for line in lines]
    )
    finished.make(*INDEX)
    run = finished.make(*TABLES, *PIXELS, plate=FIRST)
    assert run.recomputed == set()
    assert {name for name in made if run.versions[name] != made[name]} == {"plate_annotations"}
    assert finished.make("cnn/training_set").versions != training
    profiles = finished.make("cnn/well_profiles", plate=FIRST)
    table = pd.read_parquet(finished.root / "outputs" / "cnn" / "well_profiles" / f"{FIRST}.parquet")
    assert profiles.succeeded
    assert table.set_index("Metadata_Well").loc["A01", "Metadata_Treatment"] == "Nuclidol"


def test_one_pixel_changes_its_plate_only(finished: Workshop) -> None:
    before = {plate: finished.make(*TABLES, *PIXELS, plate=plate) for plate in (FIRST, SECOND)}
    path = finished.root / "inputs" / "images" / FIRST / "A03_s1_Mito.tiff"
    pixels = tifffile.imread(path)
    pixels[64, 64] += 1
    tifffile.imwrite(path, pixels)
    first = finished.make(*TABLES, *PIXELS, plate=FIRST)
    changed = {name for name, version in first.versions.items() if version != before[FIRST].versions[name]}
    assert changed == {"plate_images", *PIXELS}
    assert first.recomputed == set(PIXELS)
    second = finished.make(*TABLES, *PIXELS, plate=SECOND)
    assert second.recomputed == set()
    assert second.versions == before[SECOND].versions


def test_a_touched_image_recomputes_nothing(finished: Workshop) -> None:
    before = finished.contents()
    for path in (finished.root / "inputs").rglob("*"):
        os.utime(path)
    for plate in (FIRST, SECOND):
        assert finished.make(*TABLES, *PIXELS, plate=plate).recomputed == set()
    assert finished.make(*MODEL).recomputed == set()
    for plate in (FIRST, SECOND):
        assert finished.make(*PROFILES, plate=plate).recomputed == set()
    assert finished.contents() == before


def test_a_moved_cell_recomputes_crops_and_features_only(finished: Workshop) -> None:
    path = next((finished.root / "inputs" / "locations" / FIRST).glob("A01-*"))
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:-1], "40.5,41.25"]) + "\n", encoding="utf-8")
    assert finished.make(*TABLES, *PIXELS, plate=FIRST).recomputed == {"single_cells/box32"}
    assert finished.make(*PROFILES, plate=FIRST).recomputed == {"cnn/cell_features"}


def test_force_computes_again_and_finds_the_same(finished: Workshop) -> None:
    before = finished.contents()
    run = finished.make(*PIXELS, plate=FIRST, force=True)
    assert run.recomputed == set(PIXELS)
    assert finished.contents() == before


CODE = {
    "prepare.illumination_correction.median_filter_size": (12, {"illumination_functions"}),
    "prepare.illumination_correction.down_scale_factor": (2, {"illumination_functions"}),
    "prepare.compression.scaling_factor": (0.5, {"compressed_images", "cnn/trained_model"}),
    "train.model.epochs": (3, {"cnn/trained_model"}),
    "train.model.params.learning_rate": (0.01, {"cnn/trained_model"}),
    "train.partition.split_field": ("Fold", {"cnn/training_set", "cnn/trained_model"}),
    "profile.feature_layer": ("pool", {"cnn/cell_features"}),
    "profiles.aggregation": ("median", {"cnn/site_profiles", "cnn/well_profiles"}),
    "profiles.minimum_cells": (3, {"cnn/well_profiles"}),
    "profiles.normalization.method": ("mad_robustize", {"cnn/corrected_sites", "cnn/profiles"}),
    "profiles.treatment_aggregation": ("median", {"cnn/treatment_profiles"}),
    "evaluation.label_field": ("Compound", {"cnn/corrected_sites", "cnn/profiles"}),
    "evaluation.null_draws": (20, {"cnn/evaluation"}),
    "evaluation.seed": (3, {"cnn/evaluation", "cnn/profile_map"}),
    "evaluation.projections.umap.n_neighbors": (5, {"cnn/evaluation", "cnn/profile_map"}),
    "dataset.metadata.control_value": ("Nuclidol", {"cnn/corrected_sites", "cnn/profiles"}),
    "dataset.images.width": (64, {"plate_images"}),
    "train.sampling.workers": (3, set()),
    "single_cells.margin": (2, {"single_cells/box32", "cnn/trained_model"}),
    "single_cells.normalization": ("zscore", {"cnn/trained_model"}),
}


@pytest.mark.parametrize(
    ("key", "value", "stale"), [(key, *rest) for key, rest in CODE.items()], ids=list(CODE)
)
def test_a_key_changes_the_code_version_of_those_who_read_it(
    tiny: Workshop, key: str, value: object, stale: set[str]
) -> None:
    before = code_versions(tiny.root)
    tiny.configure(lambda data: put(data, key, value))
    after = code_versions(tiny.root)
    assert set(after) == set(before)
    assert {name for name in after if after[name] != before[name]} == stale


def put(data: dict, key: str, value: object) -> None:
    """Set a dotted key."""
    *parents, last = key.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
    data[last] = value


def code_versions(root: Path) -> dict[str, str | None]:
    """Asset -> code version."""
    graph = build_defs(root).resolve_asset_graph()
    return {key.to_user_string(): graph.get(key).code_version for key in graph.get_all_asset_keys()}


def test_a_changed_filter_redoes_the_plate_and_then_the_model(finished: Workshop) -> None:
    finished.configure(lambda data: data["prepare"]["illumination_correction"].update(median_filter_size=12))
    runs = finished.make_all(FIRST, SECOND)
    recomputed = set().union(*(run.recomputed for run in runs.values()))
    assert recomputed == set(COMPUTED)


def test_a_changed_aggregation_redoes_the_well_profiles_only(finished: Workshop) -> None:
    before = finished.make(*PROFILES, plate=FIRST)
    path = finished.root / "outputs" / "cnn" / "well_profiles" / f"{FIRST}.parquet"
    mean = pd.read_parquet(path)
    finished.configure(lambda data: data.update(profiles={"aggregation": "median"}))
    after = finished.make(*PROFILES, plate=FIRST)
    median = pd.read_parquet(path)
    assert after.recomputed == set()
    assert {name for name in after.versions if after.versions[name] != before.versions[name]} == {
        "cnn/well_profiles"
    }
    features = [name for name in median.columns if not name.startswith("Metadata_")]
    cells = pd.read_parquet(finished.root / "outputs" / "cnn" / "features" / f"{FIRST}.parquet")
    expected = cells.groupby("Metadata_Well")[features].median()
    np.testing.assert_allclose(median[features].to_numpy(), expected.to_numpy(), rtol=1e-6)
    assert not np.allclose(mean[features].to_numpy(), median[features].to_numpy())


def test_what_dagster_marks_as_stale(tiny: Workshop) -> None:
    """The marks of the Dagster UI: fresh after a run, stale with a reason after a change, fresh once made."""
    tiny.make(*INDEX)
    tiny.make(*TABLES, *PIXELS, plate=FIRST)
    assert stale(tiny, *TABLES, *PIXELS) == {}
    tiny.configure(lambda data: put(data, "prepare.illumination_correction.median_filter_size", 12))
    assert stale(tiny, *TABLES, *PIXELS) == {"illumination_functions": "has a new code version"}
    tiny.make("illumination_functions", plate=FIRST)
    assert stale(tiny, *TABLES, *PIXELS) == {"compressed_images": "has a new dependency data version"}
    tiny.make("compressed_images", plate=FIRST)
    assert stale(tiny, *TABLES, *PIXELS) == {"single_cells/box32": "has a new dependency data version"}
    tiny.make("single_cells/box32", plate=FIRST)
    assert stale(tiny, *TABLES, *PIXELS) == {}
    # Another comment in the index: whatever reads it is asked again, and finds that nothing has changed.
    tiny.rewrite_index(
        lambda lines: [line + (",Note" if number == 0 else ",x") for number, line in enumerate(lines)]
    )
    tiny.make(*INDEX)
    assert set(stale(tiny, *TABLES, *PIXELS)) == {"plate_images", "plate_annotations"}
    tiny.make("plate_images", "plate_annotations", plate=FIRST)
    assert stale(tiny, *TABLES, *PIXELS) == {}


def stale(workshop: Workshop, *assets: str) -> dict[str, str]:
    """Asset -> why Dagster marks the first plate's as stale; fresh ones are left out."""
    resolver = CachingStaleStatusResolver(
        workshop.instance,
        build_defs(workshop.root).resolve_asset_graph(),
        LoadingContextForTest(workshop.instance),
    )
    found = {}
    for name in assets:
        key = dg.AssetKey(name.split("/"))
        if resolver.get_status(key, FIRST) == StaleStatus.STALE:
            found[name] = resolver.get_stale_causes(key, FIRST)[0].reason
    return found


def test_a_plate_taken_out_of_the_index_does_not_train(finished: Workshop) -> None:
    assert finished.make("cnn/training_set").metadata["cnn/training_set"]["plates"] == f"{FIRST}, {SECOND}"
    finished.rewrite_index(only(FIRST))
    assert finished.make(*INDEX).succeeded
    assert finished.make("cnn/training_set").metadata["cnn/training_set"]["plates"] == FIRST


def test_a_result_without_a_site_is_another_version_until_the_site_is_back(finished: Workshop) -> None:
    (finished.root / "project.yaml").write_text("on_bad_site: skip\n", encoding="utf-8")
    names = ("illumination_functions", "compressed_images", "single_cells/box32", "cnn/cell_features")
    whole = finished.make(*names, plate=FIRST)
    assert whole.recomputed == set()
    image = next((finished.root / "inputs" / "images" / FIRST).iterdir())
    kept = image.read_bytes()

    image.write_bytes(kept[:200])
    assert finished.make("plate_images", plate=FIRST).succeeded
    without = finished.make(*names, plate=FIRST, force=True)
    assert without.succeeded
    assert all(without.versions[name] != whole.versions[name] for name in names)

    image.write_bytes(kept)
    assert finished.make("plate_images", plate=FIRST).succeeded
    again = finished.make(*names, plate=FIRST)
    assert again.recomputed == set(names)
    assert again.versions == whole.versions
