"""Presets: options of published products, by name (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

Preset = Literal["cdse-quarterly"]
PRESETS: Mapping[str, Mapping[str, Any]] = {
    # https://documentation.dataspace.copernicus.eu/Data/Others/Sentinel2_Mosaic_Algorithm.html
    "cdse-quarterly": {
        "period": "3M",
        "composites": ["percentile:25"],
        "cloud_mask": "scl",
        # Clear are: dark area, vegetation, not vegetated, water, snow. The mask is not cleaned up.
        "cloud_mask_options": {"allowed_values": [2, 4, 5, 6, 11], "closing": 0, "opening": 0},
    },
}
"""Fields of `CubeConfig` by name of the preset."""


_DEFAULTS: Mapping[str, Any] = {
    "period": None,
    "composites": ["median"],
    "cloud_mask": "none",
    "cloud_mask_options": {},
}
"""Defaults of these fields. They count as not given, because a form sends them too."""


_QUARTERS = (1, 4, 7, 10)
"""First months of the quarters of a year."""


def preset_warnings(preset: Preset | None, start: date) -> list[str]:
    """Return in which respects a cube of a preset is not the published product.

    Parameters
    ----------
    preset : str or None
        Name of the preset.
    start : date
        Start of the first period.
    """
    if preset != "cdse-quarterly" or start.month in _QUARTERS:
        return []
    line = (
        f"preset {preset}: periods of three months from {start:%Y-%m} are not quarters of a year, as those of the "
        "product are; start in January, April, July or October"
    )
    return [line]


def with_preset(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a cube together with those of its preset, if it has one.

    An unknown preset is left to the validation of its field.

    Raises
    ------
    ValueError
        If a field is given and differs from the preset.
    """
    name = values.get("preset")
    fields = PRESETS.get(name, {}) if isinstance(name, str) else {}
    for field, value in fields.items():
        given = values.get(field)
        plain = list(given) if isinstance(given, tuple) else given
        if given is not None and plain not in (value, _DEFAULTS[field]):
            raise ValueError(
                f"{field} {plain!r:.100}: preset {name} has {value!r}; omit one of the two, or give the other options "
                "of the preset one by one"
            )
    return {**values, **fields}
