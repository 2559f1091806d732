"""One synthetic cell: its outline, its nucleus, and what each stain shows of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dp_assets.example.phenotypes import Phenotype
from dp_assets.example.textures import TextureBank

EDGE_SOFTNESS = 0.9  # pixels over which an outline fades, as a lens blurs it
MARGIN = 1.45  # the drawing window reaches this many radii from the centre


@dataclass(frozen=True)
class CellGeometry:
    """Where a cell is, on a small window around it; all arrays are (rows, cols) float32.

    Attributes
    ----------
    top, left : position of the window in the field of view (pixels; may be negative).
    radius : mean radius of the cell, pixels.
    reach, nucleus_reach : distance from the centre over the outline's distance in that direction: 0 centre, 1
        edge.
    body, nucleus : soft masks, 0 outside and 1 inside.
    """

    top: int
    left: int
    radius: float
    nucleus_radius: float
    reach: np.ndarray
    nucleus_reach: np.ndarray
    body: np.ndarray
    nucleus: np.ndarray


@dataclass(frozen=True)
class Palette:
    """What painting a stain needs besides the geometry: the cell's looks, textures and randomness."""

    looks: Phenotype
    textures: TextureBank
    rng: np.random.Generator


def place_cell(
    centre: tuple[float, float], looks: Phenotype, scale: float, rng: np.random.Generator
) -> CellGeometry:
    """Draw the outlines of one cell; `centre` is its nucleus (row, col), pixels of the field of view."""
    radius, nucleus_radius = looks.cell_radius * scale, looks.nucleus_radius * scale
    half = int(np.ceil(MARGIN * radius * np.sqrt(looks.cell_elongation))) + 2
    top, left = int(np.floor(centre[0])) - half, int(np.floor(centre[1])) - half
    rows = np.arange(top, top + 2 * half + 1, dtype=np.float32)[:, None] - np.float32(centre[0])
    cols = np.arange(left, left + 2 * half + 1, dtype=np.float32)[None, :] - np.float32(centre[1])
    angle = rng.uniform(0, np.pi)
    # The nucleus sits off the cell's middle, and lies roughly along the cell.
    shift = rng.normal(0, 0.08 * radius, 2)
    reach = _reach(
        rows + shift[0], cols + shift[1], radius, looks.cell_elongation, looks.cell_roughness, angle, rng
    )
    nucleus_reach = _reach(
        rows,
        cols,
        nucleus_radius,
        looks.nucleus_elongation,
        looks.nucleus_lobes,
        angle + rng.normal(0, 0.4),
        rng,
    )
    body, nucleus = _soft_mask(reach, radius), _soft_mask(nucleus_reach, nucleus_radius)
    return CellGeometry(
        top, left, radius, nucleus_radius, reach, nucleus_reach, np.maximum(body, nucleus), nucleus
    )


def paint_cell(geometry: CellGeometry, palette: Palette, channels: Sequence[str]) -> np.ndarray:
    """What each stain shows of a cell: (rows, cols, channels) float32; bright parts of controls near 1."""
    return np.stack([PAINTERS[channel](geometry, palette) for channel in channels], axis=-1)


def _reach(
    rows: np.ndarray,
    cols: np.ndarray,
    radius: float,
    elongation: float,
    roughness: float,
    angle: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Distance over the outline's distance; the outline is an ellipse modulated by harmonics of the angle."""
    stretch = np.sqrt(elongation)
    along = (rows * np.cos(angle) + cols * np.sin(angle)) / stretch
    across = (cols * np.cos(angle) - rows * np.sin(angle)) * stretch
    theta = np.arctan2(across, along)
    outline = np.ones_like(theta)
    for harmonic, weight in ((2, 0.6), (3, 0.7), (4, 0.6), (5, 0.4)):
        outline += (
            roughness * weight * np.cos(harmonic * theta + rng.uniform(0, 2 * np.pi)).astype(np.float32)
        )
    return (np.hypot(along, across) / (radius * np.maximum(outline, 0.3))).astype(np.float32)


def _soft_mask(reach: np.ndarray, radius: float) -> np.ndarray:
    distance = np.clip((reach - 1) * radius / EDGE_SOFTNESS, -30, 30)
    return (1 / (1 + np.exp(2 * distance))).astype(np.float32)


def _dome(reach: np.ndarray) -> np.ndarray:
    """Thickness of a rounded body at each pixel: 1 in the middle, 0 at its edge."""
    return np.sqrt(np.clip(1 - reach**2, 0, 1))


def _paint_dna(cell: CellGeometry, palette: Palette) -> np.ndarray:
    looks, shape = palette.looks, cell.body.shape
    clumps = palette.textures.cut("coarse", shape, palette.rng)
    grain = palette.textures.cut("fine", shape, palette.rng)
    stain = (0.7 + 0.3 * _dome(cell.nucleus_reach)) * (1 + looks.chromatin_clumps * clumps + 0.05 * grain)
    return looks.dna_level * (cell.nucleus * np.maximum(stain, 0.05) + 0.02 * cell.body)


def _paint_rna(cell: CellGeometry, palette: Palette) -> np.ndarray:
    looks, shape = palette.looks, cell.body.shape
    grain = palette.textures.cut("fine", shape, palette.rng)
    holes = palette.textures.cut("coarse", shape, palette.rng)
    cytoplasm = cell.body * (0.35 + 0.65 * _dome(cell.reach)) * (1 - 0.5 * cell.nucleus) * (1 + 0.12 * grain)
    # Holes open where the coarse grain is lowest; more vacuoles mean a higher water line.
    open_at = -2.6 + 2.6 * min(looks.vacuoles * 1.6, 1.0)
    opened = 1 / (1 + np.exp(np.clip((holes - open_at) * 5, -30, 30)))
    cytoplasm = cytoplasm * (1 - 0.75 * opened * (1 - cell.nucleus) * (looks.vacuoles > 0))
    return looks.rna_level * (cytoplasm + looks.nucleolus_level * _nucleoli(cell, palette))


def _nucleoli(cell: CellGeometry, palette: Palette) -> np.ndarray:
    rows, cols = np.indices(cell.body.shape, dtype=np.float32)
    middle_row, middle_col = (np.array(cell.body.shape) - 1) / 2
    painted = np.zeros_like(cell.body)
    for _ in range(max(1, int(palette.rng.poisson(palette.looks.nucleoli)))):
        distance = 0.6 * cell.nucleus_radius * np.sqrt(palette.rng.uniform())
        angle = palette.rng.uniform(0, 2 * np.pi)
        width = cell.nucleus_radius * palette.rng.uniform(0.13, 0.2)
        away = (rows - middle_row - distance * np.sin(angle)) ** 2 + (
            cols - middle_col - distance * np.cos(angle)
        ) ** 2
        painted = np.maximum(painted, np.exp(-away / (2 * width**2)))
    return painted * cell.nucleus


def _paint_actin(cell: CellGeometry, palette: Palette) -> np.ndarray:
    looks, shape = palette.looks, cell.body.shape
    fibres = palette.textures.cut("fibres", shape, palette.rng)
    grain = palette.textures.cut("fine", shape, palette.rng)
    below_edge = (1 - cell.reach) * cell.radius
    cortex = np.exp(-(((below_edge - 1.2) / 1.5) ** 2))
    inside = 0.28 * (1 + 0.2 * grain) * (1 - 0.3 * cell.nucleus) + looks.fibre_level * fibres
    return looks.actin_level * (
        cell.body * inside + looks.cortex_level * cortex * np.minimum(1, 2 * cell.body)
    )


def _paint_mito(cell: CellGeometry, palette: Palette) -> np.ndarray:
    looks, shape = palette.looks, cell.body.shape
    network = palette.textures.cut("filaments", shape, palette.rng)
    dots = palette.textures.cut("puncta", shape, palette.rng)
    pattern = (1 - looks.mito_fragments) * network + 1.9 * looks.mito_fragments * dots
    around = np.exp(-((np.clip(cell.reach, 0, 3) / max(looks.mito_spread, 0.1)) ** 4))
    return looks.mito_level * cell.body * (1 - 0.9 * cell.nucleus) * around * (0.12 + pattern)


PAINTERS: dict[str, Callable[[CellGeometry, Palette], np.ndarray]] = {
    "DNA": _paint_dna,
    "RNA": _paint_rna,
    "Actin": _paint_actin,
    "Mito": _paint_mito,
}
CHANNELS = tuple(PAINTERS)
