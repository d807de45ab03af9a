"""Generate pixels of the benchmark archive, strip by strip (pure).

The pixels are realistic in the properties that cost time: the compression ratio, the distribution of clear pixels among
clouds, and the ends of swaths. Each strip has a separate random generator, so that equal seeds give equal pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

STRIP = 512
"""Rows of 10 m computed at once."""
OFFSET = 1000
"""Digital number of reflectance 0, since processing baseline 04.00."""
_CELL = 16
"""Pixels between nodes of the cloud field."""
_NOISE = (16, 5)
"""Standard deviation of the texture at 10 m and at 20 m, in digital numbers. With these values DEFLATE with predictor 2
compresses a clear scene by about 1.65, like real scenes."""
_SPECKS = 0.002
"""Share of single pixels with a wrong scene class."""
# Reflectance * 10,000 of red, green, blue, nir; the second half is bare soil.
_SPECTRA = np.array(
    [
        (300, 550, 250, 4200), (450, 800, 350, 3900), (250, 480, 220, 3100), (380, 650, 300, 4600),
        (1500, 1250, 850, 2300), (2000, 1600, 1100, 2900), (1250, 1100, 800, 2000), (1000, 1050, 600, 2500),
    ],
    np.float32,
)  # fmt: skip
_CLOUD = np.array((5200, 5300, 5500, 5600), np.float32)


@dataclass(frozen=True, slots=True)
class Sky:
    """Weather over one granule, at nodes with a distance of `_CELL` pixels."""

    cloud: Floats
    """Opacity before it is clipped to 0..1, (y, x)."""
    brightness: Floats
    """Relative brightness of clouds, about 1, (y, x)."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Consecutive rows of the data window of a scene."""

    row: int
    """First row, in pixels of 10 m."""
    numbers: NDArray[np.uint16]
    """Digital numbers (band, y, x)."""
    classes: NDArray[np.uint8]
    """Scene classification at 20 m (y / 2, x / 2)."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The edge of a swath, x = start + slope * y in pixels of the data window."""

    start: float
    slope: float
    sees_west: bool


def strips(
    shape: tuple[int, int], *, seed: tuple[int, ...], land_seed: int, cover: float, edge: Edge | None
) -> Iterator[Strip]:
    """Yield the strips of a scene from north to south.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the data window, multiples of 2.
    seed : tuple of int
        Seed of the weather and noise of this scene.
    land_seed : int
        Seed of the land, equal on all dates of a granule.
    cover : float
        Share of clouds in the data window, 0 to 1.
    edge : Edge or None
        Edge of the swath; None if the swath covers the window.
    """
    sky = weather(shape, seed, cover)
    for row in range(0, shape[0], STRIP):
        yield _strip(shape, row, sky, seed, land_seed, edge)


def weather(shape: tuple[int, int], seed: tuple[int, ...], cover: float) -> Sky:
    """Return fractal clouds of 40 km to 300 m.

    A share of `cover` of the window has an opacity of at least 0.5.
    """
    rng = np.random.default_rng((*seed, 1))
    nodes = tuple(-(-side // _CELL) + 2 for side in shape)
    cloud, bright = (_fractal(rng, nodes, coarsest) for coarsest in (256, 64))
    threshold = np.quantile(cloud, 1 - cover)
    opacity = (cloud - threshold) / np.float32(0.35 * cloud.std()) + np.float32(0.5)
    return Sky(opacity.astype(np.float32), (1 + 0.15 * bright / bright.std()).astype(np.float32))


def _fractal(rng: np.random.Generator, shape: tuple[int, int], coarsest: int) -> Floats:
    """Return a sum of octaves of value noise.

    The coarsest octave has a period of `coarsest` nodes.
    """
    total, period, amplitude = np.zeros(shape, np.float32), coarsest, 1.0
    while period >= 2:
        table = rng.standard_normal(tuple(side // period + 3 for side in shape), np.float32)
        rows, cols = (_weights(np.arange(side) / period, count) for side, count in zip(shape, table.shape, strict=True))
        total += np.float32(amplitude) * (rows @ table @ cols.T)
        period, amplitude = period // 2, amplitude * 0.62
    return total


def _weights(position: NDArray[np.float64], nodes: int) -> Floats:
    """Return linear interpolation as a matrix (position, node).

    A product of two such matrices is bilinear, and runs in BLAS.
    """
    matrix = np.zeros((len(position), nodes), np.float32)
    first = np.clip(position.astype(np.intp), 0, nodes - 2)
    part = np.clip(position - first, 0, 1)
    matrix[np.arange(len(position)), first] = 1 - part
    matrix[np.arange(len(position)), first + 1] = part
    return matrix


def _strip(
    shape: tuple[int, int], row: int, sky: Sky, seed: tuple[int, ...], land_seed: int, edge: Edge | None
) -> Strip:
    rows, cols = np.arange(row, min(row + STRIP, shape[0])), np.arange(shape[1])
    rng = np.random.default_rng((*seed, 2, row))

    def at(field: Floats, south: int = 0, east: int = 0) -> Floats:
        down = _weights((rows + south) / _CELL, field.shape[0])
        return down @ field @ _weights((cols + east) / _CELL, field.shape[1]).T

    opacity = np.clip(at(sky.cloud), 0, 1)
    # The sun is in the south-east: the shadow of a cloud is north-west of it.
    shadow = np.clip(at(sky.cloud, south=60, east=40), 0, 1) * (1 - opacity)
    kind = _parcels(rows, cols, land_seed)
    light = (1 - np.float32(0.6) * shadow) * (1 - opacity)
    glare = opacity * at(sky.brightness)
    outside = None if edge is None else _outside(edge, rows, cols)

    size = len(rows), len(cols)
    numbers = np.empty((len(_CLOUD), *size), np.uint16)
    for band in range(len(_CLOUD)):
        value = _SPECTRA[:, band][kind] * light
        value += _CLOUD[band] * glare
        value += OFFSET + np.float32(0.5)
        value += np.float32(_NOISE[0]) * rng.standard_normal(size, np.float32)
        coarse = np.float32(_NOISE[1]) * rng.standard_normal((size[0] // 2, size[1] // 2), np.float32)
        value.reshape(size[0] // 2, 2, size[1] // 2, 2)[:] += coarse[:, None, :, None]
        np.clip(value, 1, 65_535, out=value)
        numbers[band] = value
    classes = _classify(kind[::2, ::2], opacity[::2, ::2], shadow[::2, ::2])
    specks = rng.random(classes.shape, np.float32) < _SPECKS
    classes[specks] = rng.integers(2, 8, np.count_nonzero(specks), np.uint8)
    if outside is not None:
        numbers[:, outside] = 0
        classes[outside[::2, ::2]] = 0
    return Strip(row, numbers, classes)


def _outside(edge: Edge, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> NDArray[np.bool_]:
    east = cols[None, :] > edge.start + edge.slope * rows[:, None]
    return east if edge.sees_west else ~east


def _parcels(rows: NDArray[np.intp], cols: NDArray[np.intp], seed: int) -> NDArray[np.uint8]:
    """Return rotated fields of 180 m by 320 m: index into `_SPECTRA`, uint8 (y, x)."""
    table = np.random.default_rng((seed, 3)).integers(0, len(_SPECTRA), 1 << 16, np.uint8)
    c, s = np.float32(np.cos(0.3)), np.float32(np.sin(0.3))
    y, x = rows.astype(np.float32)[:, None], cols.astype(np.float32)[None, :]
    i = ((c * x + s * y) / 18 + 4096).astype(np.int32)
    j = ((c * y - s * x) / 32 + 4096).astype(np.int32)
    return table[(i * 131 + j * 8191) & 0xFFFF]


def _classify(kind: NDArray[np.uint8], opacity: Floats, shadow: Floats) -> NDArray[np.uint8]:
    """Return the scene classification (SCL) in the codes of the L2A processor."""
    classes = np.where(kind < len(_SPECTRA) // 2, 4, 5).astype(np.uint8)
    classes[shadow > 0.3] = 3
    for least, code in ((0.04, 7), (0.10, 10), (0.30, 8), (0.70, 9)):
        classes[opacity > least] = code
    return classes
