"""Pickled object arrays: plain values come back as NumPy gives them, everything else is refused unrun."""

import functools
import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_assets.interchange import plain_pickle
from dp_assets.interchange.plain_pickle import RefusedPickleError, read_object_array

texts = st.text(max_size=8)
plain = st.one_of(texts, st.integers(), st.floats(allow_nan=False), st.booleans(), st.none())
metadata = st.dictionaries(texts, st.one_of(plain, st.lists(plain, max_size=3)), max_size=5)


def array_of(value: Any) -> np.ndarray:
    array = np.empty((), object)
    array[()] = value
    return array


def read(value: Any, protocol: int = 4) -> Any:
    return read_object_array(io.BytesIO(pickle.dumps(array_of(value), protocol=protocol)))


@given(value=metadata, protocol=st.integers(2, 4))
def test_plain_values_come_back(value: dict, protocol: int) -> None:
    assert read(value, protocol) == value


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize(
    "value",
    [
        np.float64(1.5),
        np.float32(0.1),
        np.int8(-3),
        np.uint16(65535),
        np.bool_(True),
        np.str_("è"),
        np.bytes_(b"x"),
    ],
)
def test_numpy_scalars_become_plain_ones(value: Any, protocol: int) -> None:
    found = read({"a": value}, protocol)["a"]
    assert found == value.item()
    assert type(found) is type(value.item())


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [object, ">i4", "<f8"])
def test_arrays_become_nested_lists(kind: Any, order: Any) -> None:
    array = np.array([[1, 2, 3], [4, 5, 6]], dtype=kind, order=order)
    assert read({"a": array})["a"] == [[1, 2, 3], [4, 5, 6]]
    rows = np.array([[1.5, "x"], [None, "y"]], object)
    assert read_object_array(io.BytesIO(pickle.dumps(rows))) == [[1.5, "x"], [None, "y"]]


class Runs:
    """Unpickling it calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_a_pickle_asks_for_is_not_run(tmp_path: Path, protocol: int) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    with pytest.raises(RefusedPickleError, match=r"asks for posix\.rmdir|asks for nt\.rmdir"):
        read({"a": Runs(os.rmdir, str(victim))}, protocol)
    assert victim.exists()


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Runs(eval, "1"), "builtins.eval"),
        (functools.partial(int), "functools.partial"),
        (OrderedDict(a=1), "collections.OrderedDict"),
        (pd.Timestamp("2020-01-01"), "pandas"),
        (Path("x"), "pathlib"),
        (np.datetime64("2020"), "M8"),
        (np.zeros(1, "i4,i4"), "V8"),
        (np.random.default_rng(0), "numpy.random"),
        (Runs(np.ndarray, (1,)), "damaged"),
        ({1, 2}, "set"),
        (b"bytes", "bytes"),
        (1j, "builtins.complex"),
    ],
)
def test_everything_else_is_refused_by_name(value: Any, named: str) -> None:
    with pytest.raises(RefusedPickleError, match=named):
        read({"a": value})


def test_a_few_bytes_do_not_become_all_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_pickle, "MOST_VALUES", 1000)
    lists: list = []
    for _ in range(40):
        lists = [lists, lists]
    with pytest.raises(RefusedPickleError, match="more than 1,000 values"):
        read(lists)
    empty_rows = np.empty((2**40, 0), object)
    with pytest.raises(RefusedPickleError, match="more than 1,000 values"):
        read_object_array(io.BytesIO(pickle.dumps(empty_rows)))
    # "Remember this at place 4,294,967,295": the implementation in C makes a table of that length.
    claims = b"\x80\x02N" + b"r\xff\xff\xff\xff" + b"."
    assert read_object_array(io.BytesIO(claims)) is None


WHOLE = pickle.dumps(array_of({"Metadata_Plate": "P1", "n": np.int64(3)}))


@given(cut=st.integers(0, len(WHOLE) - 1))
def test_pickles_that_were_cut_off_are_refused(cut: int) -> None:
    with pytest.raises(RefusedPickleError, match="damaged"):
        read_object_array(io.BytesIO(WHOLE[:cut]))
