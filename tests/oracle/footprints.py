"""Footprints of the oracle: the item's polygon or, where it cannot be right, the outline of the raster."""

import math
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from pyproj import CRS, Transformer
from shapely.affinity import scale, translate
from shapely.geometry.base import BaseGeometry

MARGIN = 0.02
"""Degrees of latitude by which data may reach beyond a simplified footprint."""
EDGE_POINTS = 50
"""Points on each edge of a raster's outline, because straight edges bend in degrees."""

Item = dict[str, Any]


def footprint(item: Item) -> BaseGeometry:
    """Footprint of an item in degrees, in one piece where it crosses the antimeridian.

    The item's geometry is replaced by the outline of the raster if it is invalid, wider than 180 degrees, or has a
    vertex more than 0.02 degrees outside of that outline.
    """
    outline = _raster_outline(item)
    try:
        stated = unwrapped(shapely.geometry.shape(item["geometry"]))
    except (TypeError, KeyError, AttributeError, ValueError):
        stated = None
    if outline is None:
        if stated is None or not stated.is_valid:
            raise ValueError(f"item {item['id']} has neither a valid footprint nor a raster of known extent")
        return stated
    if stated is None or stated.is_empty or not stated.is_valid or stated.area == 0 or _width(stated) > 180:
        return outline
    near = near_longitude(stated, outline.centroid.x)
    distances = shapely.distance(shapely.points(shapely.get_coordinates(near)), outline)
    return outline if (distances > MARGIN).any() else stated


def unwrapped(geometry: BaseGeometry) -> BaseGeometry:
    """Parts that the antimeridian cuts, or that cross it uncut, in longitudes that are continuous."""
    parts = shapely.get_parts(shapely.force_2d(geometry))
    whole = [shapely.transform(part, _east_of_zero) if _width(part) > 180 else part for part in parts]
    first = whole[0].centroid.x if whole else 0.0
    near = [translate(part, xoff=360.0 * round((first - part.centroid.x) / 360.0)) for part in whole]
    return near[0] if len(near) == 1 else shapely.union_all(near)


def near_longitude(geometry: BaseGeometry, longitude: float) -> BaseGeometry:
    """The geometry shifted by whole turns to be within 180 degrees of a longitude."""
    return translate(geometry, xoff=360.0 * round((longitude - geometry.centroid.x) / 360.0))


def reach(outline: BaseGeometry, centre_lon: float) -> BaseGeometry:
    """Area of the pixels that a scene contributes to: its footprint grown by the margin, round on the ground."""
    near = near_longitude(outline, centre_lon)
    cosine = max(math.cos(math.radians(near.centroid.y)), math.cos(math.radians(85)))
    round_on_ground = scale(near, xfact=cosine, yfact=1.0, origin=(0, 0))
    return scale(round_on_ground.buffer(MARGIN, quad_segs=16), xfact=1 / cosine, yfact=1.0, origin=(0, 0))


def _width(geometry: BaseGeometry) -> float:
    west, _, east, _ = geometry.bounds
    return float(east - west)


def _east_of_zero(xy: np.ndarray) -> np.ndarray:
    return np.column_stack([np.where(xy[:, 0] < 0, xy[:, 0] + 360.0, xy[:, 0]), xy[:, 1]])


def _raster_outline(item: Item) -> BaseGeometry | None:
    """Outline of the item's raster in degrees: by its projection fields, else by the header of its first raster."""
    properties = item.get("properties") or {}
    for source in (properties, *item["assets"].values()):
        code = source.get("proj:code") or source.get("proj:epsg") or properties.get("proj:code")
        code = code or properties.get("proj:epsg")
        shape, transform = source.get("proj:shape"), source.get("proj:transform")
        if code and shape and transform:
            return _in_degrees(CRS.from_user_input(code), Affine(*transform[:6]), shape[1], shape[0])
    for asset in item["assets"].values():
        try:
            with rasterio.open(asset["href"]) as raster:
                if raster.crs is not None:
                    return _in_degrees(CRS.from_wkt(raster.crs.to_wkt()), raster.transform, raster.width, raster.height)
        except rasterio.errors.RasterioIOError:
            continue
    return None


def _in_degrees(crs: CRS, transform: Affine, width: int, height: int) -> BaseGeometry:
    steps = np.linspace(0, 1, EDGE_POINTS, endpoint=False)
    zero, one = np.zeros(EDGE_POINTS), np.ones(EDGE_POINTS)
    column = width * np.concatenate([steps, one, 1 - steps, zero])
    row = height * np.concatenate([zero, steps, one, 1 - steps])
    x = transform.c + transform.a * column + transform.b * row
    y = transform.f + transform.d * column + transform.e * row
    lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    return unwrapped(shapely.Polygon(np.column_stack([lon, lat])))
