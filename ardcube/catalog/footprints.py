"""Footprints of items: repaired, or replaced by the extent of the raster.

Catalogues contain footprints that cross themselves, have latitude and longitude swapped, or are those of another
scene. The extent of a raster is exact: it comes from the projection fields of the item, else from the file's header.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

import numpy as np
import shapely
from shapely import affinity
from shapely.geometry import MultiPolygon, Polygon, shape
from shapely.geometry.base import BaseGeometry

from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.bands import asset_key
from ardcube.catalog.hrefs import local_file
from ardcube.catalog.malformed import MALFORMED, Item
from ardcube.catalog.scene import FOOTPRINT_MARGIN
from ardcube.collections.recognize import NO_DEFINITIONS, Definitions
from ardcube.errors import SceneError
from ardcube.extent.antimeridian import normalize
from ardcube.extent.reproject import to_degrees

_WIDEST = 180.0
"""Degrees of longitude of the widest footprint; a wider one may cross the antimeridian without being cut."""
_SEGMENTS = 16
"""Segments per side of an extent, because a straight side in the raster's CRS bends in degrees."""
_AT_ONCE = 32
"""Headers that are read at once."""


@dataclass(frozen=True, slots=True)
class RasterExtent:
    """Position of a raster, as projection fields or a file's header state it."""

    crs: str
    """In any notation of PROJ."""
    transform: tuple[float, ...]
    """Affine a, b, c, d, e, f from pixel corners (column, row) to CRS coordinates."""
    shape: tuple[int, int]
    """Rows and columns."""

    def outline(self) -> BaseGeometry | None:
        """Return the extent in degrees, or None if it cannot be expressed in them."""
        return _outline(self)[0]

    def covers(self, footprint: BaseGeometry) -> bool:
        """Return whether no vertex of a footprint is outside of the extent by more than 0.02 degrees."""
        grown = _outline(self)[1]
        if grown is None:
            return True
        lon, lat = shapely.get_coordinates(footprint).T
        west = grown.bounds[0]
        return bool(shapely.intersects_xy(grown, np.remainder(lon - west, 360.0) + west, lat).all())

    def is_apart_from(self, geojson: Any) -> bool:
        """Return whether a footprint with one meaning has no point in common with the extent: one of them is wrong."""
        footprint, outline = certain_footprint(geojson), self.outline()
        if footprint is None or outline is None:
            return False
        return not any(outline.intersects(affinity.translate(footprint, 360.0 * turn)) for turn in (-1, 0, 1))

    def is_wide(self) -> bool:
        """Return whether the extent is wider than 180 degrees."""
        outline = self.outline()
        return outline is not None and outline.bounds[2] - outline.bounds[0] > _WIDEST


ReadExtent = Callable[[str], RasterExtent | None]
"""Reads the header of the file at an address; returns None if it cannot be read."""


class _Searchable(Protocol):
    @property
    def collection(self) -> Item | None: ...

    def search(self, bounds: tuple[float, float, float, float], start: datetime, end: datetime) -> Iterable[Item]: ...


@dataclass(frozen=True, slots=True)
class FootprintCatalog:
    """A catalogue whose items have corrected footprints.

    A footprint is replaced by the raster's extent if it is missing, invalid, wider than 180 degrees, or has a vertex
    more than 0.02 degrees outside of that extent. If an item states no extent, the file's header is
    read: of local files always, of remote files only if the footprint cannot be used, because each costs a request.
    It is also read if footprint and stated extent have no point in common, because the extent may be the wrong one.
    """

    catalog: _Searchable
    band: str
    """Band whose file is the raster of an item."""
    policy: AccessPolicy
    read: ReadExtent
    definitions: Definitions = NO_DEFINITIONS

    @property
    def collection(self) -> Item | None:
        """Collection document, or None if the catalogue has none."""
        return self.catalog.collection

    def search(self, bounds: tuple[float, float, float, float], start: datetime, end: datetime) -> Iterator[Item]:
        """Return the items of the catalogue's own search."""
        found = iter(self.catalog.search(bounds, start, end))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while batch := [(item, *self._corrected(item)) for item in islice(found, 4 * _AT_ONCE)]:
                extents = pool.map(self.read, [href for _, _, href in batch if href])
                for item, corrected, href in batch:
                    extent = next(extents) if href else None
                    yield corrected if extent is None else _with_extent(item, extent)

    def _corrected(self, item: Item) -> tuple[Item, str]:
        """Correct an item by its own fields; return it, and the address of the header that has to be read, if any."""
        try:
            # Most items have an asset of this name, and recognition takes longer than the rest.
            definition = None if self.band in item["assets"] else self.definitions.of(item)
            asset = item["assets"][asset_key(item, self.band, definition)]
            extent, href = stated_extent(item, asset), asset["href"]
            corrected = _with_extent(item, extent)
            if extent is None:
                is_read = local_file(href) is not None or certain_footprint(item.get("geometry")) is None
            else:
                is_read = corrected is not item and extent.is_apart_from(item.get("geometry"))
            return corrected, href if is_read and self.policy.find_problem(href) is None else ""
        except (SceneError, *MALFORMED):
            return item, ""  # parsing the item reports the problem


def parse_footprint(geojson: Mapping[str, Any]) -> BaseGeometry:
    """Return the polygons of a GeoJSON geometry, in one piece across the antimeridian.

    Raises
    ------
    ValueError
        If the geometry has no polygons, or is invalid.
    """
    return _usable(_polygons_of(geojson))


def _usable(stated: BaseGeometry) -> BaseGeometry:
    footprint = normalize(stated)
    if not shapely.is_valid(footprint):
        raise ValueError(f"its footprint is invalid: {shapely.is_valid_reason(footprint)}")
    if not footprint.area > 0:
        raise ValueError("its footprint has no area")
    return footprint


def certain_footprint(geojson: Any) -> BaseGeometry | None:
    """Return a footprint that can be used and has one meaning, else None."""
    footprint, has_one_meaning = _hint(geojson)
    return footprint if has_one_meaning else None


def _hint(geojson: Any) -> tuple[BaseGeometry | None, bool]:
    """Return a footprint, or None if it cannot be used; and whether it has one meaning.

    A polygon wider than 180 degrees may be one that crosses the antimeridian without being cut.
    """
    try:
        stated = _polygons_of(geojson)
        footprint = _usable(stated)
        west, south, east, north = shapely.bounds([footprint, *getattr(stated, "geoms", [stated])]).T
    except MALFORMED:
        return None, False
    if south[0] < -90 or north[0] > 90 or east[0] - west[0] > _WIDEST:
        return None, False
    return footprint, bool((east - west).max() <= _WIDEST)


def stated_extent(item: Item, asset: Mapping[str, Any]) -> RasterExtent | None:
    """Return the extent that the projection fields of an asset or its item state, or None if they state none."""
    properties = item.get("properties") or {}
    crs = _crs(asset) or _crs(properties)
    if not crs:
        return None
    for fields in (asset, properties):
        rows_columns, transform = fields.get("proj:shape"), fields.get("proj:transform")
        if rows_columns and transform:
            return _extent(crs, transform[:6], rows_columns)
    for fields in (asset, properties):
        box = fields.get("proj:bbox")
        if box:
            west, south, east, north = box if len(box) == 4 else (box[0], box[1], box[3], box[4])
            return _extent(crs, (east - west, 0.0, west, 0.0, south - north, north), (1, 1))
    return None


def _crs(fields: Mapping[str, Any]) -> str:
    code, epsg, text, projjson = (fields.get(f"proj:{name}") for name in ("code", "epsg", "wkt2", "projjson"))
    return str(code or (f"EPSG:{epsg}" if epsg else "") or text or (json.dumps(projjson) if projjson else ""))


def _extent(crs: str, transform: Sequence[Any], rows_columns: Sequence[Any]) -> RasterExtent | None:
    a, b, c, d, e, f = map(float, transform)
    height, width = map(int, rows_columns)
    is_usable = math.isfinite(a + b + c + d + e + f) and a * e - b * d and height > 0 and width > 0
    extent = RasterExtent(crs, (a, b, c, d, e, f), (height, width))
    return extent if is_usable and extent.outline() is not None else None


def _with_extent(item: Item, extent: RasterExtent | None) -> Item:
    """Return the item with its footprint replaced by the raster's extent where the footprint is wrong."""
    outline = None if extent is None else extent.outline()
    if extent is None or outline is None:
        return item
    footprint, has_one_meaning = _hint(item.get("geometry"))
    if footprint is not None and (has_one_meaning or not extent.is_wide()) and extent.covers(footprint):
        return item
    return {**item, "geometry": shapely.geometry.mapping(outline)}


def _polygons_of(geojson: Mapping[str, Any]) -> BaseGeometry:
    """Convert GeoJSON to one polygon or several; without holes, the usual case, twice as fast as `shape` does."""
    if geojson["type"] == "Polygon" and len(geojson["coordinates"]) == 1:
        with np.errstate(invalid="raise"):  # for coordinates that are not numbers
            polygon: BaseGeometry = shapely.force_2d(shapely.polygons(geojson["coordinates"][0]))
        return polygon
    with np.errstate(invalid="raise"):
        parts = shapely.get_parts(shape(geojson))  # type: ignore[arg-type]  # it accepts any mapping
    polygons = [part for part in parts if part.geom_type in ("Polygon", "MultiPolygon") and not part.is_empty]
    if not polygons:
        raise ValueError("its footprint has no polygon")
    joined: BaseGeometry = shapely.force_2d(
        polygons[0] if len(polygons) == 1 else MultiPolygon(list(shapely.get_parts(polygons)))
    )
    return joined


@lru_cache(maxsize=4096)
def _outline(extent: RasterExtent) -> tuple[BaseGeometry | None, BaseGeometry | None]:
    """Return the extent in degrees, and the same grown by 0.02 degrees; None if it cannot be expressed in degrees."""
    (a, b, c, d, e, f), (height, width) = extent.transform, extent.shape
    corners = np.array([(0, 0), (0, height), (width, height), (width, 0)], float)
    steps = np.linspace(0, 1, _SEGMENTS, endpoint=False)[None, :, None]
    ring = (corners[:, None] * (1 - steps) + np.roll(corners, -1, axis=0)[:, None] * steps).reshape(-1, 2)
    column, row = ring.T
    try:
        outline = to_degrees(
            Polygon(np.stack([a * column + b * row + c, d * column + e * row + f], axis=1)), extent.crs
        )
    except (ValueError, ArithmeticError, RuntimeError):  # pyproj raises RuntimeErrors
        return None, None
    if not shapely.is_valid(outline) or not outline.area > 0:
        return None, None
    grown = outline.buffer(FOOTPRINT_MARGIN)
    shapely.prepare(grown)
    west, south, east, north = outline.bounds
    if east - west > _WIDEST:  # in two parts, because a reader may take one for a crossing of the antimeridian
        middle = (west + east) / 2
        halves = (shapely.box(west, south, middle, north), shapely.box(middle, south, east, north))
        parts = [part for half in halves for part in shapely.get_parts(outline & half)]
        outline = MultiPolygon([part for part in parts if part.geom_type == "Polygon"])
    return outline, grown
