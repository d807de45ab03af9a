"""Encode pictures as PNG in memory (pure)."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray


def encode_png(rgba: NDArray[np.uint8]) -> bytes:
    """Encode uint8 (4, y, x)."""
    from PIL import Image  # slow to import, and seldom used

    content = BytesIO()
    Image.fromarray(np.ascontiguousarray(rgba.transpose(1, 2, 0))).save(content, "PNG", optimize=True)
    return content.getvalue()
