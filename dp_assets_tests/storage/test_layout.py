"""Where things lie in a project."""

from pathlib import Path

import pytest
from upath import UPath

from dp_assets.storage.atomic import is_local
from dp_assets.storage.layout import ProjectLayout

ROOT = Path("/projects/screen")


def test_the_handbooks_tree() -> None:
    layout = ProjectLayout.of(ROOT)
    assert layout.store == UPath("/projects/screen/outputs")
    assert layout.metadata == ROOT / "inputs/metadata"
    assert layout.images == ROOT / "inputs/images"
    assert layout.locations == ROOT / "inputs/locations"
    assert layout.config == ROOT / "inputs/config"
    assert layout.pretrained == ROOT / "inputs/pretrained"
    assert layout.dagster_home == ROOT / ".dagster"


@pytest.mark.parametrize(
    ("asset", "place"),
    [
        (("image_index",), "metadata/image_index"),
        (("illumination_functions",), "intensities"),
        (("compressed_images",), "compressed/images"),
        (("single_cells", "box96"), "single_cells/box96"),
        (("resnet", "cell_features"), "resnet/features"),
        (("resnet", "well_profiles"), "resnet/well_profiles"),
        (("representation_benchmark",), "representation_benchmark"),
    ],
)
def test_every_asset_has_its_place(asset: tuple[str, ...], place: str) -> None:
    assert ProjectLayout.of(ROOT).place(asset) == place


def test_work_folders_differ_by_asset_and_plate() -> None:
    layout = ProjectLayout.of(ROOT, "s3://bucket/outputs")
    assert layout.work_folder(("exp", "cell_features"), "P1") == ROOT / ".work/exp/cell_features/P1"
    assert layout.work_folder(("exp", "trained_model")) == ROOT / ".work/exp/trained_model"
    assert is_local(layout.work)


@pytest.mark.parametrize(
    ("store", "path", "local"),
    [
        ("results", "/projects/screen/results", True),
        ("/data/results", "/data/results", True),
        ("file:///data/results", "/data/results", True),
        ("memory://bucket/results", "/bucket/results", False),
    ],
)
def test_outputs_may_lie_elsewhere(store: str, path: str, local: bool) -> None:
    found = ProjectLayout.of(ROOT, store).store
    assert UPath(found).path == path
    assert is_local(found) == local
