"""Digests: the same for the same content, another for any other."""

import io
import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.storage.fingerprints import (
    fingerprint,
    fingerprint_bytes,
    fingerprint_stream,
    fingerprint_table,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
COLUMN = st.lists(st.none() | st.text(max_size=3), min_size=1, max_size=8)


def test_known_digests() -> None:
    # The published vector of BLAKE3 for "abc", its first 16 bytes.
    assert fingerprint_bytes(b"abc") == "6437b3ac38465133ffb63b75273a8db5"
    assert fingerprint("a", 1) == fingerprint_bytes(b'["a",1]')
    data = bytes(range(256)) * 10_000
    assert fingerprint_stream(io.BytesIO(data)) == fingerprint_bytes(data)


@given(value=JSON, number=st.integers())
def test_any_difference_shows_and_order_of_keys_does_not(value: object, number: int) -> None:
    assert fingerprint({"a": value, "b": number}) == fingerprint({"b": number, "a": value})
    assert fingerprint(value, number) != fingerprint(value, number + 1)
    assert fingerprint([value, number]) != fingerprint(value, number)


def test_numbers_that_json_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        fingerprint(math.nan)


@given(values=COLUMN, cuts=st.lists(st.integers(0, 8), max_size=3))
def test_tables_are_the_same_however_they_are_chunked(values: list[str | None], cuts: list[int]) -> None:
    numbers = [None if value is None else float(len(value)) for value in values]
    table = pa.table({"text": pa.array(values, pa.string()), "number": pa.array(numbers, pa.float64())})
    edges = sorted({0, *(min(cut, len(values)) for cut in cuts), len(values)})
    parts = [table.slice(start, stop - start) for start, stop in itertools.pairwise(edges)]
    expected = fingerprint_table(table)
    assert fingerprint_table(pa.concat_tables(parts)) == expected
    assert fingerprint_table(table.replace_schema_metadata({"k": "v"})) == expected
    padded = pa.concat_tables([table, table])
    assert fingerprint_table(padded.slice(len(values))) == expected
    assert (fingerprint_table(padded) == expected) == (len(values) == 0)


@given(values=COLUMN, others=COLUMN)
def test_tables_differ_when_their_values_do(values: list[str | None], others: list[str | None]) -> None:
    first, second = (pa.table({"x": pa.array(found, pa.string())}) for found in (values, others))
    assert (fingerprint_table(first) == fingerprint_table(second)) == (values == others)


def test_names_types_and_order_of_columns_count() -> None:
    one = pa.array([1], pa.int64())
    tables = [
        pa.table({"a": one, "b": one}),
        pa.table({"b": one, "a": one}),
        pa.table({"a": one, "b": pa.array([1], pa.int32())}),
        pa.table({"a": one}),
        pa.table({"a": one.slice(0, 0), "b": one.slice(0, 0)}),
        pa.table({"a": pa.array([True]), "b": one}),
    ]
    assert len({fingerprint_table(table) for table in tables}) == len(tables)


def test_values_hidden_under_nulls_do_not_count() -> None:
    plain = pa.array([1.0, None, 3.0])
    hiding = pa.array(np.array([1.0, 5.0, 3.0]), mask=np.array([False, True, False]))
    assert plain.equals(hiding)
    assert fingerprint_table(pa.table({"x": plain})) == fingerprint_table(pa.table({"x": hiding}))
    assert fingerprint_table(pa.table({"x": plain})) != fingerprint_table(pa.table({"x": [1.0, 0.0, 3.0]}))
