"""Parse STAC items into scenes: footprint, bands, offsets, acquisition, revision (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from ardcube.catalog.bands import asset_key
from ardcube.catalog.categories import Categories
from ardcube.catalog.encoding import ItemEncoding
from ardcube.catalog.file_access import readable_href
from ardcube.catalog.footprints import certain_footprint, parse_footprint
from ardcube.catalog.granule import granule_of
from ardcube.catalog.malformed import MALFORMED, Item, describe, printable_id
from ardcube.catalog.scene import BandAsset, Scene, solar_hours
from ardcube.catalog.sentinel_product import mgrs_tile, product_name, stated
from ardcube.collections.parts import Acquisition
from ardcube.collections.recognize import NO_DEFINITIONS, Definitions
from ardcube.errors import SceneError
from ardcube.fingerprint import digest

_DATATAKE = re.compile(r"GS2\w_(\d{8}T\d{6})")
_SENTINEL = re.compile(r"^s(?:entinel)?[-_ ]?(\d[a-d])$")
"""Notations of a platform, in lower case: s2a, sentinel2a, sentinel-2a."""
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,20}:[A-Za-z0-9_]{1,20}")
_LARGEST_NUMBER = 1e15
_WORLD = shapely.box(-180, -90, 180, 90)
_LARGEST_BOUNDS = (-540.0, -90.0, 540.0, 90.0)
"""Degrees: bounds of any footprint, whichever range its longitudes are counted in."""


def parse_scene(
    item: Item,
    collection: Item | None,
    bands: Sequence[str],
    categories: Sequence[str] | Categories = (),
    definitions: Definitions = NO_DEFINITIONS,
) -> Scene:
    """Parse an item whose hrefs are absolute into a scene.

    Parameters
    ----------
    item : Item
        STAC item.
    collection : Item or None
        Its collection. Scale and offset that the item does not state come from its `item_assets`.
    bands : sequence of str
        Asset keys or common names of reflectance bands.
    categories : sequence of str, or Categories
        Asset keys or common names of categorical bands, and the classes that they must have.
    definitions : Definitions
        Definitions of collections; the one that recognizes the item gives names of bands, and what the item and its
        collection leave out.

    Raises
    ------
    InputError
        If several definitions recognize the item.
    SceneError
        If the item has no time, no geometry or not all bands, a band has no usable encoding, or the item does not
        follow the STAC specification.
    """
    try:
        scene = _parse(item, collection, bands, Categories.of(categories), definitions)
        _check(scene)
    except MALFORMED as error:
        raise SceneError(
            f"item {printable_id(item)}: it does not follow the STAC specification ({describe(error)}); "
            "correct it or remove it from the catalogue"
        ) from error
    return scene


def bad_scene(item: Item, problem: str, when: datetime) -> Scene:
    """Return the scene of an item that cannot be used.

    Its area is the item's geometry, else its bounding box, else the world, because it may be anywhere.

    Parameters
    ----------
    item : Item
        Item that `parse_scene` refuses.
    problem : str
        Reason, with the id of the item.
    when : datetime
        Time if the item states none, UTC.
    """
    properties = item.get("properties") if isinstance(item.get("properties"), Mapping) else {}
    with suppress(*MALFORMED):  # without a time, the scene may belong to any period
        when = _to_utc(_timestamp(properties or {}))
    text = problem.encode(errors="backslashreplace").decode()
    return Scene(
        id=printable_id(item),
        datetime=when,
        footprint=certain_footprint(item.get("geometry")) or _box(item.get("bbox")) or _WORLD,
        solar_hours=0,
        acquisition="",
        baseline=(),
        generated="",
        revision=digest([printable_id(item), text]),
        bands={},
        problem=text,
    )


def _box(bbox: Any) -> BaseGeometry | None:
    """Return the area of an item's bounding box, or None if it is missing or not on Earth."""
    with suppress(*MALFORMED):
        west, south, east, north = bbox if len(bbox) == 4 else (*bbox[:2], *bbox[3:5])
        area = shapely.box(west, south, east if west <= east else east + 360, north)
        return area if area.area > 0 and _is_on_earth(area) else None
    return None


def _is_on_earth(area: BaseGeometry) -> bool:
    west, south, east, north = area.bounds
    least_x, least_y, most_x, most_y = _LARGEST_BOUNDS
    return west >= least_x and south >= least_y and east <= most_x and north <= most_y  # false for NaN


def _check(scene: Scene) -> None:
    """Raise an error of `MALFORMED` for values that later steps cannot use."""
    if not _is_on_earth(scene.footprint):
        raise ValueError(f"its geometry is outside longitude and latitude ranges: {scene.footprint.bounds}")
    if any(number >= _LARGEST_NUMBER for number in scene.baseline):  # manifests store 64-bit integers
        raise ValueError("its processing baseline is out of range")
    for band, asset in scene.bands.items():
        if not isinstance(asset.href, str) or not asset.href:
            raise TypeError(f"the href of {band} is not a text")
    # JSON may contain half of a surrogate pair, which no text file can store: `encode` raises UnicodeEncodeError.
    "".join(
        [scene.id, scene.acquisition, scene.generated, *(asset.href + asset.dtype for asset in scene.bands.values())]
    ).encode()


def _timestamp(properties: Mapping[str, Any]) -> Any:
    return properties.get("datetime") or properties.get("start_datetime")


def _parse(
    item: Item, collection: Item | None, bands: Sequence[str], categories: Categories, definitions: Definitions
) -> Scene:
    properties = item.get("properties") or {}
    timestamp = _timestamp(properties)
    if not timestamp or not item.get("geometry"):
        missing = "geometry" if timestamp else "datetime"
        raise SceneError(f"item {printable_id(item)}: it has no {missing}; remove it from the catalogue")
    definition = definitions.of(item)
    needed = dict.fromkeys((*bands, *categories.bands_of(item, definition)))
    keys = {band: asset_key(item, band, definition) for band in needed}
    encoding = ItemEncoding.of(item, collection, definition)
    assets, contradictions = {}, []
    for band, key in keys.items():
        dtype = encoding.dtype(key, band, is_reflectance=band in bands)
        numbers = (1.0, 0.0)
        if band in bands:
            numbers = encoding.reflectance(key, band)
            contradictions.append(encoding.contradiction(key, band, numbers))
        overviews = "" if definition is None or band in bands else definition.overviews(band)
        described = _band_asset(item, item["assets"][key], *numbers, encoding.nodata(key, band), overviews)
        href = described.href if definition is None else readable_href(item["assets"][key], definition.catalogues)
        assets[band] = replace(
            described, href=href, dtype=dtype, classes=categories.tests_of(item, definition, key, band)
        )
    acquisition, baseline, generated = processing_of(item, None if definition is None else definition.acquisition)
    checksums = {band: item["assets"][key].get("file:checksum") for band, key in keys.items()}
    revision = {
        "id": item["id"],
        "datetime": _normalized_time(timestamp),
        "generated": generated,
        "baseline": baseline,
        "geometry": item["geometry"],
        "bands": {
            band: [keys[band], asset.scale, asset.offset, asset.nodata, checksums[band]]
            for band, asset in assets.items()
        },
    }
    sensor = definitions.sensor(item, definition)
    if definition is not None and len(definition.sensors) > 1:  # a corrected platform changes the observation
        revision["sensor"] = sensor
    if methods := {band: asset.overviews for band, asset in assets.items() if asset.overviews}:
        revision["overviews"] = methods
    if tests := {band: asset.classes for band, asset in assets.items() if asset.classes}:
        revision["classes"] = tests
    if not (baseline or generated or any(checksums.values())):
        # Only then, because catalogues change it without a change of pixels, such as when they correct a property.
        revision["updated"] = _normalized_time(properties.get("updated") or properties.get("created"))
    footprint = parse_footprint(item["geometry"])
    return Scene(
        id=str(item["id"]),
        datetime=_to_utc(timestamp),
        footprint=footprint,
        solar_hours=solar_hours(footprint),
        acquisition=acquisition,
        baseline=baseline,
        generated=generated,
        revision=digest(revision),
        bands=assets,
        sensor=sensor,
        cloud_cover=_percentage(properties.get("eo:cloud_cover")),
        granule=granule_of(item),
        definition="" if definition is None else definition.name,
        contradiction=next(filter(None, contradictions), ""),
    )


def processing_of(item: Item, acquisition: Acquisition | None) -> tuple[str, tuple[int, ...], str]:
    """Return the acquisition of an item, and the version and time of its processing, each empty if it is unknown.

    Without `acquisition`, the part of a definition, they come from the properties of Sentinel-2 products.
    """
    properties = item.get("properties") or {}
    if acquisition is None:
        return _acquisition(properties), _baseline(properties), _generated(properties)
    key = [source.text(item) for source in acquisition.key]
    version = next(filter(None, (source.text(item) for source in acquisition.version)), "")
    generated = next(filter(None, (source.text(item) for source in acquisition.generated)), "")
    return " ".join(key) if all(key) else "", _numbers(version), str(_normalized_time(generated) or "")


def _band_asset(
    item: Item, asset: Mapping[str, Any], scale: float, offset: float, nodata: int | None, overviews: str
) -> BandAsset:
    properties = item.get("properties") or {}
    # The item's proj:shape applies to its default grid; a band of another resolution may lack its own.
    own_shape = asset.get("proj:shape")
    height, width = (int(_number_or_0(side)) for side in own_shape or properties.get("proj:shape") or (0, 0))
    transform = asset.get("proj:transform") or properties.get("proj:transform") or (0.0,)
    return BandAsset(
        href=asset["href"],
        scale=scale,
        offset=offset,
        nodata=nodata,
        size=int(_number_or_0(asset.get("file:size"))),
        pixels=int(_number_or_0(height * width)),
        pixel_size=_number_or_0(transform[0]) or _number_or_0(asset.get("gsd")) or 10.0,
        height=height if own_shape else 0,
        width=width if own_shape else 0,
        crs=_crs_code(asset) or _crs_code(properties),
        overviews=overviews,
    )


def _crs_code(fields: Mapping[str, Any]) -> str:
    """Return the authority code of the projection extension, version 2 or 1, or an empty text."""
    epsg = fields.get("proj:epsg")
    code = fields.get("proj:code") or (f"EPSG:{epsg}" if epsg else "")
    return _valid_code(code) if isinstance(code, str) else ""


@lru_cache(maxsize=1024)
def _valid_code(code: str) -> str:
    """Return a valid code, else an empty text; cached so that a million scenes share some sixty texts."""
    return code if _CODE.fullmatch(code) else ""


def _number_or_0(value: Any) -> float:
    """Return the magnitude of a number that only estimates use; 0 if it is implausible, so that no scene fails."""
    return float(abs(value)) if type(value) in (int, float) and abs(value) < _LARGEST_NUMBER else 0.0


def _percentage(value: Any) -> float | None:
    """Return a share in percent; None if it is missing or is none."""
    return float(value) if type(value) in (int, float) and 0 <= value <= 100 else None


def _to_utc(timestamp: str) -> datetime:
    parsed = datetime.fromisoformat(timestamp)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def _normalized_time(timestamp: str | None) -> str | None:
    """Return a timestamp in one notation: catalogues write .695Z, .695000Z and +00:00 for the same time."""
    try:
        return None if timestamp is None else _to_utc(timestamp).isoformat()
    except (ValueError, TypeError, OverflowError):
        return timestamp


def _baseline(properties: Mapping[str, Any]) -> tuple[int, ...]:
    declared = stated(properties, "processing_baseline") or properties.get("processing:version")
    if declared:
        return _numbers(declared)
    product = product_name(properties)
    return (int(product[2][:2]), int(product[2][2:])) if product else ()


def _numbers(version: Any) -> tuple[int, ...]:
    """Return the numbers of a version; N0509 and 0509 are 05.09, as in the names of Sentinel-2 products."""
    text = re.sub(r"^N?(\d\d)(\d\d)$", r"\1.\2", str(version))
    return tuple(int(number) for number in re.findall(r"\d+", text))


def _generated(properties: Mapping[str, Any]) -> str:
    declared = stated(properties, "generation_time") or properties.get("processing:datetime")
    return str(_normalized_time(str(declared)) if declared else "")


def _acquisition(properties: Mapping[str, Any]) -> str:
    tile = mgrs_tile(properties)
    if not tile:
        return ""
    datatake = _DATATAKE.search(stated(properties, "datatake_id"))
    sensed = (datatake or product_name(properties) or [None, properties.get("datetime")])[1]
    platform = _SENTINEL.sub(r"sentinel-\1", str(properties.get("platform") or "").lower())
    return f"{platform} {sensed} {tile}"
