"""Figures from published results through the command line, against numbers made by hand."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import spearmanr

from dp_assets.storage.schemas import WELL_PROFILES
from dp_assets.storage.tables import write_table
from dp_assets_tests.orchestration.materializing import Workshop, call

DOSES = ("1", "3", "10", "30")
SHIFT = {"1": 0.5, "3": 2.0, "10": 1.0, "30": 8.0}


def write_profiles(workshop: Workshop, *, alike: bool = False) -> None:
    """Four controls, two wells for each dose of a drug, and one well of another compound."""
    rng = np.random.default_rng(3)
    rows = [("DMSO", "DMSO", "0", 0.0)] * 4
    rows += [("drug", "drug", dose, SHIFT[dose]) for dose in DOSES for _ in range(2)]
    rows.append(("other", "other", "5", 50.0))
    noise = np.zeros((len(rows), 3)) if alike else rng.normal(scale=0.01, size=(len(rows), 3))
    features = np.array([[shift, 0.0, 0.0] for *_, shift in rows]) + noise
    strings = list(zip(*[(treatment, compound, dose) for treatment, compound, dose, _ in rows], strict=True))
    columns = {
        "Metadata_Plate": ["TINY00001"] * len(rows),
        "Metadata_Well": [f"B{number:02d}" for number in range(len(rows))],
        "Metadata_Treatment": strings[0],
        "Metadata_Compound": strings[1],
        "Metadata_Concentration": strings[2],
    }
    table = pa.table(
        {name: pa.array(list(values), pa.string()) for name, values in columns.items()}
        | {f"cnn_{i}": pa.array(features[:, i].astype(np.float32)) for i in range(3)}
    )
    path = workshop.root / "outputs" / "cnn" / "well_profiles" / "TINY00001.parquet"
    write_table(path, table, WELL_PROFILES)


def draw(workshop: Workshop, tmp_path: Path, *more: str, experiment: str = "cnn"):
    output = tmp_path / "figures" / "dose.png"
    return call(
        workshop.root, "figure", "dose-response", "--experiment", experiment, "--output", str(output), *more
    ), output


def test_the_rank_correlation_and_the_picture(tiny: Workshop, tmp_path: Path) -> None:
    write_profiles(tiny)
    result, output = draw(tiny, tmp_path, "--exclude", "Compound=other")
    assert result.exit_code == 0, result.output
    expected = spearmanr([1, 3, 10, 30], [SHIFT[dose] for dose in DOSES]).statistic
    assert f"drug: Spearman {expected:.3f} over 4 doses (8 wells)" in result.output
    assert "other" not in result.output
    assert output.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("more", "experiment", "message"),
    [
        (("--dose", "Dosis"), "cnn", "no column Metadata_Dosis"),
        (("--dose", "Treatment"), "cnn", "dose 'DMSO' is not a number"),
        (("--exclude", "Treatment=DMSO"), "cnn", "0 wells have Treatment 'DMSO'"),
        ((), "nope", "experiment 'nope' does not exist"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    tiny: Workshop, tmp_path: Path, more: tuple[str, ...], experiment: str, message: str
) -> None:
    write_profiles(tiny)
    result, output = draw(tiny, tmp_path, *more, experiment=experiment)
    assert result.exit_code == 1
    assert message in result.stderr
    assert not output.exists()


def test_profiles_must_be_there_and_controls_must_differ(tiny: Workshop, tmp_path: Path) -> None:
    assert "no well profiles yet" in draw(tiny, tmp_path)[0].stderr
    write_profiles(tiny, alike=True)
    assert "all control wells are the same" in draw(tiny, tmp_path)[0].stderr


def test_a_place_that_cannot_be_written_is_said_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = call(tmp_path / "file" / "project", "setup")
    assert result.exit_code == 1
    assert "not a directory" in result.stderr
    assert "look at the path" in result.stderr
