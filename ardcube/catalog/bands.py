"""Find the asset of a band in a STAC item or collection (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ardcube.catalog.malformed import Item, printable_id
from ardcube.collections.model import Definition
from ardcube.errors import SceneError

Assets = Mapping[str, Mapping[str, Any]]
"""Assets of an item, or `item_assets` of a collection, by key."""


def asset_key(item: Item, band: str, definition: Definition | None = None) -> str:
    """Return the key of the asset that holds a band.

    A band is the key of an asset, else a name in the definition of the item, else the common name, else the name of the
    only band of an asset. Of several assets
    the one with the smallest pixels is chosen, then a cloud-optimized GeoTIFF, then another GeoTIFF. The size of a
    pixel is that of `proj:transform`, else `spatial_resolution`, else from `proj:shape`: the first that all these
    assets state. `gsd` does not decide, because resampled files of a band may state the one of the sensor.

    Raises
    ------
    SceneError
        If no asset holds the band alone, or several hold it and no rule chooses one of them.
    """
    assets: Assets = item.get("assets") or {}
    defined = None if definition is None or band in assets else definition.asset_key(item, band)
    found = [defined] if defined else candidates(assets, band)
    if not found:
        shared = [key for key, asset in assets.items() if band in band_names_of(asset)]
        problem = (
            f"band {band} is in {in_one_line(shared)} together with others" if shared else f"no asset for band {band}"
        )
        raise SceneError(
            f"item {printable_id(item)}: {problem}, only {in_one_line(single_bands(assets))}; "
            "correct the item or remove it from the catalogue"
        )
    if len(found) == 1:
        _check_single(item, assets, band, found[0])
        return found[0]
    best = _best(assets, found)
    if len(best) > 1 and len({assets[key].get("href") for key in best}) > 1:
        raise SceneError(
            f"item {printable_id(item)}: band {band} is in several assets; choose one of {in_one_line(sorted(best))}"
        )
    return min(best)


def candidates(assets: Assets, band: str) -> list[str]:
    """Return the assets whose key is `band`, else whose only band has it as common name, else as name."""
    if band in assets:
        return [band]
    for field in ("common_name", "name"):
        found = [
            key
            for key, asset in assets.items()
            if len(described := _described(asset)) == 1
            and band in (described[0].get(field), described[0].get(f"eo:{field}"))
        ]
        if found:
            return found
    return []


def raster_bands(assets: Assets) -> list[str]:
    """Return the keys of the raster assets."""
    marks = ("raster:bands", "eo:bands", "bands")
    return [key for key, asset in assets.items() if any(mark in asset for mark in marks) or "raster:scale" in asset]


def single_bands(assets: Assets) -> list[str]:
    """Return the keys of the assets that do not hold several bands."""
    return [key for key, asset in assets.items() if _count(asset) <= 1]


def band_names_of(asset: Mapping[str, Any]) -> set[str]:
    """Return names and common names of the bands of an asset."""
    fields = ("name", "common_name", "eo:common_name", "eo:name")
    return {str(band[field]) for band in _described(asset) for field in fields if field in band}


def in_one_line(names: Iterable[str]) -> str:
    """Join names for a message; a document may contain names of any length."""
    return " ".join(", ".join(map(str, names)).split())[:1000] or "(none)"


def _described(asset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the descriptions of an asset's bands; catalogues of STAC 0.9 have numbers instead, which are left out."""
    described = asset.get("eo:bands") or asset.get("bands") or []
    return [band for band in described if isinstance(band, Mapping)]


def _count(asset: Mapping[str, Any]) -> int:
    return max(len(asset.get(field) or ()) for field in ("eo:bands", "bands", "raster:bands"))


def _check_single(item: Item, assets: Assets, band: str, key: str) -> None:
    count = _count(assets[key])
    if count > 1:
        names = sorted(band_names_of(assets[key]))
        listed = f" ({in_one_line(names)})" if names else ""
        raise SceneError(
            f"item {printable_id(item)}: asset {key} of band {band} has {count} bands{listed}; choose an "
            f"asset of one band: {in_one_line(single_bands(assets))}"
        )


def _best(assets: Assets, keys: list[str]) -> list[str]:
    """Return the finest assets, of these the ones of the best media type."""
    measures: tuple[Callable[[Mapping[str, Any]], float | None], ...] = (
        _transform_pixel,
        _resolution,
        _part_of_a_side,
    )
    for measure in measures:
        sizes = {key: measure(assets[key]) for key in keys}
        known = [size for size in sizes.values() if size]
        if len(known) == len(keys):
            keys = [key for key, size in sizes.items() if size and size <= min(known) * (1 + 1e-6)]
            break
    ranks = {key: _media_rank(str(assets[key].get("type", ""))) for key in keys}
    return [key for key, rank in ranks.items() if rank == min(ranks.values())]


def _transform_pixel(asset: Mapping[str, Any]) -> float | None:
    transform = asset.get("proj:transform")
    return abs(float(transform[0])) if transform else None


def _resolution(asset: Mapping[str, Any]) -> float | None:
    return raster_number(asset, "spatial_resolution")


def _part_of_a_side(asset: Mapping[str, Any]) -> float | None:
    shape = asset.get("proj:shape")
    return 1 / float(shape[0]) if shape else None


def _media_rank(media_type: str) -> int:
    if "cloud-optimized" in media_type:
        return 0
    return 1 if media_type.startswith("image/tiff") else 2


def raster_value(asset: Mapping[str, Any], name: str) -> Any:
    """Return a value of the raster extension, version 1 (`raster:bands`) or 2 (`raster:...`, `bands`), or None."""
    old = asset.get("raster:bands")
    value = old[0].get(name) if old else None
    if value is not None:
        return value
    unprefixed = (name,) if name in ("nodata", "data_type") else ()
    for source in (asset, *(asset.get("bands") or [])[:1]):
        for key in (f"raster:{name}", *unprefixed):
            if source.get(key) is not None:
                return source[key]
    return None


def raster_number(asset: Mapping[str, Any], name: str) -> float | None:
    """Return a number of the raster extension, or None.

    Raises
    ------
    TypeError
        If the value is not a number.
    """
    value = raster_value(asset, name)
    if value is not None and type(value) not in (int, float):
        raise TypeError(f"the {name} is not a number: {value!s:.50}")
    return None if value is None else float(value)
