"""Files of scenes as an estimate knows them: their levels, and the bytes of each level (pure).

Some headers may have been read. Files without a header are assumed to be alike, or else what their items state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import fmean

import numpy as np
import shapely
from affine import Affine
from shapely.geometry.base import BaseGeometry

from ardcube.catalog.scene import BandAsset, Scene
from ardcube.extent.lattice import METRES_PER_DEGREE, crs_of, transformer
from ardcube.raster.header import Header, Level
from ardcube.raster.levels import WAVELET

HEADER_BYTES = 32_768
"""Bytes of the request that reads the header of a file, if the file has as many."""
_BYTES = {False: 1.3, True: 0.1}
"""Compressed bytes per pixel if the item does not state the size of the file: of reflectance, of categories."""
_FULL_SHARE = 0.75
"""Share of the bytes of a file with overviews that full resolution has."""
_LEAST_DATA = 0.05
"""Share of a raster that its footprint covers at least."""
_SMALLEST_BLOCK = 256
_FEWEST_BLOCKS = 4
"""Blocks that a raster has at least along its longer side, as far as they are not smaller than the smallest."""
_SEGMENT = 0.05
"""Degrees between vertices of an outline, because its edges are curved in other CRS."""


@dataclass(frozen=True, slots=True)
class File:
    """A file: its header, and the bytes that it is read with."""

    header: Header
    level_bytes: tuple[float, ...]
    """Bytes of all blocks of each level."""
    size: int
    """Bytes of the file, or 0 if unknown."""
    header_requests: float = 1.0
    header_bytes: float = HEADER_BYTES
    """Bytes of these requests."""


@dataclass(frozen=True, slots=True)
class SampledScene:
    """A scene whose headers were read, by band."""

    scene: Scene
    files: Mapping[str, File]


def scene_files(scene: Scene, samples: Sequence[SampledScene], block: int, bands: Sequence[str]) -> dict[str, File]:
    """Return the files of a scene, by band.

    Parameters
    ----------
    scene : Scene
        A scene that can be used.
    samples : sequence of SampledScene
        Scenes whose headers were read; those of other bands, sensors, collections or pixel sizes are not used.
    block : int
        Pixels a side of a block of a file without a header.
    bands : sequence of str
        Bands of reflectance; the others are classifications.
    """
    found = {}
    for band, asset in scene.bands.items():
        alike = [one for one in samples if band in one.files and _kind(one.scene, band) == _kind(scene, band)]
        found[band] = (
            _like(scene, band, alike) if alike else _assumed(scene, asset, block, categorical=band not in bands)
        )
    return found


def _kind(scene: Scene, band: str) -> tuple[str, str, float]:
    return scene.collection, scene.sensor, scene.bands[band].pixel_size


@lru_cache(maxsize=1024)
def area_in(crs: str, area: BaseGeometry) -> BaseGeometry:
    """Return an area in degrees in another CRS; nothing if it is too far from where that CRS can be used."""
    if area.is_empty:
        return area
    project = transformer("OGC:CRS84", crs)
    outline: BaseGeometry = shapely.transform(
        shapely.segmentize(area, _SEGMENT), lambda at: np.stack(project.transform(at[:, 0], at[:, 1]), axis=1)
    )
    if not np.isfinite(outline.bounds).all():
        return shapely.Polygon()
    return outline if outline.is_valid else outline.buffer(0)


def _like(scene: Scene, band: str, alike: Sequence[SampledScene]) -> File:
    """Return a file whose levels are those of sampled files: of the same granule if there is one."""
    asset, granule = scene.bands[band], scene.granule
    near = max(alike, key=lambda one: (one.scene.id == scene.id, bool(granule) and one.scene.granule == granule))
    model = near.files[band]
    same_place = bool(granule) and granule == near.scene.granule and asset.crs in ("", model.header.crs)
    if crs_of(model.header.crs).is_geographic:
        same_place = False  # footprints may be at other multiples of 360 degrees
    elif near.scene.id == scene.id:
        return model
    full = model.header.levels[0]
    shape = (asset.height or full.height, asset.width or full.width)
    header = model.header
    if not same_place or shape != full.shape:
        header = _placed(replace(header, crs=_crs_for(scene, asset, header.crs)), shape, scene)
    own = _data_share(scene, header)
    sizes = []
    for number, level in enumerate(header.levels):
        files = [(one.scene, one.files[band]) for one in alike if number < len(one.files[band].level_bytes)]
        shares = [file.level_bytes[number] / file.size for _, file in files if file.size]
        if asset.size and shares:
            sizes.append(asset.size * fmean(shares))
            continue
        densities = [
            file.level_bytes[number] / _pixels(file.header.levels[number]) / _data_share(other, file.header)
            for other, file in files
        ]
        sizes.append(fmean(densities) * own * _pixels(level))
    header_bytes = min(model.header_bytes, asset.size) if asset.size else model.header_bytes
    return File(header, tuple(sizes), asset.size, model.header_requests, header_bytes)


def _assumed(scene: Scene, asset: BandAsset, block: int, *, categorical: bool) -> File:
    """Return a file with overviews, as its item describes it."""
    crs = _crs_for(scene, asset)
    height, width = _shape(scene, asset, crs)
    side = block_of(block, height, width)
    jpeg = asset.href.lower().endswith(".jp2")
    levels: list[Level] = []
    factor = 1
    while factor == 1 or max(height, width) > factor * side / 2:
        size = -(-height // factor), -(-width // factor)
        levels.append(Level(len(levels), *size, Affine.identity(), (side, side), WAVELET if jpeg and levels else ""))
        factor *= 2
    bare = Header(
        crs, "uint8" if categorical else "uint16",
        None if jpeg else asset.nodata, tuple(levels),
    )  # fmt: skip
    header = _placed(bare, (height, width), scene, asset.pixel_size)
    data = _data_share(scene, header)
    full = _FULL_SHARE * asset.size if asset.size else _BYTES[categorical] * height * width * data
    sizes = tuple(full / 4**number for number in range(len(levels)))
    return File(header, sizes, asset.size, 1.0, min(HEADER_BYTES, asset.size) if asset.size else HEADER_BYTES)


def _shape(scene: Scene, asset: BandAsset, crs: str) -> tuple[int, int]:
    """Return the rows and columns that an item states, or those of its footprint."""
    if asset.height and asset.width:
        return asset.height, asset.width
    if asset.pixels:
        edge = math.ceil(math.sqrt(asset.pixels))
        return edge, edge
    west, south, east, north = area_in(crs, scene.footprint).bounds
    pixel = asset.pixel_size / metres_per_unit(crs)
    return max(1, round((north - south) / pixel)), max(1, round((east - west) / pixel))


def block_of(usual: int, height: int, width: int) -> int:
    """Return the side of a block of a file in pixels: the usual one of its collection, or less in a small raster."""
    block = usual
    while block > _SMALLEST_BLOCK and block * _FEWEST_BLOCKS > max(height, width):
        block //= 2
    return block


def _placed(header: Header, shape: tuple[int, int], scene: Scene, pixel: float | None = None) -> Header:
    """Return a header whose raster has a size, and its centre at that of a footprint."""
    full = header.levels[0]
    west, south, east, north = area_in(header.crs, scene.footprint).bounds
    side = abs(full.transform.a), abs(full.transform.e)
    if pixel is not None:
        size = pixel / metres_per_unit(header.crs)
        side = size, size
    left, top = (west + east - shape[1] * side[0]) / 2, (south + north + shape[0] * side[1]) / 2
    base, levels = Affine(side[0], 0, left, 0, -side[1], top), []
    for level in header.levels:
        height = max(1, math.ceil(shape[0] * level.height / full.height - 1e-6))
        width = max(1, math.ceil(shape[1] * level.width / full.width - 1e-6))
        shrunk = base @ Affine.scale(shape[1] / width, shape[0] / height)
        levels.append(replace(level, height=height, width=width, transform=shrunk))
    return replace(header, levels=tuple(levels))


def _data_share(scene: Scene, header: Header) -> float:
    """Return the share of a raster that the footprint of its scene covers, in which all of its bytes are."""
    return _share(scene.footprint, header.crs, header.levels[0])


@lru_cache(maxsize=4096)
def _share(footprint: BaseGeometry, crs: str, full: Level) -> float:
    (west, north), (east, south) = full.transform @ (0, 0), full.transform @ (full.width, full.height)
    whole = shapely.box(west, south, east, north)
    covered = shapely.area(shapely.intersection(area_in(crs, footprint), whole))
    return min(1.0, max(_LEAST_DATA, float(covered) / float(whole.area)))


def _pixels(level: Level) -> int:
    return level.height * level.width


def _crs_for(scene: Scene, asset: BandAsset, *others: str) -> str:
    """Return the CRS that an item states, or the first other one in which its footprint exists, or its UTM zone."""
    centre = scene.footprint.centroid
    zone = int((centre.x + 180) % 360 // 6) + 1
    utm = f"EPSG:{326 if centre.y >= 0 else 327}{zone:02}"
    stated = (crs for crs in (asset.crs, *others) if crs)
    return next((crs for crs in stated if not area_in(crs, scene.footprint).is_empty), utm)


def metres_per_unit(crs: str) -> float:
    """Return the metres of a unit of a CRS."""
    found = crs_of(crs)
    return METRES_PER_DEGREE if found.is_geographic else float(found.axis_info[0].unit_conversion_factor)
