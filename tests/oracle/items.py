"""The STAC items of the oracle: their selection, footprints, dates and encodings."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from shapely.geometry.base import BaseGeometry

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


def solar_day(item: Item, outline: BaseGeometry) -> date:
    """Date at the footprint's centroid, by whole hours of longitude truncated toward zero like odc.stac.

    The longitude is counted from -180 to 180, whatever the cube's longitudes are.
    """
    longitude = outline.centroid.x
    if not -180.0 <= longitude < 180.0:  # wrapping rounds, which an hour that is almost reached does not survive
        longitude = (longitude + 180.0) % 360.0 - 180.0
    return (moment(item) + timedelta(hours=int(longitude / 15.0))).date()


def sensor(item: Item) -> str:
    """Sensor of an item by its platform, empty if the platform is not known."""
    platform = str(item["properties"].get("platform") or "").lower().replace("_", "-")
    if platform.startswith("sentinel-2"):
        return "MSI"
    return {"landsat-4": "TM", "landsat-5": "TM", "landsat-7": "ETM", "landsat-8": "OLI", "landsat-9": "OLI"}.get(
        platform, ""
    )


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


def acquisition(item: Item) -> tuple[Any, ...] | None:
    """Return a key that is equal for all processings of one acquisition; None if unknown."""
    properties = item["properties"]
    tile = _mgrs_tile(properties)
    return (properties.get("platform"), _datatake_start(properties), tile) if tile else None


def processing(item: Item) -> tuple[Any, ...]:
    """Order of the processings of one acquisition: baseline, generation time, id."""
    properties = item["properties"]
    return _baseline(properties), str(properties.get("s2:generation_time") or ""), item["id"]


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


def scale_of_item(item: Item, collection: Item | None, band: str) -> float:
    """Reflectance of one number in an item's file: the item's word, else its collection's, else 0.0001."""
    said = _declared(asset_of(item["assets"], band), "scale")
    if said is None:
        said = _declared(asset_of((collection or {}).get("item_assets", {}), band), "scale")
    return 0.0001 if said is None else float(f"{said:.6g}")  # stated in single precision by some


def offset_of_collection(collection: dict[str, Any] | None, band: str) -> float | None:
    """Reflectance offset of a band by its collection, None where the collection does not say."""
    return _declared(asset_of((collection or {}).get("item_assets", {}), band), "offset")


def offset_of_item(item: Item, collection: dict[str, Any] | None, band: str) -> float:
    """Reflectance offset of the numbers in an item's file: the item's word, else its collection's."""
    said = _declared(asset_of(item["assets"], band), "offset")
    if said is None:
        said = offset_of_collection(collection, band)
    if said is None:
        raise ValueError(f"neither item {item['id']} nor its collection states an offset of {band}")
    return 0.0 if item["properties"].get("earthsearch:boa_offset_applied") is True else said
