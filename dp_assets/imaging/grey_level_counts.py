"""How many pixels of a plane have each grey level."""

import numpy as np


def grey_level_counts(plane: np.ndarray) -> np.ndarray:
    """Pixels of each grey level.

    Parameters
    ----------
    plane : uint8 or uint16, any shape, fewer than 2**32 pixels.

    Returns
    -------
    int64, (256,) of uint8 and (65536,) of uint16.
    """
    from dp_assets.imaging.plane_kernels import counts_of_8_bits, counts_of_16_bits

    values = np.ascontiguousarray(plane).ravel()
    return counts_of_8_bits(values) if plane.dtype == np.uint8 else counts_of_16_bits(values)
