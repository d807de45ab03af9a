"""The request of a cube as rows of text: facts for a first look, and all options (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ardcube.config import CubeConfig
from ardcube.ledger.stored_cube import StoredCube, filling_text
from ardcube.redaction import without_secrets
from ardcube.report.wording import count_of

_LONGEST = 2_000
"""Characters of the value of an option at most."""
_ORIGIN = {
    "title": "Product",
    "source": "Source",
    "instrument": "Sensor",
    "stac_url": "Catalogue",
    "ardcube_version": "Software",
    "date_created": "Created",
    "date_modified": "Extended",
}
"""Global attributes of a store that a page shows, with their titles."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the cube."""

    name: str
    value: str
    is_default: bool


def facts_of(cube: StoredCube) -> list[tuple[str, str]]:
    """Return title and text of the main facts of a request."""
    config, grid = cube.config, cube.grid
    rows, cols = grid.tile_counts(config.tile_size)
    bounds = ", ".join(f"{degrees:.4f}" for degrees in grid.outline.bounds)
    file = f", of {config.geometry_file.rpartition('/')[2]}" if config.geometry_file else ""
    collections = [one.collection for one in config.collections]
    filling, source = cube.filling, without_secrets(cube.filled_from or "a cube that is not known")
    filled = [] if filling is None else [("Filled", f"{filling_text(filling)}, from {source}")]
    return [
        *filled,
        ("Area", f"{bounds} (west, south, east, north in degrees){file}"),
        ("Time", f"{cube.periods[0].label} to {cube.periods[-1].label}, {count_of(len(cube.periods), 'period')}"),
        ("Collection", without_secrets(", ".join(collections))),
        ("Bands", ", ".join(config.bands)),
        ("Composite", f"{', '.join(config.composites)}; resampling {config.resampling}"),
        ("Cloud mask", config.cloud_mask),
        ("Grid", str(grid)),
        ("Chunks", f"{rows} x {cols} tiles of {config.tile_size} pixels in each period"),
        ("Values", str(cube.encoding)),
    ]


def origin_of(attributes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return title and text of the origin of a cube, from the global attributes of its store."""
    shown = dict(attributes)
    if shown.get("date_modified") == shown.get("date_created"):
        shown.pop("date_modified", None)
    found = [(title, shown.get(name)) for name, title in _ORIGIN.items()]
    rows = [(title, without_secrets(text)) for title, text in found if isinstance(text, str) and text]
    return [(title, f"ardcube {text}" if title == "Software" else text) for title, text in rows]


def history_of(attributes: Mapping[str, Any]) -> Sequence[str]:
    """Return the lines of a store's history, the oldest first."""
    history = attributes.get("history")
    return [without_secrets(line) for line in history.splitlines()] if isinstance(history, str) else []


def options_of(config: CubeConfig) -> list[Option]:
    """Return all options of a cube in the order of the model, without secrets."""
    values = config.model_dump(mode="json")
    return [
        Option(f"--{name.replace('_', '-')}", _text(values[name]), getattr(config, name) == field.default)
        for name, field in type(config).model_fields.items()
    ]


def _text(value: Any) -> str:
    text = without_secrets(value if isinstance(value, str) else json.dumps(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
