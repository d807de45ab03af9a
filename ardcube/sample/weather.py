"""Invent the weather of the sample archive: clouds, shadows, haze, and their scene classification (pure).

Clouds depend on longitude, latitude and date, never on a raster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ardcube.sample.land import COVERS, Land, kilometres
from ardcube.sample.noise import Floats, Seed, fractal, look_up, smooth_step

_HAZE = np.array([0.075, 0.085, 0.105, 0.065], np.float32)
_CLOUD = np.array([0.97, 0.98, 1.0, 1.02], np.float32)
_EAST, _NORTH, _CELL = 10.5, 8.0, 0.05
"""Half the width, half the height, and the cell size in km of the table with the clouds of a date."""


@dataclass(frozen=True, slots=True)
class Weather:
    """Weather of one date over the whole landscape."""

    seed: Seed
    """Seed of the clouds of the date."""
    cover: float
    """Fraction of the landscape under thick cloud, 0 to 1."""
    haze: float = 0.0
    """Fraction of light that does not reach the ground, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Sky:
    """Clouds over each pixel on one date."""

    opacity: Floats
    """float32 (y, x): 0 clear to 1 opaque."""
    brightness: Floats
    """float32 (y, x): reflectance of an opaque cloud."""
    shadow: Floats
    """float32 (y, x): fraction of sunlight that a cloud blocks."""


def sky(lon: NDArray[np.float64], lat: NDArray[np.float64], weather: Weather) -> Sky:
    """Return the clouds over longitudes and latitudes in degrees, float64 (y, x)."""
    x, y = kilometres(lon, lat)
    if weather.cover <= 0:
        none = np.zeros(x.shape, np.float32)
        return Sky(none, none, none)
    # One table for the landscape, because the cloud cover is a quantile of it for all granules.
    axis_x, axis_y = np.arange(-_EAST, _EAST, _CELL), np.arange(-_NORTH, _NORTH, _CELL)
    gx, gy = (g.astype(np.float32) for g in np.meshgrid(axis_x, axis_y))
    mass = fractal(gx / 4.2, gy / 3.2, 6, weather.seed)
    tops = fractal(gx / 0.9, gy / 0.9, 4, (*weather.seed, 1))
    inside = (np.abs(gx) < 6.4) & (np.abs(gy) < 4.8)
    if weather.cover >= 1:
        opacity = np.float32(0.9) + 0.1 * smooth_step(mass, 0.2, 0.6)
    else:
        edge = np.quantile(mass[inside], 1 - weather.cover)
        opacity = smooth_step(mass + 0.06 * (tops - 0.5), edge - 0.035, edge + 0.045)
    thin, thick = np.quantile(mass[inside], (0.2, 1.0))
    brightness = 0.30 + 0.42 * smooth_step(mass, thin, thick) + 0.22 * tops

    def at(table: Floats, dx: float = 0.0, dy: float = 0.0) -> Floats:
        column = (x + np.float32(dx + _EAST)) / np.float32(_CELL)
        return look_up(table, column, (y + np.float32(dy + _NORTH)) / np.float32(_CELL))

    # The sun is in the south-south-east at this hour, so the shadow of a cloud is north-west of it.
    return Sky(at(opacity), at(brightness), np.float32(0.68) * at(opacity, dx=0.42, dy=-0.66))


def seen(ground: Floats, above: Sky, weather: Weather) -> Floats:
    """Return the reflectance that the sensor measures through clouds and haze: float32 (band, y, x)."""
    lit: Floats = ground * (1 - above.shadow * (1 - above.opacity))
    lit = lit * np.float32(1 - weather.haze) + _HAZE[:, None, None] * np.float32(weather.haze)
    return lit * (1 - above.opacity) + _CLOUD[:, None, None] * above.brightness * above.opacity


def classify(land: Land, ground: Floats, above: Sky) -> NDArray[np.uint8]:
    """Return the scene classification (SCL) with the codes of the L2A processor: uint8 (y, x), classes 2 to 10."""
    red, nir = ground[0], ground[3]
    out = np.where((nir - red) > 0.42 * (nir + red), 4, 5).astype(np.uint8)
    out[(land.cover == COVERS.index("conifer")) & (land.gain < 0.52)] = 2
    out[land.cover == COVERS.index("water")] = 6
    out[above.shadow > 0.22] = 3
    out[above.opacity > 0.04] = 7
    out[above.opacity > 0.10] = 10
    out[above.opacity > 0.30] = 8
    out[above.opacity > 0.70] = 9
    return out
