"""Crops cut straight from a plate's images: what profiling reads, and training that needs no crop store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dp_assets.imaging.cropping import CropGeometry, crop_cells_of_planes, window_origins, window_side
from dp_assets.imaging.masks import PlateMasks, crop_masks, masked
from dp_assets.imaging.plate_crops import NO_CELLS, SiteCells
from dp_assets.storage.fingerprints import fingerprint
from dp_assets.storage.image_sites import ImageSite


@dataclass(frozen=True)
class SiteCrops:
    """The crops of a plate's sites, not normalised yet.

    Attributes
    ----------
    sites : all sites; images may be the original or the compressed ones.
    cells : (well, site) -> its cells.
    geometry : how crops are cut; its margin plays no part.
    channel_order : position in the images' channels of each channel wanted, in the order wanted.
    masks : which pixels are the cells' own; None when cells are not masked.
    """

    sites: Sequence[ImageSite]
    cells: Mapping[tuple[str, str], SiteCells]
    geometry: CropGeometry
    channel_order: tuple[int, ...]
    masks: PlateMasks | None = None

    def cells_of(self, site: ImageSite) -> SiteCells:
        """The cells of a site; none when the locations do not name it."""
        return self.cells.get((site.well, site.site), NO_CELLS)

    def site_fingerprint(self, site: ImageSite) -> str:
        """What the crops of one site are made from."""
        return fingerprint(
            "site crops",
            site.key,
            list(self.channel_order),
            list(self.geometry.facts(margin=False).values()),
            list(site.original_shape),
            list(site.fingerprints),
            self.cells_of(site).fingerprint,
            *(self.masks.site_facts(site) if self.masks is not None else ()),
        )

    def crops(self, site: ImageSite, maximum_pixels: int) -> np.ndarray:
        """The crops of a site, (cells, box, box, channels) float32 in source grey levels, masked or not.

        Raises
        ------
        ImageFileError : an image cannot be read, or has another size than when it was inspected.
        """
        crops, masks = self.crops_and_masks(site, maximum_pixels)
        return crops if masks is None else masked(crops, masks)

    def crops_and_masks(self, site: ImageSite, maximum_pixels: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The crops of a site before masking, and which samples are the cell's own, (cells, box, box) bool.

        The masks are None when cells are not masked.

        Raises
        ------
        ImageFileError : as `crops`.
        """
        planes = site.planes_of_channels(maximum_pixels)
        wanted = [planes[number] for number in self.channel_order]
        centres = self.cells_of(site).centres
        crops = crop_cells_of_planes(wanted, centres, self.geometry, site.original_shape)
        if self.masks is None:
            return crops, None
        array_shape = (wanted[0].shape[0], wanted[0].shape[1])
        bare = replace(self.geometry, margin=0)
        side = window_side(bare, site.original_shape, array_shape)
        origins = window_origins(centres, bare, site.original_shape, array_shape)
        cut, _ = self.masks.windows(site, centres, origins, side, array_shape, maximum_pixels)
        where = (origins, centres, bare, site.original_shape, array_shape)
        return crops, crop_masks(cut, *where, self.masks.sampling)
