"""Check that a file has the size, CRS and data type that its item states (pure)."""

from __future__ import annotations

import math
from functools import lru_cache

from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError
from shapely import affinity

from ardcube.catalog.footprints import RasterExtent
from ardcube.catalog.scene import BandAsset, Scene, solar_hours
from ardcube.errors import SceneError
from ardcube.extent.antimeridian import normalize
from ardcube.raster.conversion import BIAS
from ardcube.raster.header import Header


def check_stated(item: str, band: str, asset: BandAsset, header: Header) -> None:
    """Raise SceneError if a file differs from its item's description; properties that the item omits are not compared.

    Two CRS codes agree if they put the raster's centre into the same pixel, as UTM on WGS 84 and on ETRS89 do.

    Raises
    ------
    SceneError
        Names the stated and the actual properties.
    """
    full = header.levels[0]
    differences = []
    if asset.height and asset.width and (asset.height, asset.width) != (full.height, full.width):
        differences.append(f"is {full.height} x {full.width} pixels, and its item says {asset.height} x {asset.width}")
    if asset.crs and asset.crs != header.crs and not _same_centre(asset.crs, header):
        differences.append(f"is in {header.crs[:60]}, and its item says {asset.crs}")
    if asset.dtype and asset.dtype != header.dtype:
        differences.append(f"holds {header.dtype}, and its item says {asset.dtype}")
    elif not asset.dtype and header.dtype in BIAS:
        differences.append(f"holds {header.dtype}, and neither its item nor a definition states this data type")
    if header.samples > 1:
        differences.append(f"holds {header.samples} bands, and an asset of one band is needed")
    if differences:
        raise SceneError(
            f"band {band} of item {item}, {asset.href}, {'; it '.join(differences)}: one of them is wrong, or the file "
            "is another one"
        )


def check_footprint(scene: Scene, href: str, header: Header) -> None:
    """Raise SceneError if a footprint hides pixels of the file that is the raster of its item.

    Where the item states the position of its raster, or the file is local, the search has corrected the footprint.
    Elsewhere a wrong one is found here. One that is too large, but on the same solar day, hides no pixel.

    Parameters
    ----------
    scene : Scene
        The scene.
    href : str
        Address of the file.
    header : Header
        Its header.
    """
    full = header.levels[0]
    extent = RasterExtent(header.crs, tuple(full.transform)[:6], full.shape)
    outline = extent.outline()
    if outline is None or extent.covers(scene.footprint):
        return
    reach, turns = scene.reach(), range(-2, 3)
    covered = any(reach.covers(affinity.translate(outline, 360.0 * turn)) for turn in turns)
    if not covered or solar_hours(normalize(outline)) != scene.solar_hours:
        raise SceneError(
            f"item {scene.id}: its footprint is not that of {href}; correct its geometry, or state the position of the "
            "file in proj:code, proj:shape and proj:transform"
        )


def _same_centre(code: str, header: Header) -> bool:
    full = header.levels[0]
    x, y = full.transform @ (full.width / 2, full.height / 2)
    return math.hypot(*_displacement(code, header.crs, x, y)) <= math.sqrt(abs(full.transform.determinant))


@lru_cache(maxsize=256)
def _displacement(stated: str, crs: str, x: float, y: float) -> tuple[float, float]:
    """Return how far coordinates move if they are read in the stated CRS, in units of that CRS."""
    try:
        other_x, other_y = Transformer.from_crs(CRS(crs), CRS(stated), always_xy=True).transform(x, y)
    except (CRSError, ProjError):
        return 0.0, 0.0  # an unknown code is no evidence against the file
    return other_x - x, other_y - y
