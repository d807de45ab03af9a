"""Whether a file is what its item says of it: size, CRS, data type (pure)."""

from __future__ import annotations

import math
from functools import lru_cache

from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from ardcube.catalog.scene import BandAsset
from ardcube.errors import SceneError
from ardcube.raster.header import Header


def check_stated(item: str, band: str, asset: BandAsset, header: Header) -> None:
    """Refuse a file that is another one than its item describes; what the item leaves out is not compared.

    Two codes of one CRS agree if they lay the raster's centre on the same pixel, as UTM on WGS 84 and on ETRS89 do.

    Raises
    ------
    SceneError
        Says what the item states and what the file is.
    """
    full = header.levels[0]
    differences = []
    if asset.height and asset.width and (asset.height, asset.width) != (full.height, full.width):
        differences.append(f"is {full.height} x {full.width} pixels, and its item says {asset.height} x {asset.width}")
    if asset.crs and asset.crs != header.crs and not _same_place(asset.crs, header):
        differences.append(f"is in {header.crs[:60]}, and its item says {asset.crs}")
    if asset.dtype and asset.dtype != header.dtype:
        differences.append(f"holds {header.dtype}, and its item says {asset.dtype}")
    if differences:
        raise SceneError(
            f"band {band} of item {item}, {asset.href}, {'; it '.join(differences)}: one of them is wrong, or the file "
            "is another one"
        )


def _same_place(code: str, header: Header) -> bool:
    full = header.levels[0]
    x, y = full.transform @ (full.width / 2, full.height / 2)
    moved = _moved(code, header.crs, x, y)
    return math.hypot(*moved) <= math.sqrt(abs(full.transform.determinant))


@lru_cache(maxsize=256)
def _moved(stated: str, crs: str, x: float, y: float) -> tuple[float, float]:
    """How far a place of a file moves if its numbers are taken for those of the stated CRS, in units of the latter."""
    try:
        other_x, other_y = Transformer.from_crs(CRS(crs), CRS(stated), always_xy=True).transform(x, y)
    except (CRSError, ProjError):
        return 0.0, 0.0  # a code that nobody knows says nothing
    return other_x - x, other_y - y
