"""The granule of an item: the tile or the path and row that its scenes repeat (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ardcube.catalog.malformed import Item
from ardcube.catalog.sentinel_product import mgrs_tile

_HLS = re.compile(r"HLS\.[LS]30\.T0?(\w{4,5})\.")
"""Names of HLS products, whose items may state no tile."""
_LANDSAT = re.compile(r"L[COTEM]\d\d_\w{4}_(\d{3})(\d{3})_")
"""Names of Landsat Collection 2 products, with path and row."""


def granule_of(item: Item) -> str:
    """Return the granule of an item, such as MGRS-33TTL or WRS2-191029; an empty text if it is unknown.

    Stated are `grid:code`, path and row of Landsat, or the properties of Sentinel-2 products; else the id names it.
    """
    properties = item.get("properties") or {}
    path_and_row = _path_and_row(properties)
    if path_and_row:
        return path_and_row
    tile = mgrs_tile(properties)
    if tile:
        return tile if tile.startswith("WRS") else f"MGRS-{tile}"
    name = str(item.get("id", ""))
    if match := _HLS.match(name):
        return f"MGRS-{match[1]}"
    if match := _LANDSAT.match(name):
        return f"WRS2-{match[1]}{match[2]}"
    return ""


def _path_and_row(properties: Mapping[str, Any]) -> str:
    path, row = (str(properties.get(f"landsat:wrs_{name}") or "") for name in ("path", "row"))
    if not (path.isdecimal() and row.isdecimal()):
        return ""
    return f"WRS{properties.get('landsat:wrs_type') or 2}-{int(path):03d}{int(row):03d}"
