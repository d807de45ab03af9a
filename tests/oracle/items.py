"""The STAC items of the oracle: their selection, footprints, dates and encodings."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import shapely
from shapely.affinity import scale, translate
from shapely.geometry.base import BaseGeometry

# Data may reach a little beyond a simplified footprint: pixels within this margin still count.
FOOTPRINT_MARGIN_DEG = 0.02

Item = dict[str, Any]


def read_catalogue(folder: Path | str) -> tuple[list[Item], Item | None]:
    """All items below a folder, with absolute asset hrefs, and its collection where there is one.

    Copies of an item as its source published it (`*.recorded.json`) are passed over.
    """
    items: list[Item] = []
    collections: list[Item] = []
    for path in sorted(Path(folder).rglob("*.json")):
        if path.name.endswith(".recorded.json"):
            continue
        document = json.loads(path.read_text())
        kind = document.get("type") if isinstance(document, dict) else None
        if kind == "Collection":
            collections.append(document)
        elif kind == "Feature":
            for asset in document["assets"].values():
                if "://" not in asset["href"]:
                    asset["href"] = str((path.parent / asset["href"]).resolve())
            items.append(document)
    if len(collections) > 1:
        raise ValueError(f"{folder} holds {len(collections)} collections, the oracle reads one")
    return items, collections[0] if collections else None


def moment(item: Item) -> datetime:
    """Acquisition time of an item, with time zone UTC."""
    when = datetime.fromisoformat(item["properties"]["datetime"])
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def in_order(items: Iterable[Item]) -> list[Item]:
    """Items by time, then id."""
    return sorted(items, key=lambda item: (moment(item), item["id"]))


def footprint(item: Item, centre_lon: float) -> BaseGeometry:
    """Footprint in degrees, each part on that side of the antimeridian where the cube is."""
    parts = shapely.get_parts(shapely.make_valid(shapely.geometry.shape(item["geometry"])))
    near = [translate(part, xoff=-360.0 * round((part.centroid.x - centre_lon) / 360.0)) for part in parts]
    return shapely.union_all(near)


def with_margin(outline: BaseGeometry) -> BaseGeometry:
    """Footprint grown by the margin, in degrees of latitude; degrees of longitude are scaled for their convergence."""
    cosine = max(math.cos(math.radians(85.0)), math.cos(math.radians(outline.centroid.y)))
    flat = scale(outline, xfact=cosine, origin=(0, 0)).buffer(FOOTPRINT_MARGIN_DEG)
    return scale(flat, xfact=1 / cosine, origin=(0, 0))


def solar_day(item: Item) -> date:
    """Date at the footprint's centroid in -180..180, by whole hours of longitude truncated toward zero."""
    parts = shapely.get_parts(shapely.make_valid(shapely.geometry.shape(item["geometry"])))
    largest = max(parts, key=lambda part: part.area)
    longitude = (footprint(item, largest.centroid.x).centroid.x + 180.0) % 360.0 - 180.0
    return (moment(item) + timedelta(hours=int(longitude / 15.0))).date()


def _datatake_start(properties: dict[str, Any]) -> str:
    for key in ("s2:datatake_id", "s2:product_uri"):
        found = re.search(r"_(\d{8}T\d{6})_", properties.get(key) or "")
        if found:
            return found.group(1)
    return str(properties["datetime"])


def _mgrs_tile(properties: dict[str, Any]) -> str | None:
    if properties.get("grid:code", "").startswith("MGRS-"):
        tile = properties["grid:code"].removeprefix("MGRS-")
    elif "mgrs:grid_square" in properties:
        keys = ("mgrs:utm_zone", "mgrs:latitude_band", "mgrs:grid_square")
        tile = "".join(str(properties[key]) for key in keys)
    else:
        tile = properties.get("s2:mgrs_tile") or ""
    # Sources write zone 5 as "5", "05" and "T05".
    return tile.removeprefix("T").lstrip("0") or None


def _baseline(properties: dict[str, Any]) -> tuple[int, int]:
    text = properties.get("s2:processing_baseline") or properties.get("processing:version")
    if not text:
        found = re.search(r"_N(\d{4})_", properties.get("s2:product_uri") or "")
        text = f"{found.group(1)[:2]}.{found.group(1)[2:]}" if found else "0.0"
    major, _, minor = str(text).partition(".")
    return int(major), int(minor or 0)


def newest_baselines(items: Sequence[Item]) -> list[Item]:
    """Items without those of which a reprocessed version with a higher baseline is among them."""
    newest: dict[tuple[Any, ...], tuple[int, int]] = {}

    def acquisition(item: Item) -> tuple[Any, ...] | None:
        properties = item["properties"]
        tile = _mgrs_tile(properties)
        return tile and (properties.get("platform"), _datatake_start(properties), tile)

    for item in items:
        key = acquisition(item)
        if key:
            newest[key] = max(newest.get(key, (0, 0)), _baseline(item["properties"]))
    return [i for i in items if not acquisition(i) or _baseline(i["properties"]) == newest[acquisition(i)]]


def asset_of(assets: dict[str, Any], band: str) -> dict[str, Any] | None:
    """The asset of a band: by its key, else by the name or common name of the band in it."""
    if band in assets:
        return assets[band]
    for asset in assets.values():
        for described in asset.get("eo:bands", []) + asset.get("bands", []):
            if band in (described.get("common_name"), described.get("eo:common_name"), described.get("name")):
                return asset
    return None


def _declared(asset: dict[str, Any] | None, key: str) -> float | None:
    """`offset` or `nodata` of an asset's first band, in STAC 1.0 or STAC 1.1 terms."""
    if asset is None:
        return None
    first_old = (asset.get("raster:bands") or [{}])[0]
    first_new = (asset.get("bands") or [{}])[0]
    said = [first_old.get(key)]
    for place in (asset, first_new):
        said += [place.get(f"raster:{key}"), place.get(key)]
    numbers = [float(value) for value in said if value is not None]
    return numbers[0] if numbers else None


def nodata_of(asset: dict[str, Any]) -> float | None:
    """Nodata value that an item declares for an asset."""
    return _declared(asset, "nodata")


def offset_of_collection(collection: dict[str, Any] | None, band: str) -> float | None:
    """Reflectance offset of a band by its collection, None where the collection does not say."""
    return _declared(asset_of((collection or {}).get("item_assets", {}), band), "offset")


def offset_of_item(item: Item, collection: dict[str, Any] | None, band: str) -> float:
    """True reflectance offset of the numbers in an item's file."""
    if item["properties"].get("earthsearch:boa_offset_applied") is True:
        return 0.0
    said = _declared(asset_of(item["assets"], band), "offset")
    if said is None:
        said = offset_of_collection(collection, band)
    return 0.0 if said is None else said
