"""Properties of Sentinel-2 products, which catalogues state under several names (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PRODUCT = re.compile(r"S2\w_MSIL\d\w_(\d{8}T\d{6})_N(\d{4})_(?:R\d{3}_T(\d{2}[A-Z]{3}))?")
_PREFIXES = ("s2", "sentinel2", "sentinel", "eopf")
"""Prefixes under which catalogues state the properties of a Sentinel-2 product."""


def stated(properties: Mapping[str, Any], *names: str) -> str:
    """Return the first property of a product that is stated under any of its prefixes, as text, or an empty text."""
    values = (properties.get(f"{prefix}:{name}") for name in names for prefix in _PREFIXES)
    return next((str(value) for value in values if value), "")


def product_name(properties: Mapping[str, Any]) -> re.Match[str] | None:
    """Return the parts of a product's name: sensing time, baseline, tile."""
    return _PRODUCT.search(stated(properties, "product_uri", "product_id", "product_name"))


def mgrs_tile(properties: Mapping[str, Any]) -> str:
    """Return the MGRS tile of a product in one notation, such as 33TTL or 5QKB, or an empty text if it is unknown."""
    product = product_name(properties)
    grid = properties.get("grid:code") or stated(properties, "mgrs_tile") or (product and product[3])
    if not grid:
        names = ("utm_zone", "latitude_band", "grid_square")
        parts = [properties.get(f"mgrs:{name}") or stated(properties, name) for name in names]
        grid = "".join(map(str, parts)) if all(parts) else ""
    return re.sub("^(MGRS-)?T?0?", "", str(grid))  # 05QKB, T05QKB and 5QKB are the same tile
