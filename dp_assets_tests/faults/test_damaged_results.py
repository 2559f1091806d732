"""Published files that a disk or a person damaged: who reads them says which, and the remedy mends it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dp_assets_tests.faults.judging import PLATE, assert_says
from dp_assets_tests.orchestration.materializing import Workshop, contents
from dp_assets_tests.published_contents import differences, fingerprints

CROPS, FEATURES, MODEL = "single_cells/box32", "cnn/cell_features", "cnn/trained_model"
Damage = Callable[[Path], None]


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def zeroed(path: Path) -> None:
    """What a power failure leaves: the length is right."""
    path.write_bytes(bytes(path.stat().st_size))


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff\x00[{" * 64)


def one_bit(path: Path) -> None:
    """One bit of the content is another; length and structure are right."""
    data = bytearray(path.read_bytes())
    data[_in_the_content(path, len(data))] ^= 1
    path.write_bytes(data)


def _in_the_content(path: Path, size: int) -> int:
    """A byte that holds values: of Parquet in the pages of the largest column, of others in the middle."""
    if path.suffix != ".parquet":
        return size // 2
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    largest = max(columns, key=lambda column: column.total_compressed_size)
    start = largest.dictionary_page_offset or largest.data_page_offset
    return start + largest.total_compressed_size - 2


SEVERAL = [cut_off, emptied, zeroed, garbage, one_bit]
FILES = [
    ("metadata/plate_images/TINY00001.parquet", "plate_images", "illumination_functions"),
    ("metadata/cell_locations/TINY00001.parquet", "cell_locations", CROPS),
    ("intensities/TINY00001.npz", "illumination_functions", "compressed_images"),
    ("compressed/images/TINY00001/MANIFEST.json", "compressed_images", CROPS),
    ("compressed/images/TINY00001/A02_s1_RNA.png", "compressed_images", CROPS),
    ("single_cells/box32/TINY00001/MANIFEST.json", CROPS, "cnn/training_set"),
    ("single_cells/box32/TINY00001/index.parquet", CROPS, "cnn/training_set"),
    ("single_cells/box32/TINY00001/crops.bin", CROPS, MODEL),
    ("cnn/training_set.parquet", "cnn/training_set", MODEL),
    ("cnn/trained_model/MANIFEST.json", MODEL, FEATURES),
    ("cnn/trained_model/model_card.json", MODEL, FEATURES),
    ("cnn/trained_model/model.keras", MODEL, FEATURES),
    ("cnn/features/TINY00001.parquet", FEATURES, "cnn/well_profiles"),
]
# One of each format every time; the others, and every kind of damage, among the slow ones.
QUICK = {
    (CROPS + "/TINY00001/crops.bin", one_bit),
    ("compressed/images/TINY00001/A02_s1_RNA.png", one_bit),
    ("metadata/cell_locations/TINY00001.parquet", one_bit),
    ("intensities/TINY00001.npz", cut_off),
}


NOT_FORCED = ("cnn/training_set", "cnn/well_profiles")


def plate_of(asset: str) -> str | None:
    return None if asset in ("cnn/training_set", MODEL) else PLATE


@pytest.mark.parametrize(
    ("name", "maker", "reader", "damage"),
    [
        pytest.param(
            *case, damage, id=f"{case[0]} {damage.__name__}",
            marks=() if (case[0], damage) in QUICK else pytest.mark.slow,
        )
        for case in FILES
        for damage in SEVERAL
    ],
)  # fmt: skip
def test_a_damaged_result_is_named_and_mended(
    finished: Workshop, name: str, maker: str, reader: str, damage: Damage
) -> None:
    outputs = finished.root / "outputs"
    before = fingerprints(outputs)
    damage(outputs / name)
    damaged = contents(outputs)
    run = finished.make(reader, plate=plate_of(reader), force=reader not in NOT_FORCED)
    assert_says(run, str((outputs / name).parent))
    assert contents(outputs) == damaged, "the failed run changed something"
    is_forced = "force: true" in run.message
    if "delete the" in run.message and "folder" in run.message:
        shutil.rmtree((outputs / name).parent)
    elif "delete" in run.message:
        (outputs / name).unlink()
    mended = finished.make(maker, plate=plate_of(maker), force=is_forced)
    assert mended.succeeded, mended.failures
    assert differences(before, fingerprints(outputs)) == []
