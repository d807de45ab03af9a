"""STAC items as the scenes of a cube: footprint, bands, true offsets, duplicates, solar days (pure)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from ardcube.catalog.bands import asset_key, band_offset, raster_value
from ardcube.catalog.malformed import MALFORMED, Item, printable_id, what_is_wrong
from ardcube.catalog.scene import BandAsset, Scene
from ardcube.errors import SceneError
from ardcube.extent.antimeridian import around
from ardcube.fingerprint import digest

_DATATAKE = re.compile(r"GS2\w_(\d{8}T\d{6})")
_PRODUCT = re.compile(r"S2\w_MSIL2A_(\d{8}T\d{6})_N(\d{4})_")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,20}:[A-Za-z0-9_]{1,20}")
_LARGEST_DN = 65535
_LARGEST_NUMBER = 1e15
_FARTHEST = (-540.0, -90.0, 540.0, 90.0)
"""Edges that a footprint stays within, however its longitudes are counted."""


def parse_scene(item: Item, collection: Item | None, bands: Sequence[str], central_longitude: float) -> Scene:
    """Read what the cube needs of an item whose hrefs are absolute.

    Parameters
    ----------
    item : Item
        STAC item.
    collection : Item or None
        Its collection, whose `item_assets` fill what the item leaves out.
    bands : sequence of str
        Asset keys or common names.
    central_longitude : float
        Of the cube, degrees; footprints are moved by whole turns to lie around it.

    Raises
    ------
    SceneError
        If the item has no time, no geometry, lacks one of the bands, or is not as STAC has it.
    """
    try:
        scene = _parse(item, collection, bands, central_longitude)
        _check(scene)
    except MALFORMED as error:
        raise SceneError(
            f"item {printable_id(item)} is not as STAC has it ({what_is_wrong(error)}); mend it or remove it from the "
            "catalogue"
        ) from error
    return scene


def _check(scene: Scene) -> None:
    """Refuse what makes nonsense of everything after."""
    bounds = west, south, east, north = scene.footprint.bounds
    least_x, least_y, most_x, most_y = _FARTHEST
    if not (west >= least_x and south >= least_y and east <= most_x and north <= most_y):  # also what is no number
        raise ValueError(f"its geometry lies outside the world: {bounds}")
    for band, asset in scene.bands.items():
        if not isinstance(asset.href, str) or not asset.href:
            raise TypeError(f"the href of {band} is no text")
        if not math.isfinite(asset.offset):
            raise ValueError(f"the offset of {band} is {asset.offset}")
    # JSON can write half of a surrogate pair, and no file of text can hold it.
    "".join([scene.id, scene.acquisition, *(asset.href + asset.dtype for asset in scene.bands.values())]).encode()


def _parse(item: Item, collection: Item | None, bands: Sequence[str], central_longitude: float) -> Scene:
    properties = item.get("properties") or {}
    moment = properties.get("datetime") or properties.get("start_datetime")
    if not moment:
        raise SceneError(f"item {printable_id(item)} has no datetime; remove it from the catalogue")
    if not item.get("geometry"):
        raise SceneError(f"item {printable_id(item)} has no geometry; remove it from the catalogue")
    keys = {band: asset_key(item, band) for band in bands}
    assets = {band: _band_asset(item, item["assets"][key], collection, band) for band, key in keys.items()}
    baseline = _baseline(properties)
    revision = {
        "id": item["id"],
        "datetime": _as_moment(moment),
        "updated": _as_moment(properties.get("updated") or properties.get("created")),
        "generated": _as_moment(properties.get("s2:generation_time")),
        "baseline": baseline,
        "geometry": item["geometry"],
        "bands": {
            band: [asset.offset, asset.nodata, item["assets"][keys[band]].get("file:checksum")]
            for band, asset in assets.items()
        },
    }
    with np.errstate(invalid="raise"):  # coordinates that are no numbers
        footprint = around(_as_geometry(item["geometry"]), central_longitude)
    return Scene(
        id=str(item["id"]),
        datetime=_utc(moment),
        footprint=footprint,
        acquisition=_acquisition(properties),
        baseline=baseline,
        revision=digest(revision),
        bands=assets,
    )


def _as_geometry(described: Mapping[str, Any]) -> BaseGeometry:
    """A GeoJSON geometry; a plain polygon, as nearly all are, in half the time that `shape` takes."""
    if described["type"] == "Polygon" and len(described["coordinates"]) == 1:
        polygon: BaseGeometry = shapely.polygons(described["coordinates"][0])
        return polygon
    return shape(described)  # type: ignore[arg-type]  # it reads any mapping


def _band_asset(item: Item, asset: Mapping[str, Any], collection: Item | None, band: str) -> BandAsset:
    properties = item.get("properties") or {}
    # An item's own shape is that of its default grid, which bands of another resolution need not repeat.
    own = asset.get("proj:shape")
    height, width = own or properties.get("proj:shape") or (0, 0)
    height, width = int(_sensible(height)), int(_sensible(width))
    transform = asset.get("proj:transform") or properties.get("proj:transform") or (0.0,)
    nodata = raster_value(asset, "nodata")
    return BandAsset(
        href=asset["href"],
        offset=band_offset(item, asset, collection, band),
        nodata=int(nodata) if isinstance(nodata, (int, float)) and 0 <= nodata <= _LARGEST_DN else 0,
        size=int(_sensible(asset.get("file:size"))),
        pixels=int(_sensible(height * width)),
        pixel_size=_sensible(transform[0]) or _sensible(asset.get("gsd")) or 10.0,
        height=height if own else 0,
        width=width if own else 0,
        crs=_crs_code(asset) or _crs_code(properties),
        dtype=str(raster_value(asset, "data_type") or "")[:20],
    )


def _crs_code(described: Mapping[str, Any]) -> str:
    """Authority code in the projection extension's version 2, or 1; empty where there is none."""
    epsg = described.get("proj:epsg")
    code = described.get("proj:code") or (f"EPSG:{epsg}" if epsg else "")
    return _checked_code(code) if isinstance(code, str) else ""


@lru_cache(maxsize=1024)
def _checked_code(code: str) -> str:
    """The same text for the same code, or empty: a continent has a million bands, and some sixty CRS."""
    return code if _CODE.fullmatch(code) else ""


def _sensible(number: Any) -> float:
    """The size of a number that only estimates rest on, else 0: no scene is refused for it."""
    return float(abs(number)) if type(number) in (int, float) and abs(number) < _LARGEST_NUMBER else 0.0


def _utc(moment: str) -> datetime:
    parsed = datetime.fromisoformat(moment)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def _as_moment(text: str | None) -> str | None:
    """A timestamp in one spelling: catalogues write .695Z, .695000Z and +00:00 for the same."""
    try:
        return None if text is None else _utc(text).isoformat()
    except (ValueError, TypeError, OverflowError):
        return text


def _baseline(properties: Mapping[str, Any]) -> tuple[int, ...]:
    declared = properties.get("s2:processing_baseline") or properties.get("processing:version")
    if declared:
        return tuple(int(part) for part in re.findall(r"\d+", str(declared)))
    product = _PRODUCT.search(str(properties.get("s2:product_uri", "")))
    return (int(product[2][:2]), int(product[2][2:])) if product else ()


def _acquisition(properties: Mapping[str, Any]) -> str:
    grid = properties.get("grid:code") or properties.get("s2:mgrs_tile")
    if not grid and "mgrs:grid_square" in properties:
        parts = ("mgrs:utm_zone", "mgrs:latitude_band", "mgrs:grid_square")
        grid = "".join(str(properties.get(part, "")) for part in parts)
    if not grid:
        return ""
    datatake = _DATATAKE.search(str(properties.get("s2:datatake_id", "")))
    product = _PRODUCT.search(str(properties.get("s2:product_uri", "")))
    sensed = (datatake or product or [None, properties.get("datetime")])[1]
    tile = re.sub("^(MGRS-)?T?0?", "", str(grid))  # 05QKB, T05QKB and 5QKB are one tile
    return f"{properties.get('platform', '')} {sensed} {tile}"
