"""The synthetic microscope: uneven light, haze, shot noise, and a camera that counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

CAMERA_OFFSET = 110.0  # grey levels a 16-bit camera reads in the dark
READ_NOISE = 9.0
BACKGROUND = 260.0
FULL_SCALE = 24_000.0  # grey level of a 16-bit camera that an 8-bit camera of the same view would show as 255
# Grey levels of a bright structure of a control cell, per stain.
STAIN_LEVELS = {"DNA": 7500.0, "RNA": 4200.0, "Actin": 4800.0, "Mito": 5600.0}
# Share of the light lost in the corners, per stain: each has its own filter cube and lamp.
LIGHT_LOSS = {"DNA": 0.45, "RNA": 0.35, "Actin": 0.4, "Mito": 0.5}


@dataclass(frozen=True)
class Microscope:
    """How one plate was imaged.

    Attributes
    ----------
    channels : stains, in order.
    light : (rows, cols, channels) float32, the share of the light that arrives, at most 1.
    gain : (channels,) float32, the plate's staining and exposure.
    dtype : uint8 or uint16, what the camera writes.
    """

    channels: tuple[str, ...]
    light: np.ndarray
    gain: np.ndarray
    dtype: np.dtype

    def expose(self, scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Photograph a scene.

        Parameters
        ----------
        scene : (rows, cols, channels) float32, 1 where a control cell is bright, 0 where there is nothing.
        rng : source of the noise.

        Returns
        -------
        (rows, cols, channels) in the camera's dtype, grey levels.
        """
        levels = np.array([STAIN_LEVELS[name] for name in self.channels], np.float32)
        # Light scattered by everything in view: a faint, very blurred copy.
        haze = np.stack(
            [gaussian_filter(scene[..., i], 9, mode="reflect") for i in range(scene.shape[-1])], -1
        )
        electrons = (BACKGROUND + (0.95 * scene + 0.05 * haze) * levels * self.gain) * self.light
        noise = rng.standard_normal(scene.shape, dtype=np.float32)
        counted = electrons + noise * np.sqrt(0.8 * electrons + READ_NOISE**2) + CAMERA_OFFSET
        if self.dtype == np.uint8:
            counted = counted * (255 / FULL_SCALE)
        return np.clip(np.rint(counted), 0, np.iinfo(self.dtype).max).astype(self.dtype)


def set_up_microscope(
    channels: Sequence[str], shape: tuple[int, int], dtype: np.dtype, rng: np.random.Generator
) -> Microscope:
    """Choose one plate's light and gain: brightest somewhere off the middle; plates differ by about 10 %."""
    rows = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    cols = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    light = []
    for name in channels:
        row0, col0 = rng.uniform(-0.25, 0.25, 2)
        away = ((rows - row0) ** 2 + (cols - col0) ** 2) / 2
        loss = LIGHT_LOSS[name]
        light.append(1 / (1 + loss / (1 - loss) * away))
    gain = np.exp(rng.normal(0, 0.1, len(channels)))
    return Microscope(
        tuple(channels), np.stack(light, -1).astype(np.float32), gain.astype(np.float32), np.dtype(dtype)
    )
