"""Columns found by name, missing values, and numbers written in several ways."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.profiling.metadata_columns import MetadataColumns, clean, split_dose
from dp_assets.storage.number_text import plain_number
from dp_assets_tests.profiling.cell_tables import text_table


def columns(*names: str) -> MetadataColumns:
    return MetadataColumns(text_table({name: ["a"] for name in names}))


def test_names_are_found_without_prefix_and_case() -> None:
    found = columns("Metadata_compound", "Metadata_Batch", "cnn_1")
    assert found.find("Compound") == found.find("Metadata_COMPOUND") == "Metadata_compound"
    assert found.find("cnn_1") is None
    assert found.first(("Dose", "batch", "Compound")) == "Metadata_Batch"
    assert found.first(("Dose",)) is None


def test_the_same_spelling_comes_first() -> None:
    assert columns("Metadata_moa", "Metadata_MOA").find("MOA") == "Metadata_MOA"
    assert columns("Metadata_moa", "Metadata_MOA").find("Moa") == "Metadata_moa"


def test_a_missing_column_is_named_with_the_nearest() -> None:
    problem = columns("Metadata_Mechanism", "Metadata_Plate").absent("Mechansim", "evaluation.label_field")
    assert problem.what == (
        'the profiles have no metadata column "Mechansim"; the nearest is "Mechanism"; '
        "there are: Mechanism, Plate"
    )
    assert problem.where == "evaluation.label_field"
    assert "nearest" not in columns("Metadata_Plate").absent("Dose", "x").what


@pytest.mark.parametrize("value", [None, "", "  ", "nan", "NaN", "NA", "<NA>"])
def test_no_value(value: str | None) -> None:
    assert clean(value) == ""


@pytest.mark.parametrize("value", ["Na", "none", "0", "nano"])
def test_a_value(value: str) -> None:
    assert clean(f" {value} ") == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.000000", "3"),
        ("0.30", "0.3"),
        ("1e-3", "0.001"),
        ("100", "100"),
        ("0.0", "0"),
        ("-0", "0"),
        (".5", "0.5"),
        ("1e999999999", "1e999999999"),
        ("", None),
        ("high", None),
        ("1_0", None),
        ("inf", None),
        ("NaN", None),
    ],
)
def test_numbers_in_their_shortest_form(text: str, expected: str | None) -> None:
    assert plain_number(text) == expected


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=6))
def test_equal_numbers_have_one_form(number: Decimal) -> None:
    shortest = plain_number(str(number))
    assert shortest is not None
    assert Decimal(shortest) == number
    assert {plain_number(text) for text in (f"{number}000", f"{number:.20e}", shortest)} == {shortest}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BRD-K12345678-001-01-1@3.30", ("BRD-K12345678-001-01-1", "3.3")),
        ("DMSO@0", ("DMSO", "0")),
        ("DMSO", ("DMSO", "")),
        ("someone@work", ("someone@work", "")),
        ("@3", ("@3", "")),
        ("a@b@2", ("a@b", "2")),
    ],
)
def test_names_with_a_dose(text: str, expected: tuple[str, str]) -> None:
    assert split_dose(text) == expected
