"""Interpolation of crops as a compiled loop; import this module where it is used (`compiled_loops`)."""

import numpy as np

from dp_assets.imaging.compiled_loops import compiled, read_only

_PLACES = (
    f"{read_only('int64', 2)}, {read_only('int64', 2)}, {read_only('float32', 2)}, {read_only('int64', 2)}"
)


@compiled(
    f"void({read_only(kind, 4)}, {_PLACES}, {_PLACES}, float32[:, :, :, ::1])"
    for kind in ("uint8", "uint16", "float32")
)
def interpolated_windows(
    windows: np.ndarray,
    lower_rows: np.ndarray,
    upper_rows: np.ndarray,
    row_weights: np.ndarray,
    row_ends: np.ndarray,
    lower_cols: np.ndarray,
    upper_cols: np.ndarray,
    col_weights: np.ndarray,
    col_ends: np.ndarray,
    crops: np.ndarray,
) -> None:
    """Crops from windows by linear interpolation in float32, along the columns and then along the rows.

    Parameters
    ----------
    windows : (cells, channels, side, side) uint8, uint16 or float32.
    lower_rows, upper_rows : (cells, box) int64, the pixels of the window before and after each sample.
    row_weights : (cells, box) float32, share of the pixel after.
    row_ends : (cells, 2) int64, the first sample that is computed and the one after the last.
    lower_cols, upper_cols, col_weights, col_ends : the same along columns.
    crops : (cells, box, box, channels) float32, filled where samples are computed.
    """
    cells, channels, side, _ = windows.shape
    box = crops.shape[1]
    along = np.empty((side, box), np.float32)
    for cell in range(cells):
        first_row, last_row = row_ends[cell]
        first_col, last_col = col_ends[cell]
        if first_row >= last_row or first_col >= last_col:
            continue
        for channel in range(channels):
            plane = windows[cell, channel]
            for row in range(lower_rows[cell, first_row], upper_rows[cell, last_row - 1] + 1):
                for col in range(first_col, last_col):
                    base = np.float32(plane[row, lower_cols[cell, col]])
                    step = np.float32(plane[row, upper_cols[cell, col]]) - base
                    along[row, col] = base + step * col_weights[cell, col]
            for row in range(first_row, last_row):
                below, above = along[lower_rows[cell, row]], along[upper_rows[cell, row]]
                weight = row_weights[cell, row]
                for col in range(first_col, last_col):
                    base = below[col]
                    crops[cell, row, col, channel] = base + (above[col] - base) * weight
