"""Encode pictures as PNG in memory (pure)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def encode_png(rgba: NDArray[np.uint8]) -> bytes:
    """Encode uint8 (4, y, x) in memory, because GDAL writes a sidecar next to a file."""
    from rasterio.io import MemoryFile  # slow to import, and seldom used
    from rasterio.transform import Affine

    any_grid = Affine.scale(2)  # any transform but the identity, of which rasterio warns
    _, height, width = rgba.shape
    with MemoryFile(ext=".png") as memory:
        with memory.open(driver="PNG", width=width, height=height, count=4, dtype="uint8", transform=any_grid) as file:
            file.write(rgba)
        return bytes(memory.read())
