"""Bands of a STAC item: which asset holds them, and their offset (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ardcube.catalog.malformed import MALFORMED, Item, printable_id, what_is_wrong
from ardcube.catalog.scene import SCALE
from ardcube.errors import InputError, SceneError


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
        scale = raster_value(source["assets"][key], "scale")
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
    return band_offset(item, item["assets"][asset_key(item, band)], collection, band)


def band_offset(item: Item, asset: Mapping[str, Any], collection: Item | None, band: str) -> float:
    """Return the reflectance offset of an item's asset: the item's, else the collection's, else 0."""
    if (item.get("properties") or {}).get("earthsearch:boa_offset_applied") is True:
        return 0.0
    offset = raster_value(asset, "offset")
    if offset is None:
        offset = collection_offset(collection, band)
    return float(offset or 0.0)


def collection_offset(collection: Item | None, band: str) -> float | None:
    """Offset that a collection declares for a band, or None where it says nothing."""
    described: Item = {"assets": (collection or {}).get("item_assets") or {}}
    key = _find_asset(described, band)
    offset = None if key is None else raster_value(described["assets"][key], "offset")
    return None if offset is None else float(offset)


def _listed(names: Iterable[str]) -> str:
    """Names for a message, of a document that may hold any."""
    return " ".join(", ".join(map(str, names)).split())[:1000]


def asset_key(item: Item, band: str) -> str:
    """Return the key of the asset that holds a band; SceneError if the item has none."""
    key = _find_asset(item, band)
    if key is None:
        raise SceneError(f"item {printable_id(item)} has no asset for band {band}; it has {_listed(item['assets'])}")
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


def raster_value(asset: Mapping[str, Any], name: str) -> Any:
    """A value of the raster extension, in its version 1 (`raster:bands`) or 2 (`raster:...`, `bands`)."""
    for described in asset.get("raster:bands") or []:
        return described.get(name)
    plain = {"nodata", "data_type"}
    for source in (asset, *(asset.get("bands") or [])):
        for key in (f"raster:{name}", *([name] if name in plain else [])):
            if key in source:
                return source[key]
    return None
