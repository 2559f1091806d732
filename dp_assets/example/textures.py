"""Random textures from which the insides of synthetic cells are cut: grain, filaments, puncta and fibres."""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft2, rfft2

TILE_SIDE = 384
FIBRE_ANGLES = 6
# Standard deviations (pixels, for a cell of scale 1) of the smoothing behind each texture.
FINE, COARSE, FILAMENT, PUNCTA = 0.9, 2.4, 2.0, 1.3
FIBRE_WIDTH, FIBRE_LENGTH = 0.9, 9.0


@dataclass(frozen=True)
class TextureBank:
    """Periodic tiles of texture, drawn once and cut many times.

    Attributes
    ----------
    tiles : name -> (variants, TILE_SIDE, TILE_SIDE) float32. `fine` and `coarse` grain have mean 0 and
        standard deviation 1; `filaments`, `puncta` and `fibres` lie between 0 and 1.
    """

    tiles: dict[str, np.ndarray]

    def cut(self, name: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """A random patch of one texture: (rows, cols) float32; `shape` is at most TILE_SIDE on each axis."""
        tiles = self.tiles[name]
        tile = tiles[rng.integers(len(tiles))]
        top = int(rng.integers(TILE_SIDE - shape[0] + 1))
        left = int(rng.integers(TILE_SIDE - shape[1] + 1))
        return tile[top : top + shape[0], left : left + shape[1]]


def make_textures(rng: np.random.Generator, scale: float) -> TextureBank:
    """Draw the textures for cells of one size.

    Parameters
    ----------
    rng : source of randomness.
    scale : size of the cells; 1 gives cells about 40 pixels across. Grain sizes grow with it.
    """
    filaments = _smooth_noise(rng, FILAMENT * scale)
    puncta = _smooth_noise(rng, PUNCTA * scale)
    fibres = [
        _smooth_noise(rng, FIBRE_LENGTH * scale, FIBRE_WIDTH * scale, np.pi * i / FIBRE_ANGLES)
        for i in range(FIBRE_ANGLES)
    ]
    return TextureBank(
        {
            "fine": _smooth_noise(rng, FINE * scale)[None],
            "coarse": _smooth_noise(rng, COARSE * scale)[None],
            # The zero contours of a smooth field are closed, winding lines: a tubular network.
            "filaments": np.exp(-((filaments / 0.35) ** 2))[None],
            "puncta": np.clip((puncta - 0.9) / 1.4, 0, 1)[None],
            "fibres": np.stack([np.clip((fibre - 0.3) / 2, 0, 1) for fibre in fibres]),
        }
    )


def _smooth_noise(
    rng: np.random.Generator, sigma: float, sigma_across: float | None = None, angle: float = 0.0
) -> np.ndarray:
    """Periodic Gaussian-filtered noise, mean 0, deviation 1; elongated along `angle` (radians) if asked."""
    across = sigma if sigma_across is None else sigma_across
    row = 2 * np.pi * np.fft.fftfreq(TILE_SIDE)[:, None]
    col = 2 * np.pi * np.fft.rfftfreq(TILE_SIDE)[None, :]
    along_axis = row * np.cos(angle) + col * np.sin(angle)
    across_axis = col * np.cos(angle) - row * np.sin(angle)
    transfer = np.exp(-0.5 * ((along_axis * sigma) ** 2 + (across_axis * across) ** 2))
    transfer[0, 0] = 0.0
    field = irfft2(rfft2(rng.standard_normal((TILE_SIDE, TILE_SIDE))) * transfer, s=(TILE_SIDE, TILE_SIDE))
    return (field / field.std()).astype(np.float32)
