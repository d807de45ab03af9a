"""Invent the landscape of the sample archive: reflectance as a function of longitude, latitude and date (pure).

All values depend on longitude and latitude, never on a raster, so granules in different projections show the same land.
The spectra are plausible values for a Central European valley, not measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ardcube.sample.noise import Floats, fractal, look_up, per_cell, smooth_step

BANDS = ("red", "green", "blue", "nir")
_DELAYS = 96
"""Number of delays in whole days, half of them negative."""
ORIGIN = (12.0, 46.868)
"""Longitude and latitude in degrees of the origin of the landscape's kilometres."""
_KM = (76.1, 111.2)

# Cover types with their reflectance (red, green, blue, nir) by day of the year.
_CALENDAR: dict[str, dict[int, tuple[float, float, float, float]]] = {
    "water": {1: (0.026, 0.048, 0.042, 0.020)},
    "gravel": {1: (0.170, 0.155, 0.130, 0.230)},
    "conifer": {1: (0.020, 0.034, 0.019, 0.210)},
    "broadleaf": {
        121: (0.036, 0.062, 0.028, 0.310),
        160: (0.024, 0.050, 0.022, 0.420),
        212: (0.027, 0.047, 0.022, 0.390),
    },
    "meadow": {  # mown twice
        121: (0.046, 0.080, 0.036, 0.430),
        148: (0.050, 0.080, 0.038, 0.400),
        153: (0.098, 0.110, 0.062, 0.300),
        176: (0.044, 0.082, 0.035, 0.420),
        196: (0.048, 0.080, 0.037, 0.390),
        201: (0.100, 0.108, 0.063, 0.290),
    },
    "cereal": {  # ripens in June, stubble in July
        121: (0.034, 0.068, 0.028, 0.440),
        152: (0.042, 0.074, 0.032, 0.420),
        172: (0.092, 0.104, 0.054, 0.340),
        190: (0.175, 0.145, 0.088, 0.310),
        203: (0.205, 0.168, 0.112, 0.300),
    },
    "rapeseed": {  # in yellow flower in early May
        121: (0.125, 0.140, 0.055, 0.430),
        141: (0.058, 0.090, 0.036, 0.440),
        172: (0.080, 0.098, 0.050, 0.360),
        192: (0.150, 0.130, 0.080, 0.310),
        205: (0.185, 0.155, 0.105, 0.290),
    },
    "maize": {  # bare soil until June
        121: (0.160, 0.128, 0.094, 0.215),
        150: (0.138, 0.118, 0.084, 0.240),
        174: (0.060, 0.080, 0.041, 0.360),
        194: (0.032, 0.056, 0.026, 0.450),
    },
    "beet": {
        121: (0.135, 0.110, 0.080, 0.195),
        148: (0.085, 0.090, 0.055, 0.300),
        165: (0.040, 0.072, 0.032, 0.480),
    },
    "roof": {1: (0.165, 0.125, 0.105, 0.230)},
    "slate": {1: (0.140, 0.138, 0.132, 0.190)},
    "hall": {1: (0.235, 0.232, 0.225, 0.300)},
    "street": {1: (0.120, 0.115, 0.108, 0.150)},
    "garden": {121: (0.056, 0.082, 0.045, 0.330), 200: (0.062, 0.078, 0.045, 0.300)},
}
# Kilometres east and north of the origin, and radius in km; a road connects each place to the previous one.
_PLACES = (
    (-1.2, 1.0, 1.15),
    (-5.3, 0.9, 0.42),
    (-3.6, -2.9, 0.30),
    (3.4, -1.6, 0.36),
    (5.6, 0.6, 0.34),
    (1.6, 3.4, 0.26),
)
COVERS = tuple(_CALENDAR)
_CODE = {name: code for code, name in enumerate(COVERS)}
_CROPS = ("meadow", "cereal", "maize", "cereal", "meadow", "rapeseed", "maize", "beet")


@dataclass(frozen=True, slots=True)
class Land:
    """Land cover of each pixel, independent of the date."""

    cover: NDArray[np.uint8]
    """uint8 (y, x): index into `COVERS`."""
    shift: Floats
    """float32 (y, x): delay of the season in days."""
    gain: Floats
    """float32 (y, x): brightness of soil, texture and illumination; 1 is neutral."""


def survey(lon: NDArray[np.float64], lat: NDArray[np.float64], *, seed: int) -> Land:
    """Return the land at longitudes and latitudes in degrees, float64 (y, x)."""
    x, y = kilometres(lon, lat)
    river = _river(x, y)
    valley = smooth_step(np.abs(river), 0.6, 3.4)
    height, light = _relief(x, y, valley, seed)
    patch = fractal(x / 1.1, y / 1.1, 4, (seed, 5))
    fine = fractal(x / 0.09, y / 0.09, 2, (seed, 6))

    cover, shift, soil = _fields(x, y, seed)
    wooded = height + 0.55 * patch > 0.86
    conifer = height + 0.35 * fine + 0.3 * patch > 0.98
    rand = (np.abs(river) < 0.22) & (patch + 0.5 * fine > 0.62) | (patch > 0.71)
    cover = np.where(wooded | rand, np.where(conifer, _CODE["conifer"], _CODE["broadleaf"]), cover)
    soil = np.where(wooded | rand, 0.78 + 0.44 * fine, soil)
    high = ~wooded & (height > 0.62)
    cover = np.where(high, _CODE["meadow"], cover)
    shift = np.where(high, 12.0 + 20 * height, shift)

    cover, soil = _settlements(x, y, cover, soil, seed)
    width = 0.045 + 0.016 * np.sin(1.3 * x + 0.4)
    bank = width + 0.18 * np.maximum(patch - 0.42, 0)
    cover = np.where(np.abs(river) < bank, _CODE["gravel"], cover)
    lake = np.hypot((x - 4.6) / 0.62, (y - 2.35 - 0.25 * (x - 4.6)) / 0.30) + 0.5 * patch < 1.2
    water = (np.abs(river) < width) | lake
    cover = np.where(water, _CODE["water"], cover).astype(np.uint8)
    gain = np.where(water, 0.95 + 0.1 * patch, soil * (0.97 + 0.06 * fine) * light)
    return Land(cover, np.where(water, 0, shift).astype(np.float32), gain.astype(np.float32))


def reflectance(land: Land, day: int) -> Floats:
    """Return the surface reflectance on a day of the year without clouds: float32 (band, y, x), bands as `BANDS`."""
    # One table of cover by delay, because interpolation for each pixel takes ten times as long.
    delays = np.arange(-_DELAYS // 2, _DELAYS // 2)
    table = np.empty((len(BANDS), len(COVERS), _DELAYS), np.float32)
    for code, dates in enumerate(_CALENDAR.values()):
        for band, spectrum in enumerate(zip(*dates.values(), strict=True)):
            table[band, code] = np.interp(day - delays, list(dates), spectrum)
    delay = np.clip(np.rint(land.shift) + _DELAYS // 2, 0, _DELAYS - 1).astype(np.intp)
    entry = land.cover * np.intp(_DELAYS) + delay
    out: Floats = np.stack([rows.ravel()[entry] * land.gain for rows in table])
    return out


def kilometres(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Return kilometres east and north of `ORIGIN`."""
    return ((lon - ORIGIN[0]) * _KM[0]).astype(np.float32), ((lat - ORIGIN[1]) * _KM[1]).astype(np.float32)


def _river(x: Floats, y: Floats) -> Floats:
    """Return the signed distance to the centre line of the river in km."""
    middle = -1.1 + 0.95 * np.sin(x / 2.4 + 0.6) + 0.33 * np.sin(x / 0.8) + 0.10 * np.sin(x / 0.31 + 1)
    slope = 0.396 * np.cos(x / 2.4 + 0.6) + 0.4125 * np.cos(x / 0.8) + 0.32 * np.cos(x / 0.31 + 1)
    out: Floats = (y - middle) / np.sqrt(1 + slope * slope)
    return out


def _relief(x: Floats, y: Floats, valley: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return the height, about 0 to 1, and the brightness of slopes with the sun in the south-east."""
    axis_x, axis_y = np.arange(-12, 12, 0.04), np.arange(-9, 9, 0.04)
    gx, gy = (g.astype(np.float32) for g in np.meshgrid(axis_x, axis_y))
    sides = smooth_step(np.abs(_river(gx, gy)), 0.6, 3.4)
    hills = fractal(gx / 4.4, gy / 4.4, 6, (seed, 4)) * (0.12 + 0.88 * sides)
    north, east = np.gradient(hills, 0.04)
    light = np.clip(1 + 0.9 * (0.6 * east - 0.8 * north), 0.45, 1.5).astype(np.float32)
    column, row = (x + 12) / np.float32(0.04), (y + 9) / np.float32(0.04)
    return look_up(hills, column, row) + 0.12 * valley, look_up(light, column, row)


def _fields(x: Floats, y: Floats, seed: int) -> tuple[NDArray[np.uint8], Floats, Floats]:
    """Return the fields: cover, delay in days, brightness."""
    size = np.float32(1.25)
    bi, bj = np.floor(x / size).astype(np.int32), np.floor(y / size).astype(np.int32)
    nearest = np.full(x.shape, np.inf, np.float32)
    block = np.zeros(x.shape, np.int32)
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            i, j = bi + di, bj + dj
            px = (i + per_cell(i, j, (seed, 20))) * size
            py = (j + per_cell(i, j, (seed, 21))) * size
            distance = np.hypot(x - px, y - py)
            closer = distance < nearest
            nearest = np.where(closer, distance, nearest)
            block = np.where(closer, i * 64 + j, block)
    turn = per_cell(block, block * 0, (seed, 22)) * np.float32(np.pi)
    wide = np.float32(0.07) + np.float32(0.11) * per_cell(block, block * 0 + 1, (seed, 22))
    u = (x * np.cos(turn) + y * np.sin(turn)) / wide
    strip = np.floor(u).astype(np.int32)
    v = (y * np.cos(turn) - x * np.sin(turn)) / (wide * np.float32(3.2)) + per_cell(strip, block, (seed, 23))
    row = np.floor(v).astype(np.int32)
    field = block * 977 + strip * 31
    crop = np.array([_CODE[name] for name in _CROPS], np.uint8)
    cover = crop[(per_cell(field, row, (seed, 24)) * len(_CROPS)).astype(np.int32)]
    shift = (per_cell(field, row, (seed, 25)) - 0.5) * 18
    soil = np.float32(0.8) + np.float32(0.4) * per_cell(field, row, (seed, 26))
    # A grassy path along some strips.
    lane = ((u - strip) * wide < 0.011) & (per_cell(strip, block, (seed, 27)) < 0.45)
    return np.where(lane, _CODE["meadow"], cover).astype(np.uint8), shift, np.where(lane, 0.85, soil)


def _settlements(
    x: Floats, y: Floats, cover: NDArray[np.uint8], soil: Floats, seed: int
) -> tuple[NDArray[np.uint8], Floats]:
    """Add a town, villages and roads to the land."""
    density = np.full(x.shape, -1, np.float32)
    for px, py, radius in _PLACES:
        density = np.maximum(density, 1 - np.hypot(x - px, (y - py) * 1.25) / np.float32(radius))
    for (ax, ay, _), (bx, by, _) in zip(_PLACES[1:], _PLACES, strict=False):
        length = float(np.hypot(bx - ax, by - ay))
        along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length**2
        aside = ((x - ax) * (by - ay) - (y - ay) * (bx - ax)) / length
        road = np.abs(aside - np.sin(along * np.float32(2 * np.pi)) * np.float32(0.05 * length)) < 0.0085
        road &= (along > 0) & (along < 1)
        cover = np.where(road, _CODE["street"], cover)
        soil = np.where(road, 1, soil)
    built = density + 0.8 * (fractal(x / 0.35, y / 0.35, 3, (seed, 7)) - 0.5) > 0.02
    c, s = np.float32(np.cos(0.35)), np.float32(np.sin(0.35))
    u, v = c * x + s * y, c * y - s * x
    plot = np.floor(u / 0.024).astype(np.int32), np.floor(v / 0.024).astype(np.int32)
    dice, tone = per_cell(*plot, (seed, 30)), per_cell(*plot, (seed, 31))
    green = np.clip(0.62 - 0.75 * density, 0.12, 0.7)
    town = np.where(dice < green, _CODE["garden"], np.where(dice < 0.85, _CODE["roof"], _CODE["slate"]))
    works = np.floor(u / 0.09).astype(np.int32), np.floor(v / 0.06).astype(np.int32)
    quarter = np.hypot(x + 0.15, y - 0.15) < 0.5
    town = np.where(quarter & (per_cell(*works, (seed, 32)) < 0.5), _CODE["hall"], town)
    street = (u % 0.13 < 0.014) | (v % 0.09 < 0.013)
    town = np.where(street, _CODE["street"], town)
    return np.where(built, town, cover), np.where(built, 0.82 + 0.3 * tone, soil)
