"""`dp-assets export profiles`: an experiment's profiles for other programs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dp_assets_tests.interchange.made_profiles import PLATES, made_treatments, made_wells
from dp_assets_tests.orchestration.materializing import Workshop, call

PROFILES = ("export", "profiles", "--experiment", "cnn")


@pytest.fixture
def scored(tiny: Workshop) -> Workshop:
    """A tiny project with made profiles, as its scoring would have published them."""
    folder = tiny.root / "outputs" / "cnn"
    folder.mkdir(parents=True)
    pq.write_table(made_wells(), folder / "profiles.parquet")
    pq.write_table(made_treatments(), folder / "treatment_profiles.parquet")
    return tiny


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet", "h5ad", "gct"])
def test_the_ending_says_the_format(scored: Workshop, tmp_path: Path, ending: str) -> None:
    output = tmp_path / "out" / f"profiles.{ending}"
    result = call(scored.root, *PROFILES, str(output))
    assert result.exit_code == 0, result.output
    assert f"wrote {output}" in result.output
    assert "12 wells, 8 features" in result.output
    beginnings = {
        "csv": b"Metadata_Plate,",
        "csv.gz": b"\x1f\x8b",
        "parquet": b"PAR1",
        "h5ad": b"\x89HDF",
        "gct": b"#1.3\r\n8\t12\t1\t10",
    }
    assert output.read_bytes().startswith(beginnings[ending])
    again = call(scored.root, *PROFILES, str(output))
    assert again.exit_code == 1
    assert "--force" in again.stderr
    assert call(scored.root, *PROFILES, str(output), "--force").exit_code == 0


def test_a_folder_takes_jumps_layout(scored: Workshop, tmp_path: Path) -> None:
    result = call(scored.root, *PROFILES, str(tmp_path / "jump"), "--source", "source_4", "--csv")
    assert result.exit_code == 0, result.output
    for plate in PLATES:
        place = tmp_path / "jump/profiles" / plate.partition("_")[0] / plate
        frame = pd.read_parquet(place / f"{plate}.parquet")
        assert set(frame["Metadata_Source"]) == {"source_4"}
        assert (place / f"{plate}.csv.gz").exists()


def test_profiles_of_treatments(scored: Workshop, tmp_path: Path) -> None:
    output = tmp_path / "treatments.csv"
    result = call(scored.root, *PROFILES, str(output), "--level", "treatment")
    assert result.exit_code == 0, result.output
    frame = pd.read_csv(output, dtype={"Metadata_Concentration": str}, keep_default_na=False)
    expected = made_treatments().to_pandas()
    assert frame["Metadata_Treatment"].tolist() == expected["Metadata_Treatment"].tolist()
    np.testing.assert_allclose(frame["cnn_3"], expected["cnn_3"], rtol=1e-6)


def test_raw_profiles_of_wells_have_roles_and_the_features_as_they_were(
    finished: Workshop, tmp_path: Path
) -> None:
    output = tmp_path / "raw.parquet"
    result = call(finished.root, *PROFILES, str(output), "--raw")
    assert result.exit_code == 0, result.output
    frame = pd.read_parquet(output)
    paths = sorted((finished.root / "outputs/cnn/well_profiles").glob("*.parquet"))
    expected = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    features = [name for name in expected if not name.startswith("Metadata_")]
    np.testing.assert_array_equal(frame[features].to_numpy(), expected[features].to_numpy())
    is_control = expected["Metadata_Treatment"].eq("DMSO")
    assert frame["Metadata_Control"].tolist() == ["true" if control else "false" for control in is_control]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--level", "site", "a.csv"), "has no corrected_sites yet"),
        (("--raw", "a.csv"), "has no well_profiles yet"),
        (("--raw", "--level", "treatment", "a.csv"), "leave it out"),
        (("--format", "parquet", "a.csv"), "ending .parquet"),
        (("--format", "jump", "a.csv"), "name a folder"),
        (("--format", "csv", "a"), "ending .csv or .csv.gz"),
        (("--level", "treatment", "folder"), "profiles of wells"),
        (("--source", "x", "a.csv"), "the format csv has no such option"),
        (("--csv", "a.gct"), "the format gct has no such option"),
        (("a.xlsx",), "no format is known by the ending .xlsx"),
    ],
)
def test_what_cannot_be_exported_is_said(
    scored: Workshop, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    *options, name = arguments
    result = call(scored.root, *PROFILES, str(tmp_path / "out" / name), *options)
    assert result.exit_code == 1
    assert says in " ".join(result.stderr.split())
    assert "->" in result.stderr
    assert not (tmp_path / "out").exists()


def test_profiles_that_have_not_been_made_name_the_command_that_makes_them(tiny: Workshop) -> None:
    result = call(tiny.root, *PROFILES, "a.csv")
    assert result.exit_code == 1
    assert "run `dp-assets run evaluate --experiment cnn` first" in result.stderr
    result = call(tiny.root, "export", "profiles", "--experiment", "other", "a.csv")
    assert result.exit_code == 1
    assert "no experiment other with profiles; there are: cnn" in result.stderr


def test_a_table_that_cannot_be_read_is_said(scored: Workshop, tmp_path: Path) -> None:
    (scored.root / "outputs/cnn/profiles.parquet").write_bytes(b"PAR1 broken")
    result = call(scored.root, *PROFILES, str(tmp_path / "a.csv"))
    assert result.exit_code == 1
    assert "materialize its asset again" in result.stderr
