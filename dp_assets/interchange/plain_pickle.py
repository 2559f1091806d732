"""Object arrays of .npy files, read without running anything that the file asks for.

A pickle may call any function of any package while it is loaded. Here it can build only what metadata are
made of: dicts, lists, text, numbers, and NumPy's arrays and scalars of those. Not even NumPy's own
reconstruction runs: the pickle fills stand-ins, which are turned into plain values afterwards.
"""

import math
import pickle
import struct
from collections.abc import Callable
from typing import IO, Any, Literal

import numpy as np

MOST_VALUES = 2**24
"""Most values of one array. A list may be named again and again: a few bytes could become all memory."""

# What loading a broken pickle may raise, as the documentation of `pickle` says, and what Python's own
# implementation of it raises besides.
BROKEN = (
    pickle.UnpicklingError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
PLAIN = (str, int, float, bool, type(None))
NUMBER_CODES = frozenset("biufUS")
NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")


class RefusedPickleError(Exception):
    """The pickle asks for something that is no plain value; the message names it."""


def read_object_array(stream: IO[bytes]) -> Any:
    """The content of a pickled object array, as nested lists of plain values.

    Parameters
    ----------
    stream : at the first byte after the .npy header.

    Returns
    -------
    The value itself for an array without axes (DeepProfiler's `metadata`: a dict), nested lists otherwise
    (`locations` with a column of text: rows of values).

    Raises
    ------
    RefusedPickleError : something else than plain values, more than `MOST_VALUES`, or a damaged pickle.
    """
    try:
        return _plain(_Unpickler(stream).load(), _Allowance())
    except RefusedPickleError:
        raise
    except BROKEN as error:
        raise RefusedPickleError(f"the pickle is damaged ({error})") from error


class _Allowance:
    """How many values may still come."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise RefusedPickleError(f"it holds more than {MOST_VALUES:,} values")


class _Type:
    """Stands in for a NumPy type."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code
        self.byte_order = "|"

    def __setstate__(self, state: tuple) -> None:
        self.byte_order = state[1]

    def values(self, data: bytes) -> list:
        """The values that these bytes hold."""
        kind = np.dtype(self.code)
        if kind.kind not in NUMBER_CODES:
            raise RefusedPickleError(f"it holds a value of NumPy's type {self.code!r}")
        return np.frombuffer(data, np.dtype(self.byte_order + self.code)).tolist()


class _Array:
    """Stands in for a NumPy array."""

    state: tuple | None = None

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def nested(self, allowance: _Allowance) -> Any:
        """The values by rows."""
        if self.state is None:
            raise RefusedPickleError("it holds an array without content")
        _, shape, kind, by_columns, data = self.state
        is_list = isinstance(data, list)
        # Objects are listed row by row, however the array lay in memory.
        order: Literal["C", "F"] = "F" if by_columns and not is_list else "C"
        plain = [_plain(value, allowance) for value in data] if is_list else kind.values(data)
        # An axis of length zero makes room for any number of empty rows.
        allowance.take(math.prod(max(1, size) for size in shape))
        values = np.empty(len(plain), object)
        for place, value in enumerate(plain):
            values[place] = value
        return values.reshape(shape, order=order).tolist()


class _Scalar:
    """Stands in for a NumPy scalar."""

    def __init__(self, kind: _Type, data: bytes) -> None:
        self.value = kind.values(data)[0]


def _latin1(text: str, encoding: str) -> bytes:
    """How pickles for Python 2 spell bytes."""
    if encoding != "latin1":
        raise RefusedPickleError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


# Named in pickles only as an argument of `_reconstruct`, so it need not be anything.
_ARRAY_CLASS = object()

_ALLOWED: dict[tuple[str, str], Any] = {
    **{(module, "_reconstruct"): lambda *_: _Array() for module in NUMPY_MODULES},
    **{(module, "scalar"): _Scalar for module in NUMPY_MODULES},
    ("numpy", "ndarray"): _ARRAY_CLASS,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _latin1,
}


class _Unpickler(pickle._Unpickler):
    """Python's own implementation: the one in C takes as much memory as a pickle claims (its memo's size)."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """The stand-in for a global; nothing else is ever imported."""
        try:
            return _ALLOWED[(module, name)]
        except KeyError:
            raise RefusedPickleError(f"it asks for {module}.{name}") from None


def _plain(value: Any, allowance: _Allowance) -> Any:
    allowance.take(1)
    if isinstance(value, _Array):
        return value.nested(allowance)
    if isinstance(value, _Scalar):
        return value.value
    if type(value) is dict:
        return {_plain(key, allowance): _plain(item, allowance) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [_plain(item, allowance) for item in value]
    if type(value) in PLAIN:
        return value
    raise RefusedPickleError(f"it holds a value of type {type(value).__name__}")
