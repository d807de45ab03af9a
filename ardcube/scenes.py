"""STAC items as the scenes of a cube: footprint, bands, true offsets, duplicates, solar days (pure)."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from ardcube.errors import InputError, SceneError
from ardcube.extent.antimeridian import around

Item = Mapping[str, Any]
"""A STAC item or collection as parsed JSON."""

SCALE = 0.0001
"""Reflectance of one digital number: `reflectance = DN * SCALE + offset`."""
FOOTPRINT_MARGIN = 0.02
"""Degrees of latitude by which footprints are grown: they are simplified polygons, and valid pixels lie outside."""
LOWEST_COSINE = math.cos(math.radians(85.0))
"""No footprint is stretched further than one at 85 degrees of latitude."""

MALFORMED = (
    LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, shapely.errors.ShapelyError,
)  # fmt: skip
"""What reading a document raises that is not of the shape it should be: whoever wrote it, it is not ours."""

_JSON = json.JSONEncoder(sort_keys=True, check_circular=False, default=str)
_DATATAKE = re.compile(r"GS2\w_(\d{8}T\d{6})")
_PRODUCT = re.compile(r"S2\w_MSIL2A_(\d{8}T\d{6})_N(\d{4})_")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,20}:[A-Za-z0-9_]{1,20}")
_LARGEST_DN = 65535
_LARGEST_NUMBER = 1e15
_FARTHEST = (-540.0, -90.0, 540.0, 90.0)
"""Edges that a footprint stays within, however its longitudes are counted."""


@dataclass(frozen=True, slots=True)
class BandAsset:
    """One band of one scene."""

    href: str
    """Absolute path or URL."""
    offset: float
    """True offset of its reflectance, 0 for categorical bands."""
    nodata: int
    """Digital number that is no data, besides 0."""
    size: int
    """Bytes of the file where the item says so, else 0."""
    pixels: int
    """Pixels of the full raster where the item says so, else 0."""
    pixel_size: float
    """Side of a pixel in metres where the item says so, else 10."""
    height: int = 0
    """Rows of the full raster where the asset itself says so, else 0; it is held to that when it is read."""
    width: int = 0
    crs: str = ""
    """Authority code where the item says so, else empty; likewise."""
    dtype: str = ""
    """Data type where the asset says so, else empty; likewise."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the cube needs to know of one item."""

    id: str
    datetime: datetime
    """Acquisition, UTC."""
    footprint: BaseGeometry
    """Valid area in degrees, in the longitudes of the cube (above 180 across the antimeridian)."""
    acquisition: str
    """Platform, datatake and MGRS tile: equal for reprocessed duplicates; empty where unknown."""
    baseline: tuple[int, ...]
    """Processing baseline, such as (5, 9)."""
    revision: str
    """Hash of everything about the item that can change a pixel."""
    bands: Mapping[str, BandAsset]

    def solar_day(self) -> date:
        """Local solar date, whole hours from the footprint's longitude as `odc.stac` counts them."""
        return (self.datetime + timedelta(hours=int(self.footprint.centroid.x / 15))).date()

    def reach(self) -> BaseGeometry:
        """Footprint grown by the margin within which its pixels count."""
        reach: BaseGeometry = grown(np.array([self.footprint]))[0]
        return reach


def grown(footprints: NDArray[np.object_]) -> NDArray[np.object_]:
    """Footprints grown by `FOOTPRINT_MARGIN`, stretched by latitude so that it is as wide on the ground."""
    latitude = np.abs(shapely.get_y(shapely.centroid(footprints)))
    cosine = np.maximum(LOWEST_COSINE, np.cos(np.radians(latitude)))
    reach: NDArray[np.object_] = shapely.buffer(footprints, FOOTPRINT_MARGIN / cosine, quad_segs=16)
    return reach


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
            f"item {_told_id(item)} is not as STAC has it ({what_is_wrong(error)}); mend it or remove it from the "
            "catalogue"
        ) from error
    return scene


def what_is_wrong(error: BaseException) -> str:
    """An error of `MALFORMED` in brief: it may quote all that it met."""
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"


def _told_id(item: Item) -> str:
    """The id of an item that may have none, for a message."""
    found = item.get("id") if isinstance(item, Mapping) else None
    if not isinstance(found, str):
        return "without an id"
    return " ".join(found.split())[:200].encode(errors="backslashreplace").decode()


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
        raise SceneError(f"item {_told_id(item)} has no datetime; remove it from the catalogue")
    if not item.get("geometry"):
        raise SceneError(f"item {_told_id(item)} has no geometry; remove it from the catalogue")
    keys = {band: _asset_key(item, band) for band in bands}
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


def digest(value: Any) -> str:
    """Short hash, 16 hexadecimal digits, of anything JSON can say."""
    text = _JSON.encode(value)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def without_duplicates(scenes: Iterable[Scene]) -> list[Scene]:
    """Keep, of each acquisition and tile, the scenes of the newest baseline; ordered by time, then id."""
    newest: dict[str, tuple[int, ...]] = {}
    unique = {scene.id: scene for scene in scenes}.values()
    for scene in unique:
        if scene.acquisition:
            newest[scene.acquisition] = max(scene.baseline, newest.get(scene.acquisition, ()))
    kept = [s for s in unique if not s.acquisition or s.baseline == newest[s.acquisition]]
    return sorted(kept, key=lambda scene: (scene.datetime, scene.id))


def band_names(item: Item | None, collection: Item | None) -> list[str]:
    """Names by which the collection's raster assets can be asked for, for a message to a person."""
    assets = (collection or {}).get("item_assets") or (item or {}).get("assets") or {}
    marks = ("raster:bands", "eo:bands", "bands")
    return [key for key, asset in assets.items() if any(mark in asset for mark in marks) or "raster:scale" in asset]


def check_bands(item: Item | None, collection: Item | None, bands: Sequence[str], reflectance: bool) -> None:
    """Refuse bands that a collection does not have or that cannot be composited together.

    Raises
    ------
    InputError
        Names the band and the bands that there are.
    """
    try:
        _check_bands(item, collection, bands, reflectance)
    except MALFORMED as error:
        raise InputError(
            f"the catalogue's {'item' if collection is None else 'collection'} is not as STAC has it "
            f"({what_is_wrong(error)}); mend it or choose another"
        ) from error


def _check_bands(item: Item | None, collection: Item | None, bands: Sequence[str], reflectance: bool) -> None:
    described = (collection or {}).get("item_assets")
    source: Item = {"assets": described} if described else (item or {"assets": {}})
    if not source["assets"]:
        return
    for band in bands:
        key = _find_asset(source, band)
        if key is None:
            names = _listed(band_names(item, collection)) or "no raster bands"
            raise InputError(f"band {band} is not in the collection; it has {names}")
        scale = _raster_value(source["assets"][key], "scale")
        if reflectance and (scale is None or not math.isclose(float(scale), SCALE)):
            raise InputError(
                f"band {band} has no reflectance of scale {SCALE} (its scale is {scale!s:.50}); choose reflectance "
                "bands"
            )
        if not math.isfinite(collection_offset(collection, band) or 0.0):
            raise ValueError(f"the offset of {band} is no number")


def true_offset(item: Item, collection: Item | None, band: str) -> float:
    """Offset of the reflectance that the pixels of an item's band really have.

    Earth Search's `sentinel-2-l2a` items of baseline 04.00 and later say -0.1 although it was applied to the pixels,
    which `earthsearch:boa_offset_applied` tells.
    """
    return _offset(item, item["assets"][_asset_key(item, band)], collection, band)


def _offset(item: Item, asset: Mapping[str, Any], collection: Item | None, band: str) -> float:
    if (item.get("properties") or {}).get("earthsearch:boa_offset_applied") is True:
        return 0.0
    offset = _raster_value(asset, "offset")
    if offset is None:
        offset = collection_offset(collection, band)
    return float(offset or 0.0)


def collection_offset(collection: Item | None, band: str) -> float | None:
    """Offset that a collection declares for a band, or None where it says nothing."""
    described: Item = {"assets": (collection or {}).get("item_assets") or {}}
    key = _find_asset(described, band)
    offset = None if key is None else _raster_value(described["assets"][key], "offset")
    return None if offset is None else float(offset)


def _band_asset(item: Item, asset: Mapping[str, Any], collection: Item | None, band: str) -> BandAsset:
    properties = item.get("properties") or {}
    # An item's own shape is that of its default grid, which bands of another resolution need not repeat.
    own = asset.get("proj:shape")
    height, width = own or properties.get("proj:shape") or (0, 0)
    height, width = int(_sensible(height)), int(_sensible(width))
    transform = asset.get("proj:transform") or properties.get("proj:transform") or (0.0,)
    nodata = _raster_value(asset, "nodata")
    return BandAsset(
        href=asset["href"],
        offset=_offset(item, asset, collection, band),
        nodata=int(nodata) if isinstance(nodata, (int, float)) and 0 <= nodata <= _LARGEST_DN else 0,
        size=int(_sensible(asset.get("file:size"))),
        pixels=int(_sensible(height * width)),
        pixel_size=_sensible(transform[0]) or _sensible(asset.get("gsd")) or 10.0,
        height=height if own else 0,
        width=width if own else 0,
        crs=_crs_code(asset) or _crs_code(properties),
        dtype=str(_raster_value(asset, "data_type") or "")[:20],
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


def _listed(names: Iterable[str]) -> str:
    """Names for a message, of a document that may hold any."""
    return " ".join(", ".join(map(str, names)).split())[:1000]


def _asset_key(item: Item, band: str) -> str:
    key = _find_asset(item, band)
    if key is None:
        raise SceneError(f"item {_told_id(item)} has no asset for band {band}; it has {_listed(item['assets'])}")
    return key


def _find_asset(item: Item, band: str) -> str | None:
    """Asset of a band: by its key, else by a common or own name among its `eo:bands`."""
    assets: Mapping[str, Any] = item.get("assets") or {}
    if band in assets:
        return band
    for field in ("common_name", "name"):
        for key, asset in assets.items():
            described = asset.get("eo:bands") or asset.get("bands") or []
            if len(described) == 1 and band in (described[0].get(field), described[0].get(f"eo:{field}")):
                return key
    return None


def _raster_value(asset: Mapping[str, Any], name: str) -> Any:
    """A value of the raster extension, in its version 1 (`raster:bands`) or 2 (`raster:...`, `bands`)."""
    for described in asset.get("raster:bands") or []:
        return described.get(name)
    plain = {"nodata", "data_type"}
    for source in (asset, *(asset.get("bands") or [])):
        for key in (f"raster:{name}", *([name] if name in plain else [])):
            if key in source:
                return source[key]
    return None


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


def is_remote(href: str) -> bool:
    """Whether an href is a URL and not a path of this machine."""
    try:
        return len(urlsplit(href).scheme) > 1 and not href.startswith("file:")
    except ValueError:  # as of http://[, which is no path either
        return True
