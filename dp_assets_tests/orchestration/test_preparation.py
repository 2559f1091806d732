"""Preparation: illumination on its own, the codec of compressed images, and 16-bit images downstream."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dp_assets.orchestration.code_location import build_defs
from dp_assets.storage.image_codecs import CODECS, Codec, ending
from dp_assets.storage.images import read_image
from dp_assets_tests.orchestration.materializing import (
    INDEX,
    MODEL,
    PROFILES,
    TABLES,
    Workshop,
)

PLATE = "TINY00001"
COMPRESSED = "compressed_images"


def only_illumination(data: dict) -> None:
    """Leave nothing in an experiment but channels and illumination correction."""
    images, illumination = data["dataset"]["images"], data["prepare"]["illumination_correction"]
    data.clear()
    data.update(dataset={"images": images}, prepare={"illumination_correction": illumination})


def test_illumination_alone(tiny: Workshop, finished_template: Path) -> None:
    tiny.configure(only_illumination)
    shutil.rmtree(tiny.root / "inputs" / "locations")
    assets = {
        key.to_user_string() for key in build_defs(tiny.root).resolve_asset_graph().get_all_asset_keys()
    }
    assert assets == {*INDEX, *TABLES, "image_quality", "illumination_functions"}
    assert tiny.make(*INDEX).succeeded
    run = tiny.make("plate_images", "illumination_functions", plate=PLATE)
    assert run.succeeded, run.failures
    assert run.failed_checks == {}
    assert run.metadata["illumination_functions"]["functions"].startswith("![")
    # The same functions as those of the project that also compresses, trains and profiles.
    place = Path("outputs") / "intensities" / f"{PLATE}.npz"
    with np.load(tiny.root / place) as alone, np.load(finished_template / place) as among_others:
        assert set(alone.files) == set(among_others.files)
        for name in alone.files:
            np.testing.assert_array_equal(alone[name], among_others[name], err_msg=name)
    assert not tiny.make("illumination_functions", plate=PLATE).recomputed


def test_the_method_basic_says_why_it_is_not_there(tiny: Workshop) -> None:
    def configure(data: dict) -> None:
        data["prepare"]["illumination_correction"]["method"] = "BaSiC"

    tiny.configure(configure)
    tiny.make(*INDEX)
    run = tiny.make("plate_images", "illumination_functions", plate=PLATE)
    assert not run.succeeded
    assert 'the method "basic" is not available' in run.message
    assert "prepare.illumination_correction.method" in run.message
    assert 'set it to "original"' in run.message
    assert not (tiny.root / "outputs" / "intensities").exists()


def codec_of(codec: str, stretch: str = "image") -> Callable[[dict], None]:
    return lambda data: data["prepare"]["compression"].update(codec=codec, stretch=stretch)


@pytest.mark.parametrize("codec", CODECS[1:])
def test_another_codec_replaces_the_files_and_keeps_the_pixels(finished: Workshop, codec: Codec) -> None:
    folder = finished.root / "outputs" / "compressed" / "images" / PLATE
    before = {path.stem: read_image(path) for path in folder.glob("*.png")}
    crops = finished.root / "outputs" / "single_cells" / "box32" / PLATE / "crops.bin"
    cut = crops.read_bytes()
    finished.configure(codec_of(codec))
    run = finished.make("illumination_functions", COMPRESSED, "single_cells/box32", plate=PLATE)
    assert run.succeeded, run.failures
    assert COMPRESSED in run.recomputed
    assert "illumination_functions" not in run.recomputed
    facts = run.metadata[COMPRESSED]
    assert facts["codec"] == codec
    assert facts["contact_sheet"].startswith("![")
    files = list(folder.glob(f"*{ending(codec)}"))
    assert facts["image_bytes"] == sum(path.stat().st_size for path in files)
    assert list(folder.glob("*.png")) == []
    after = {path.stem: read_image(path) for path in files}
    assert set(after) == set(before)
    for name, pixels in after.items():
        np.testing.assert_array_equal(pixels, before[name])
    assert json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))["codec"] == codec
    assert crops.read_bytes() == cut
    assert finished.make(COMPRESSED, "single_cells/box32", plate=PLATE).recomputed == set()


def test_half_size_16_bit_images_are_trained_and_profiled_on(write_project: Callable[..., Workshop]) -> None:
    compression = {"scaling_factor": 0.5, "stretch": "none", "codec": "jpegxl"}
    workshop = write_project(plates=1, overrides={"prepare": {"compression": compression}})
    workshop.make(*INDEX)
    run = workshop.make(*TABLES, "illumination_functions", COMPRESSED, "single_cells/box32", plate=PLATE)
    assert run.succeeded, run.failures
    assert run.metadata[COMPRESSED]["size_rows_x_columns"] == "64 x 64"
    folder = workshop.root / "outputs" / "compressed" / "images" / PLATE
    images = [read_image(path) for path in folder.glob("*.jxl")]
    assert {(image.shape, str(image.dtype)) for image in images} == {((64, 64), "uint16")}
    assert max(int(image.max()) for image in images) > 255
    assert workshop.make(*MODEL).succeeded
    assert workshop.make(*PROFILES, plate=PLATE).succeeded
    features = pd.read_parquet(workshop.root / "outputs" / "cnn" / "features" / f"{PLATE}.parquet")
    values = features[[name for name in features if not name.startswith("Metadata_")]].to_numpy()
    assert np.isfinite(values).all()
    assert np.ptp(values, axis=0).max() > 0
