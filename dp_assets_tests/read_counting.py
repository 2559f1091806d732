"""Counting which image files are opened for their pixels."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dp_assets.storage import image_sites


def count_reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """File name -> how often its pixels were read, from now on."""
    reads: Counter[str] = Counter()
    read = image_sites.read_image

    def counting(path: Path, maximum_pixels: int, content: str) -> np.ndarray:
        reads[path.name] += 1
        return read(path, maximum_pixels, content)

    monkeypatch.setattr(image_sites, "read_image", counting)
    return reads
