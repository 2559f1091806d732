"""Some rows of a table file, and what is raised when they cannot be read."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dp_assets.config.errors import ProjectError

# Texts that stand for no value. "none" may be the name of a treatment, and "Na" is sodium.
NO_TEXT = ("NA", "<NA>", "N/A", "#N/A", "nan", "NaN", "NAN")
# What programs write where a number is missing.
NO_NUMBER = (
    *("", *NO_TEXT, "-nan", "-NaN", "NULL", "null", "None", "none"),
    *("1.#QNAN", "1.#IND", "-1.#IND", "#NUM!", "#DIV/0!", "#VALUE!"),
)


class TableFileError(ProjectError):
    """A table of another program cannot be used as it is."""


@dataclass(frozen=True)
class TableColumn:
    """A column of a table file.

    Attributes
    ----------
    name : as it is in the file, without spaces around it.
    kind : "number" or "text", by its type in Parquet, by its first rows in CSV.
    """

    name: str
    kind: Literal["number", "text"]


@dataclass(frozen=True)
class TableBatch:
    """Rows of a table that follow one another.

    Attributes
    ----------
    first_row : number of the first of them in the file, from 1, without the header.
    numbers : (rows, columns) float32 in the order asked for; missing values are NaN.
    texts : column -> strings without spaces around them; missing values are "".
    """

    first_row: int
    numbers: np.ndarray
    texts: dict[str, pa.Array]


def as_text(values: pa.Array) -> pa.Array:
    """Values of any type as the text that a user would write: trimmed, whole numbers without a point."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        values = pa.array(
            [None if value is None else str(value) for value in values.to_pylist()], pa.string()
        )
    text = pc.utf8_trim_whitespace(pc.fill_null(values.cast(pa.string()), ""))
    missing = pc.is_in(text, value_set=pa.array(NO_TEXT, pa.string()))
    return pc.if_else(missing, "", text)


def as_matrix(columns: list[np.ndarray], rows: int) -> np.ndarray:
    """Columns of numbers as (rows, columns) float32."""
    matrix = np.empty((rows, len(columns)), np.float32)
    for place, values in enumerate(columns):
        matrix[:, place] = values
    return matrix
