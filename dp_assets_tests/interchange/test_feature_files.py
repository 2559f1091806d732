"""Which files a pattern of `features.files` means."""

from pathlib import Path

import pytest

from dp_assets.interchange.feature_files import find_feature_files
from dp_assets.interchange.table_batches import TableFileError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with features of an experiment, and nothing in inputs/features."""
    folder = tmp_path / "a [project]" / "outputs" / "cnn" / "features"
    folder.mkdir(parents=True)
    for name in ("P1.parquet", "P2.parquet", "notes.txt~"):
        (folder / name).write_bytes(b"")
    return tmp_path / "a [project]"


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("pattern", ["../../outputs/cnn/features/*.parquet", "../../outputs/cnn/features"])
def test_files_of_another_experiment_are_found_from_the_folder(
    project: Path, pattern: str, exists: bool
) -> None:
    features = project / "inputs" / "features"
    if exists:
        features.mkdir(parents=True)
    found = find_feature_files([pattern], features)
    assert [path.name for path in found.tables] == ["P1.parquet", "P2.parquet"]
    assert all(path.is_file() and ".." not in path.parts for path in found.tables)


def test_absolute_patterns_and_names_with_brackets(project: Path) -> None:
    folder = project / "outputs" / "cnn" / "features"
    (folder / "P[3].parquet").write_bytes(b"")
    exact = find_feature_files([str(folder / "P[3].parquet")], project)
    assert [path.name for path in exact.tables] == ["P[3].parquet"]


def test_a_pattern_that_means_nothing_is_named(project: Path) -> None:
    with pytest.raises(TableFileError, match=r"no file is called .*\*\.csv"):
        find_feature_files(["*.csv"], project / "inputs" / "features")
