"""Which feature file is which site's: namings, names that pandas changed, and files that cannot be told."""

from pathlib import Path

import pyarrow as pa
import pytest

from dp_assets.config.errors import StoreError
from dp_assets.interchange.site_files import agrees, find_site_files, site_names


def index_of(*sites: tuple[str, str, str]) -> pa.Table:
    names = ("Metadata_Plate", "Metadata_Well", "Metadata_Site")
    return pa.table(
        {name: pa.array(list(values)) for name, values in zip(names, zip(*sites, strict=True), strict=True)}
    )


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize("name", ["P1/A01/s1.npz", "P1/A01_s1.npz", "P1_A01_s1.npz"])
def test_all_namings_are_found(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name, "P9/A01/s1.npz", "P1/readme.txt")
    found = find_site_files(tmp_path, index_of(("P1", "A01", "s1"), ("P1", "A02", "s1")))
    assert [(site.key, path) for site, path in found.files] == [("P1/A01/s1", tmp_path / name)]
    assert [site.key for site in found.without_file] == ["P1/A02/s1"]
    assert found.unknown == (tmp_path / "P9/A01/s1.npz",)


def test_names_that_pandas_took_for_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "1/A01/1.npz", "1/A01/2.npz")
    index = index_of(("001", "A01", "01"), ("001", "A01", "02"))
    files = find_site_files(tmp_path, index).files
    assert [(site.site, path.name) for site, path in files] == [("01", "1.npz"), ("02", "2.npz")]
    assert agrees(files[0][0], {"Metadata_Plate": 1, "Metadata_Site": 1})
    assert agrees(files[0][0], {"Metadata_Plate": "001", "Metadata_Site": "01"})
    assert agrees(files[0][0], {})
    assert not agrees(files[0][0], {"Metadata_Site": 2})


def test_pandas_guesses_by_column() -> None:
    mixed = site_names(index_of(("001", "A01", "01"), ("001", "A01", "s2")))
    assert [site.guessed for site in mixed] == [("1", "A01", "01"), ("1", "A01", "s2")]


def test_a_file_named_as_the_index_is_preferred(tmp_path: Path) -> None:
    touch(tmp_path, "P1/A01/1.npz", "P1/A01/01.npz")
    found = find_site_files(tmp_path, index_of(("P1", "A01", "1"), ("P1", "A01", "01")))
    assert [(site.site, path.name) for site, path in found.files] == [("1", "1.npz"), ("01", "01.npz")]


def test_files_that_cannot_be_told_apart(tmp_path: Path) -> None:
    touch(tmp_path, "P1/A01/1.npz", "P1/A02/1.npz", "P1/A02_1.npz")
    index = index_of(("P1", "A01", "1"), ("P1", "A01", "01"), ("P1", "A02", "1"))
    with pytest.raises(StoreError) as caught:
        find_site_files(tmp_path, index)
    told = [problem.what for problem in caught.value.problems]
    assert told == [
        "the file may be of site P1/A01/1 and of site P1/A01/01",
        "site P1/A02/1 has the files P1/A02/1.npz and P1/A02_1.npz",
    ]


def test_no_file_of_the_index(tmp_path: Path) -> None:
    touch(tmp_path, "X/A01/1.npz")
    with pytest.raises(StoreError, match="1 npz files are there, the index lists 1 sites"):
        find_site_files(tmp_path, index_of(("P1", "A01", "1")))
    with pytest.raises(StoreError, match="0 npz files"):
        find_site_files(tmp_path / "nothing", index_of(("P1", "A01", "1")))
