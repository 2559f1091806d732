"""The whole graph through `dagster asset materialize`, as a user's CI runs it: a process per command."""

import subprocess
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from dagster import DagsterInstance

from dp_assets.orchestration.project_setup import set_up_project
from dp_assets_tests.end_to_end.conftest import Command
from dp_assets_tests.orchestration.materializing import (
    COMPUTED,
    PIXELS,
    PROFILES,
    TABLES,
    Workshop,
    contents,
    plain,
)

PLATE = "TINY00001"
PLACES = {
    "image_index": "metadata/image_index.parquet",
    "plate_images": f"metadata/plate_images/{PLATE}.parquet",
    "plate_annotations": f"metadata/plate_annotations/{PLATE}.parquet",
    "cell_locations": f"metadata/cell_locations/{PLATE}.parquet",
    "illumination_functions": f"intensities/{PLATE}.npz",
    "compressed_images": f"compressed/images/{PLATE}/A01_s1_DNA.png",
    "single_cells/box32": f"single_cells/box32/{PLATE}/MANIFEST.json",
    "cnn/training_set": "cnn/training_set.parquet",
    "cnn/trained_model": "cnn/trained_model/model.keras",
    "cnn/cell_features": f"cnn/features/{PLATE}.parquet",
    "cnn/well_profiles": f"cnn/well_profiles/{PLATE}.parquet",
}
WITHOUT_PARTITION = ("image_index", "cnn/training_set", "cnn/trained_model")


def materialize(
    command: Command, root: Path, *assets: str, plate: str | None = None
) -> subprocess.CompletedProcess:
    """`dagster asset materialize` as it stands in the README."""
    partition = ["--partition", plate] if plate else []
    selected = ",".join(assets)
    return command(
        root,
        "dagster",
        "asset",
        "materialize",
        "-m",
        "dp_assets.definitions",
        "--select",
        selected,
        *partition,
    )


@pytest.mark.slow
def test_every_asset_one_command_at_a_time_and_then_again(tiny: Workshop, command: Command) -> None:
    set_up_project(tiny.root)
    outputs = tiny.root / "outputs"
    for asset, place in PLACES.items():
        assert not (outputs / place).exists()
        done = materialize(command, tiny.root, asset, plate=None if asset in WITHOUT_PARTITION else PLATE)
        assert done.returncode == 0, (asset, done.stderr)
        assert (outputs / place).is_file(), asset
    assert (outputs / "cnn" / "trained_model" / "log.csv").is_file()
    assert (outputs / "cnn" / "trained_model" / "model_card.json").is_file()
    cells = pq.read_metadata(outputs / PLACES["cell_locations"]).num_rows
    assert pq.read_metadata(outputs / PLACES["cnn/cell_features"]).num_rows == cells > 10
    assert pq.read_metadata(outputs / PLACES["cnn/well_profiles"]).num_rows == 4

    before = contents(outputs)
    for done in (
        materialize(command, tiny.root, "image_index", *TABLES, *PIXELS, plate=PLATE),
        materialize(command, tiny.root, "cnn/training_set", "cnn/trained_model"),
        materialize(command, tiny.root, *PROFILES, plate=PLATE),
    ):
        assert done.returncode == 0, done.stderr
    assert contents(outputs) == before
    recomputed = {name: facts.get("recomputed") for name, facts in latest_metadata(tiny.root).items()}
    assert {name: recomputed[name] for name in COMPUTED} == dict.fromkeys(COMPUTED, False)


def latest_metadata(root: Path) -> dict[str, dict]:
    """Asset -> metadata of its last materialization, as the Dagster UI shows it."""
    with DagsterInstance.from_config(str(root / ".dagster")) as instance:
        found = {}
        for name in PLACES:
            event = instance.get_latest_materialization_event(dg.AssetKey(name.split("/")))
            assert event is not None
            assert event.asset_materialization is not None
            found[name] = plain(event.asset_materialization.metadata)
        return found


def test_what_a_user_sees_of_every_asset(finished: Workshop) -> None:
    """Counts, sizes, columns, and a picture where there is something to see."""
    runs = {
        **finished.make("image_index").metadata,
        **finished.make(*TABLES, *PIXELS, plate=PLATE).metadata,
        **finished.make("cnn/training_set", "cnn/trained_model").metadata,
        **finished.make(*PROFILES, plate=PLATE).metadata,
    }
    pictures = {
        "cell_locations": "cell_counts",
        "illumination_functions": "functions",
        "compressed_images": "contact_sheet",
        "single_cells/box32": "crops",
        "cnn/training_set": "crops",
        "cnn/trained_model": "curves",
        "cnn/well_profiles": "cell_counts",
    }
    for asset, name in pictures.items():
        assert runs[asset][name].startswith("!["), asset
        assert "data:image/png;base64," in runs[asset][name]
        assert len(runs[asset][name]) < 70_000, asset
    for asset in PLACES:
        assert runs[asset]["bytes"] > 0, asset
    for asset in ("image_index", *TABLES, "cnn/training_set", *PROFILES):
        assert runs[asset]["dagster/row_count"] > 0, asset
        assert runs[asset]["dagster/column_schema"].columns, asset
    assert runs["image_index"]["plates"] == 2
    assert runs["plate_images"]["images"] == 12
    assert runs["plate_images"]["size_rows_x_columns"] == "128 x 128 uint16 (12)"
    assert runs["cnn/training_set"]["classes"] == 2
    assert runs["cnn/cell_features"]["cells"] == runs["cell_locations"]["cells"]
    assert runs["cnn/well_profiles"]["wells"] == 4


def test_bad_input_and_wrong_partitions_end_with_code_1(tiny: Workshop, command: Command) -> None:
    set_up_project(tiny.root)
    tiny.rewrite_index(lambda lines: [*lines, lines[1].replace(PLATE, "../evil", 1)])
    done = materialize(command, tiny.root, "image_index")
    assert done.returncode == 1
    assert "'../evil' cannot be used as a name" in done.stderr
    assert "line 10, column Metadata_Plate" in done.stderr
    assert not (tiny.root / "outputs" / "metadata").exists()

    tiny.rewrite_index(lambda lines: lines[:-1])
    assert materialize(command, tiny.root, "image_index").returncode == 0
    (tiny.root / "inputs" / "images" / PLATE / "A02_s1_RNA.tiff").unlink()
    done = materialize(command, tiny.root, "plate_images", plate=PLATE)
    assert done.returncode == 1
    assert "A02_s1_RNA.tiff" in done.stderr
    assert f"plate {PLATE}, well A02, site 1" in done.stderr
    assert "on_bad_site: skip" in done.stderr

    done = materialize(command, tiny.root, "plate_images", plate="P9")
    assert done.returncode == 1
    assert "P9" in done.stderr


def test_an_unknown_experiment_ends_with_an_error(tiny: Workshop, command: Command) -> None:
    set_up_project(tiny.root)
    done = materialize(command, tiny.root, "resnet/well_profiles", plate=PLATE)
    assert done.returncode != 0
    assert "resnet" in done.stderr


def test_definitions_validate(tiny: Workshop, command: Command) -> None:
    set_up_project(tiny.root)
    done = command(tiny.root, "dagster", "definitions", "validate", "-m", "dp_assets.definitions")
    assert done.returncode == 0, done.stderr
    assert "Deprecat" not in done.stderr
