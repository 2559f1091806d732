"""The example projects: complete, readable, the same for the same seed, with real differences."""

import hashlib
import json
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops

from dp_assets.config.project import load_project
from dp_assets.example.phenotypes import mechanism_of
from dp_assets.example.plates import ExampleSummary
from dp_assets.example.project import DOSES, plan_plates, write_example_project
from dp_assets.example.tiny import write_tiny_project


def fingerprint(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def read_index(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "inputs/metadata/index.csv", dtype=str)


def read_centres(root: Path, row: pd.Series) -> np.ndarray:
    name = f"{row.Metadata_Well}-{row.Metadata_Site}-Nuclei.csv"
    frame = pd.read_csv(root / "inputs/locations" / row.Metadata_Plate / name)
    return frame[["Nuclei_Location_Center_Y", "Nuclei_Location_Center_X"]].to_numpy()


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> ExampleSummary:
    return write_example_project(tmp_path_factory.mktemp("example"), plates=1, seed=3)


def test_a_tiny_project_is_complete_and_quick(tmp_path: Path) -> None:
    started = time.perf_counter()
    summary = write_tiny_project(tmp_path)
    assert time.perf_counter() - started < 5
    index = read_index(tmp_path)
    assert len(index) == summary.sites == 8
    assert list(index["Metadata_Plate"].unique()) == list(summary.plates)
    assert set(zip(index["Treatment"], index["Split"], strict=True)) == {
        (treatment, split) for treatment in ("DMSO", "Nuclidol") for split in ("training", "validation")
    }
    cells = 0
    for _, row in index.iterrows():
        centres = read_centres(tmp_path, row)
        cells += len(centres)
        assert len(centres) > 0
        for channel in summary.channels:
            image = tifffile.imread(tmp_path / "inputs/images" / row[channel])
            assert image.shape == (128, 128)
            assert image.dtype == np.uint16
            assert image.std() > 0
        assert (centres >= 0).all()
        assert (centres <= 127).all()
    assert cells == summary.cells
    assert summary.images == 24


@pytest.mark.parametrize(("dtype", "file_format"), [("uint8", "png"), ("uint16", "png"), ("uint8", "tiff")])
def test_tiny_projects_come_in_other_formats(tmp_path: Path, dtype: str, file_format: str) -> None:
    write_tiny_project(
        tmp_path,
        plates=1,
        wells=2,
        shape=(100, 140),
        dtype=dtype,
        file_format=file_format,
        channels=["Actin", "DNA"],
    )
    path = tmp_path / "inputs/images" / read_index(tmp_path)["Actin"].iloc[0]
    image = imagecodecs.png_decode(path.read_bytes()) if file_format == "png" else tifffile.imread(path)
    assert path.suffix == f".{file_format}"
    assert image.dtype == np.dtype(dtype)
    assert image.shape == (100, 140)
    assert image.max() > 2 * image.min()
    images = json.loads((tmp_path / "inputs/config/cnn.json").read_text())["dataset"]["images"]
    assert images == {
        "channels": ["Actin", "DNA"],
        "file_format": file_format,
        "bits": 8 if dtype == "uint8" else 16,
        "width": 140,
        "height": 100,
    }


def test_overrides_reach_every_configuration_and_leave_the_rest(tmp_path: Path) -> None:
    write_tiny_project(
        tmp_path,
        plates=1,
        wells=2,
        experiments=["cnn", "efficientnet"],
        overrides={"prepare": {"compression": {"implement": False}}, "seed": 5},
    )
    for name in ("cnn", "efficientnet"):
        configuration = json.loads((tmp_path / f"inputs/config/{name}.json").read_text())
        assert configuration["prepare"]["compression"] == {"implement": False, "scaling_factor": 1.0}
        assert configuration["seed"] == 5
        assert configuration["train"]["model"]["name"] == name


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_tiny_project(tmp_path / name, seed=seed)
    first, again, other = (fingerprint(tmp_path / name) for name in "abc")
    assert first == again
    assert first.keys() == other.keys()
    images = [name for name in first if name.endswith(".tiff")]
    assert all(first[name] != other[name] for name in images)
    assert len({first[name] for name in images}) == len(images)


@pytest.mark.parametrize("plates", [1, 2, 3])
def test_every_plate_has_every_treatment_in_both_splits(plates: int) -> None:
    frame = pd.DataFrame([vars(plan) for plan in plan_plates(plates)])
    counts = frame.groupby(["plate", "treatment", "split"]).size().unstack()
    assert (counts["training"] == 3).all()
    assert (counts["validation"] == 1).all()
    assert not frame.duplicated(["plate", "well"]).any()
    assert not frame.duplicated(["treatment", "concentration", "replicate"]).any()
    treated = frame[frame["treatment"] != "DMSO"]
    assert set(treated["concentration"]) == set(DOSES)
    for place in (frame["well"].str[0], frame["well"].str[1:]):
        assert (frame.groupby(["plate", place])["treatment"].nunique() == 4).all()


@pytest.mark.parametrize("plates", [1, 2, 3])
def test_mechanisms_have_compounds_in_different_batches(plates: int) -> None:
    frame = pd.DataFrame([vars(plan) for plan in plan_plates(plates)])
    treated = frame[frame["treatment"] != "DMSO"]
    treated = treated.assign(mechanism=[mechanism_of(name) for name in treated["treatment"]])
    assert treated["mechanism"].nunique() == 3
    assert (treated.groupby("mechanism")["compound"].nunique() == min(plates, 2)).all()
    assert (treated.groupby("compound")["mechanism"].nunique() == 1).all()
    assert (treated.groupby(["compound", "plate"]).size() == 4).all()
    by_batch = treated.groupby("batch")["compound"].agg(frozenset).tolist()
    assert len(set(by_batch)) == min(plates, 2)
    assert (frame.loc[frame["treatment"] == "DMSO", "compound"] == "DMSO").all()
    assert mechanism_of("DMSO") == ""
    assert (frame.groupby("plate")["batch"].nunique() == 1).all()


def test_the_index_says_what_profiles_and_scores_look_for(tmp_path: Path) -> None:
    write_tiny_project(tmp_path)
    index = pd.read_csv(tmp_path / "inputs/metadata/index.csv", dtype=str, keep_default_na=False)
    rows = set(map(tuple, index[["Treatment", "Compound", "MOA", "Batch"]].to_numpy()))
    assert rows == {
        ("DMSO", "DMSO", "", "1"),
        ("Nuclidol", "Nuclidol-A", "Nuclear swelling", "1"),
        ("DMSO", "DMSO", "", "2"),
        ("Nuclidol", "Nuclidol-B", "Nuclear swelling", "2"),
    }
    experiment = load_project(tmp_path, strict=True).experiments["cnn"]
    columns = experiment.scoring().profiles.columns
    assert columns.treatment == ("Compound",)
    assert (columns.control, columns.control_values) == (("Treatment",), ("DMSO",))


def test_progress_is_reported_for_every_field(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_example_project(
        tmp_path,
        plates=1,
        sites_per_well=1,
        cells_per_site=1,
        shape=(40, 40),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(i + 1, 16) for i in range(16)]


def test_both_experiments_share_data_and_preparation(example: ExampleSummary) -> None:
    first, second = (
        json.loads((example.root / f"inputs/config/{name}.json").read_text()) for name in example.experiments
    )
    assert first["dataset"] == second["dataset"]
    assert first["prepare"] == second["prepare"]
    assert first["train"]["partition"] == second["train"]["partition"]
    assert {first["train"]["model"]["name"], second["train"]["model"]["name"]} == {"efficientnet", "cnn"}


def test_configurations_are_valid_for_every_stage(example: ExampleSummary) -> None:
    loaded = load_project(example.root)
    assert not loaded.broken
    assert set(loaded.experiments) == set(example.experiments)
    for experiment in loaded.experiments.values():
        assert not experiment.warnings
        for stage in (
            experiment.preparation,
            experiment.crops,
            experiment.training,
            experiment.profiling,
            experiment.scoring,
        ):
            stage()


def test_listed_centres_lie_on_nuclei(example: ExampleSummary) -> None:
    on_nucleus = []
    for _, row in read_index(example.root).iterrows():
        dna = tifffile.imread(example.root / "inputs/images" / row["DNA"]).astype(float)
        rows, cols = np.rint(read_centres(example.root, row)).astype(int).T
        on_nucleus.append(ndimage.gaussian_filter(dna, 1)[rows, cols] > threshold_otsu(dna))
    assert np.concatenate(on_nucleus).mean() > 0.93


def test_light_is_uneven(example: ExampleSummary) -> None:
    index = read_index(example.root)
    for channel in example.channels:
        background = np.mean(
            [
                np.minimum(tifffile.imread(example.root / "inputs/images" / path), 500)
                for path in index[channel]
            ],
            axis=0,
        )
        smooth = ndimage.gaussian_filter(background, 25)
        assert smooth.max() / smooth.min() > 1.15


def test_treatments_change_nuclei_and_not_brightness_alone(example: ExampleSummary) -> None:
    sizes, solidity = _nuclei_by_treatment(example)
    assert sizes["Nuclidol"] > 1.25 * sizes["DMSO"]
    assert sizes["Rotundin"] < 0.8 * sizes["DMSO"]
    assert solidity["Nuclidol"] < solidity["DMSO"] - 0.02


def _nuclei_by_treatment(example: ExampleSummary) -> tuple[dict[str, float], dict[str, float]]:
    """Median area (pixels) and solidity of nuclei that do not touch the border."""
    found = []
    for _, row in read_index(example.root).iterrows():
        dna = ndimage.gaussian_filter(
            tifffile.imread(example.root / "inputs/images" / row["DNA"]).astype(float), 1
        )
        for nucleus in regionprops(label(dna > threshold_otsu(dna))):
            top, left, bottom, right = nucleus.bbox
            if nucleus.area > 40 and top and left and bottom < dna.shape[0] and right < dna.shape[1]:
                found.append((row["Treatment"], nucleus.area, nucleus.solidity))
    medians = pd.DataFrame(found, columns=["treatment", "area", "solidity"]).groupby("treatment").median()
    sizes, solidity = ({str(name): float(value) for name, value in medians[key].items()} for key in medians)
    return sizes, solidity
