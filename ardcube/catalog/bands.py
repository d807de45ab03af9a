"""Find the asset and the offset of a band in a STAC item or collection (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ardcube.catalog.malformed import MALFORMED, Item, describe, printable_id
from ardcube.catalog.scene import SCALE
from ardcube.errors import InputError, SceneError


def check_bands(item: Item | None, collection: Item | None, bands: Sequence[str], reflectance: bool) -> None:
    """Check that a collection has the bands, and for reflectance that their scale is `SCALE`.

    Parameters
    ----------
    item : Item or None
        An item of the collection. It is used if the collection has no `item_assets`.
    collection : Item or None
        Collection document.
    bands : sequence of str
        Asset keys or common names.
    reflectance : bool
        Whether the bands are reflectance bands.

    Raises
    ------
    InputError
        If a band is missing or has another scale. The message lists the bands of the collection.
    """
    try:
        _check_bands(item, collection, bands, reflectance)
    except MALFORMED as error:
        kind = "item" if collection is None else "collection"
        raise InputError(
            f"stac-url: its {kind} does not follow the STAC specification ({describe(error)}); "
            "correct it or choose another catalogue"
        ) from error


def _check_bands(item: Item | None, collection: Item | None, bands: Sequence[str], reflectance: bool) -> None:
    described = (collection or {}).get("item_assets")
    source: Item = {"assets": described} if described else (item or {"assets": {}})
    if not source["assets"]:
        return
    for band in bands:
        key = _find_asset(source, band)
        if key is None:
            names = _in_one_line(band_names(item, collection)) or "(no raster bands)"
            raise InputError(f"band {band}: not in the collection; choose from {names}")
        scale = raster_value(source["assets"][key], "scale")
        if reflectance and (scale is None or not math.isclose(float(scale), SCALE)):
            raise InputError(f"band {band}: its scale is {scale!s:.50}, not {SCALE}; choose a reflectance band")
        if not math.isfinite(collection_offset(collection, band) or 0.0):
            raise ValueError(f"the offset of {band} is not a number")


def band_names(item: Item | None, collection: Item | None) -> list[str]:
    """Return the keys of the raster assets of a collection, or of an item if the collection lists none."""
    assets = (collection or {}).get("item_assets") or (item or {}).get("assets") or {}
    marks = ("raster:bands", "eo:bands", "bands")
    return [key for key, asset in assets.items() if any(mark in asset for mark in marks) or "raster:scale" in asset]


def band_offset(item: Item, asset: Mapping[str, Any], collection: Item | None, band: str) -> float:
    """Return the reflectance offset of an item's asset: the item's, else the collection's, else 0.

    Earth Search's `sentinel-2-l2a` items from baseline 04.00 on declare -0.1 although it was already applied to the
    pixels. Their property `earthsearch:boa_offset_applied` marks this.
    """
    if (item.get("properties") or {}).get("earthsearch:boa_offset_applied") is True:
        return 0.0
    offset = raster_value(asset, "offset")
    if offset is None:
        offset = collection_offset(collection, band)
    return float(offset or 0.0)


def collection_offset(collection: Item | None, band: str) -> float | None:
    """Return the offset that a collection declares for a band, or None."""
    described: Item = {"assets": (collection or {}).get("item_assets") or {}}
    key = _find_asset(described, band)
    offset = None if key is None else raster_value(described["assets"][key], "offset")
    return None if offset is None else float(offset)


def asset_key(item: Item, band: str) -> str:
    """Return the key of the asset that holds a band; raise SceneError if the item has none."""
    key = _find_asset(item, band)
    if key is None:
        raise SceneError(
            f"item {printable_id(item)}: no asset for band {band}, only {_in_one_line(item['assets'])}; "
            "correct the item or remove it from the catalogue"
        )
    return key


def _find_asset(item: Item, band: str) -> str | None:
    """Return the asset whose key is `band`, else whose only band has it as common name, else as name."""
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
    """Return a value of the raster extension, version 1 (`raster:bands`) or 2 (`raster:...`, `bands`), or None."""
    for described in asset.get("raster:bands") or []:
        return described.get(name)
    unprefixed = {"nodata", "data_type"}
    for source in (asset, *(asset.get("bands") or [])):
        for key in (f"raster:{name}", *([name] if name in unprefixed else [])):
            if key in source:
                return source[key]
    return None


def _in_one_line(names: Iterable[str]) -> str:
    """Join names for a message; a document may contain names of any length."""
    return " ".join(", ".join(map(str, names)).split())[:1000]
