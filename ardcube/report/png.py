"""Pictures as PNG, in memory (pure)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def encode_png(rgba: NDArray[np.uint8]) -> bytes:
    """Encode uint8 (4, y, x), in memory: GDAL would write a sidecar beside a file."""
    from rasterio.io import MemoryFile  # slow to import, and most who import this draw nothing
    from rasterio.transform import Affine

    any_grid = Affine.scale(2)  # any but the identity, of which rasterio warns; a picture has no place on Earth
    _, height, width = rgba.shape
    with MemoryFile(ext=".png") as memory:
        with memory.open(driver="PNG", width=width, height=height, count=4, dtype="uint8", transform=any_grid) as file:
            file.write(rgba)
        return bytes(memory.read())
