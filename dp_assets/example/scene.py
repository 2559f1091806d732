"""One synthetic field of view: cells that touch and lie across the border, and debris between them."""

from dataclasses import dataclass

import numpy as np

from dp_assets.example.cells import CellGeometry, Palette, paint_cell, place_cell
from dp_assets.example.phenotypes import Phenotype, vary
from dp_assets.example.textures import TextureBank

CELL_SPREAD = 0.07  # log-standard deviation between the cells of one well
CLOSEST = 1.15  # nuclei are at least this many mean cell radii apart, so neighbours touch and overlap
TRIES_PER_CELL = 60
BORDER_SHARE = (
    0.15  # further cells, as a share, whose nucleus lies outside the field and which are not listed
)
HIDDEN = 0.6  # share of the light of a cell that the cell above it takes away
LOCATION_ERROR = 0.6  # pixels by which a segmentation misses the centre of a nucleus


@dataclass(frozen=True)
class SceneSettings:
    """What a field of view holds.

    Attributes
    ----------
    channels : stains, in order.
    shape : (rows, cols) in pixels.
    cells : cells in a control field; treatments may thin them out.
    scale : size of the cells; 1 makes them about 40 pixels across.
    """

    channels: tuple[str, ...]
    shape: tuple[int, int]
    cells: int
    scale: float


def draw_scene(
    settings: SceneSettings, looks: Phenotype, textures: TextureBank, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one field of view before the microscope.

    Returns
    -------
    scene : (rows, cols, channels) float32, 1 where a control cell is bright.
    centres : (n, 2) float64 (row, col), pixels: where a segmentation would report the nuclei inside the
        field.
    """
    scene = np.zeros((*settings.shape, len(settings.channels)), np.float32)
    centres = _scatter(settings, looks, rng)
    for centre in centres:
        cell_looks = vary(looks, CELL_SPREAD, rng)
        geometry = place_cell((centre[0], centre[1]), cell_looks, settings.scale, rng)
        painted = paint_cell(geometry, Palette(cell_looks, textures, rng), settings.channels)
        _lay_over(scene, geometry, painted)
    _strew_debris(scene, settings, rng)
    limits = np.array(settings.shape) - 1
    inside = np.all((centres >= 0) & (centres <= limits), axis=1)
    reported = centres[inside] + rng.normal(0, LOCATION_ERROR, (int(inside.sum()), 2))
    return scene, np.round(np.clip(reported, 0, limits), 3)


def _scatter(settings: SceneSettings, looks: Phenotype, rng: np.random.Generator) -> np.ndarray:
    """Nuclei at random with a least distance: (n, 2) float64; the last few lie just outside the field."""
    reach = looks.cell_radius * settings.scale
    wanted = max(1, round(settings.cells * looks.density))
    outside = round(wanted * BORDER_SHARE)
    rows, cols = settings.shape
    placed: list[np.ndarray] = []
    for count, margin in ((wanted, 0.0), (wanted + outside, 0.6 * reach)):
        for _ in range(TRIES_PER_CELL * wanted):
            if len(placed) >= count:
                break
            candidate = rng.uniform((-margin, -margin), (rows - 1 + margin, cols - 1 + margin))
            is_inside = 0 <= candidate[0] < rows and 0 <= candidate[1] < cols
            if margin and is_inside:
                continue
            if all(np.hypot(*(candidate - other)) > CLOSEST * reach for other in placed):
                placed.append(candidate)
    return np.array(placed, dtype=np.float64).reshape(-1, 2)


def _lay_over(scene: np.ndarray, geometry: CellGeometry, painted: np.ndarray) -> None:
    """Lay a cell on top of the others; it hides most of what is below, but not bright parts like nuclei."""
    rows, cols = scene.shape[:2]
    top, left = max(0, geometry.top), max(0, geometry.left)
    bottom = min(rows, geometry.top + painted.shape[0])
    right = min(cols, geometry.left + painted.shape[1])
    if top >= bottom or left >= right:
        return
    part = (
        slice(top - geometry.top, bottom - geometry.top),
        slice(left - geometry.left, right - geometry.left),
    )
    below = scene[top:bottom, left:right]
    np.maximum(below * (1 - HIDDEN * geometry.body[part][..., None]), painted[part], out=below)


def _strew_debris(scene: np.ndarray, settings: SceneSettings, rng: np.random.Generator) -> None:
    """Add specks: small round bright bits that show in one or two stains, and are no cells."""
    rows, cols = settings.shape
    expected = 0.1 * settings.cells
    for _ in range(int(rng.poisson(expected))):
        row, col = rng.uniform(0, rows), rng.uniform(0, cols)
        width = settings.scale * rng.uniform(0.8, 2.2)
        half = int(np.ceil(4 * width))
        top, left = max(0, int(row) - half), max(0, int(col) - half)
        window = scene[top : int(row) + half + 1, left : int(col) + half + 1]
        speck_rows = np.arange(top, top + window.shape[0])[:, None] - row
        speck_cols = np.arange(left, left + window.shape[1])[None, :] - col
        speck = np.exp(-(speck_rows**2 + speck_cols**2) / (2 * width**2))
        shown = rng.choice(len(settings.channels), size=min(2, len(settings.channels)), replace=False)
        window[..., shown] += (rng.uniform(0.4, 1.3) * speck).astype(np.float32)[..., None]
