"""Definitions of collections that this package contains: encodings that their catalogues may leave out (pure)."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from ardcube.catalog.malformed import Item


def definition(collection_id: str) -> Item | None:
    """Return the definition of a collection, in the form of a collection document, or None if there is none."""
    return _definitions().get(collection_id)


@cache
def _definitions() -> dict[str, Item]:
    content = tomllib.loads(files(__package__).joinpath("definitions.toml").read_text())
    return {name: {"id": name, "item_assets": _item_assets(entry)} for name, entry in content.items()}


def _item_assets(entry: dict[str, Any]) -> dict[str, Any]:
    encoding = {name: entry[name] for name in ("scale", "offset", "data_type")}
    return {band: {"raster:bands": [encoding]} for band in entry["bands"]}
