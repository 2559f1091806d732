"""Wells are found on their plate from their names."""

import pytest

from dp_assets.figures.plate_layout import guess_layout, row_name, well_position


@pytest.mark.parametrize(
    ("well", "position"),
    [
        ("A01", (0, 0)),
        ("b3", (1, 2)),
        ("H12", (7, 11)),
        ("P24", (15, 23)),
        ("AF48", (31, 47)),
        (" C007", (2, 6)),
    ],
)
def test_positions_follow_from_names(well: str, position: tuple[int, int]) -> None:
    assert well_position(well) == position


@pytest.mark.parametrize("well", ["1A", "A", "A00", "well 3", "A-1", "", "A123", "AAA01"])
def test_other_names_have_no_position(well: str) -> None:
    assert well_position(well) is None


@pytest.mark.parametrize(
    ("wells", "size"),
    [
        (["A01"], (8, 12)),
        (["H12", "A01"], (8, 12)),
        (["I01"], (16, 24)),
        (["A13"], (16, 24)),
        (["Q01"], (32, 48)),
    ],
)
def test_the_smallest_plate_that_holds_all_wells_is_taken(wells: list[str], size: tuple[int, int]) -> None:
    layout = guess_layout(wells)
    assert layout is not None
    assert (layout.rows, layout.cols) == size
    assert set(layout.positions) == set(wells)


@pytest.mark.parametrize("wells", [["A01", "control"], ["AG01"], ["A49"]])
def test_wells_that_lie_on_no_plate_have_no_layout(wells: list[str]) -> None:
    assert guess_layout(wells) is None


def test_row_names_are_the_inverse_of_positions() -> None:
    for row in range(32):
        assert well_position(f"{row_name(row)}05") == (row, 4)
