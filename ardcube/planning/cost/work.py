"""The sizes of chunks that their cost depends on, from the footprints and items of their scenes (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import reduce
from operator import add
from typing import Literal, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from ardcube.catalog.scene import BandAsset, Scene
from ardcube.extent.window import Window
from ardcube.planning.plan import CubeSpec
from ardcube.raster.levels import KEEPS_CATEGORIES
from ardcube.raster.ranges import GAP_BYTES

Case = Literal["low", "likely", "high"]
CASES: tuple[Case, ...] = ("low", "likely", "high")
_NEED_EXPONENT = 2.5
"""A block of which each pixel is clear with probability c is needed with 1 - (1 - c) ** exponent, because clouds are
smaller than blocks. That of the synthetic archive and of the real scenes is 2 to 3."""
_COVER_ERROR = 0.15
"""Share of pixels by which the cloud cover of an item differs from that of a chunk and of its mask."""
_UNKNOWN_CLEAR = 0.5
"""Clear share that is likely if no item states its cloud cover."""
_BYTES = {False: 1.3, True: 0.1}
"""Compressed bytes per pixel if the item does not state the size of the file: of reflectance, of categories."""
_FULL_SHARE = 0.75
"""Share of the bytes of a file with overviews that full resolution has."""


@dataclass(frozen=True, slots=True)
class Work:
    """Sizes of chunks; those of several chunks are added."""

    chunks: float = 0.0
    processes: float = 0.0
    """Worker processes that build their first chunk, and load compiled code."""
    output: float = 0.0
    """Bytes of pixels before compression."""
    observed: float = 0.0
    """The part of these bytes that is expected to have a clear observation."""
    arrays: float = 0.0
    """Objects of the store that are expected."""
    opened: float = 0.0
    """Files whose header is read."""
    fetches: float = 0.0
    """Reads of blocks of a file."""
    mask_bytes: float = 0.0
    """Compressed bytes of classifications."""
    band_bytes: float = 0.0
    """Compressed bytes of reflectance."""
    clear: float = 0.0
    """Clear observations: pixels times bands times days."""

    def __add__(self, other: Work) -> Work:
        return Work(*map(add, astuple(self), astuple(other)))

    def times(self, factor: float) -> Work:
        """Return a multiple."""
        return Work(*(factor * value for value in astuple(self)))

    @classmethod
    def sum(cls, works: Iterable[Self | Work]) -> Work:
        """Return the sum of several."""
        return reduce(add, works, Work())


@dataclass(frozen=True, slots=True)
class WorkModel:
    """Computes the work of the chunks of a cube.

    The sizes are those of one case of cloud cover: `low` is that with least work.
    """

    spec: CubeSpec
    case: Case = "likely"
    block: int = 512
    """Pixels a side of a block of a file, which items do not state."""
    usual_clear: float = _UNKNOWN_CLEAR
    """Clear share of scenes that do not state their cloud cover, in the likely case."""

    @classmethod
    def of(cls, spec: CubeSpec, scenes: Iterable[Scene], case: Case, block: int) -> Self:
        """Return the model for some scenes, whose stated covers are likely for those that state none."""
        known = [scene.cloud_cover for scene in scenes if scene.cloud_cover is not None]
        return cls(spec, case, block, 1 - sum(known) / len(known) / 100 if known else _UNKNOWN_CLEAR)

    def of_chunk(self, window: Window, scenes: Sequence[Scene]) -> Work:
        """Return the work of a chunk with all scenes whose reach meets it; files are opened once for each chunk."""
        spec, (height, width) = self.spec, window.shape
        pixels = height * width
        output = float(pixels * sum(layer.pixel_bytes(len(spec.bands)) for layer in spec.variables))
        usable = [scene for scene in scenes if not scene.problem]
        if not usable:
            return Work(chunks=1, output=output)
        outline = spec.grid.window_outline(window)
        footprints = np.array([scene.footprint for scene in usable], object)
        shares = np.clip(shapely.area(shapely.intersection(footprints, outline)) / outline.area, 0, 1)
        clear = np.array([self._clear(scene) for scene in usable])
        side = self._ground(window)
        fetches = mask_bytes = band_bytes = 0.0
        needed = 1 - (1 - clear) ** _NEED_EXPONENT
        for scene, share, need in zip(usable, shares, needed, strict=True):
            if share == 0:
                continue
            for band, asset in scene.bands.items():
                is_mask = band not in spec.bands
                read = self._compressed(asset, pixels * share, side, categorical=is_mask)
                if is_mask:
                    mask_bytes, fetches = mask_bytes + read.size, fetches + 1
                elif need > 0:
                    share_read = math.sqrt(need) if read.merged else need
                    band_bytes, fetches = band_bytes + share_read * read.size, fetches + 1
        covered = shares * clear
        # Scenes of one solar day overlap at their borders alone.
        observed = 1 - float(np.prod(1 - covered))
        return Work(
            chunks=1,
            output=output,
            observed=output * observed,
            arrays=len(spec.arrays) * float(observed > 0),
            opened=sum(len(scene.bands) for scene in usable),
            fetches=fetches,
            mask_bytes=mask_bytes,
            band_bytes=band_bytes,
            clear=float(covered.sum()) * pixels * len(spec.bands),
        )

    def _clear(self, scene: Scene) -> float:
        """Return the share of a scene's pixels that its mask is expected to find clear."""
        if not self.spec.mask.bands:
            return 1.0
        if scene.cloud_cover is None:
            return {"low": 0.0, "likely": self.usual_clear, "high": 1.0}[self.case]
        error = {"low": -_COVER_ERROR, "likely": 0.0, "high": _COVER_ERROR}[self.case]
        return min(1.0, max(0.0, 1 - scene.cloud_cover / 100 + error))

    def _ground(self, window: Window) -> tuple[float, float]:
        """Return the height and width of a pixel of the window on the ground, in metres."""
        grid = self.spec.grid
        metres = grid.metres
        if not grid.lattice.is_geographic:
            return metres, metres
        latitude = float(grid.y(np.array([(window.y0 + window.y1) / 2]))[0])
        across = abs(grid.lattice.step_x) * grid.lattice.metres_per_unit
        return metres, across * max(0.01, math.cos(math.radians(latitude)))

    def _compressed(self, asset: BandAsset, pixels: float, side: tuple[float, float], *, categorical: bool) -> _Read:
        """Return the bytes of the blocks of a file under some output pixels of (height, width) metres."""
        known = asset.size and asset.pixels
        per_pixel = _FULL_SHARE * asset.size / asset.pixels if known else _BYTES[categorical]
        ratio = min(side) / asset.pixel_size
        level = 2 ** math.floor(math.log2(ratio)) if ratio >= 1 and not _is_full(asset, categorical=categorical) else 1
        across = math.sqrt(pixels * side[0] * side[1]) / (asset.pixel_size * level) + self.block
        if not asset.pixels:
            return _Read(per_pixel * across**2, merged=False)
        most = math.sqrt(asset.pixels) / level
        rows = columns = min(across, most)
        merged = 0 < (most - columns) * self.block * per_pixel <= GAP_BYTES
        return _Read(per_pixel * rows * (most if merged else columns), merged=merged or columns == most)


@dataclass(frozen=True, slots=True)
class _Read:
    """Bytes that are read of a file if nothing is cloudy."""

    size: float
    merged: bool
    """Whether requests also contain the blocks between the needed ones."""


def _is_full(asset: BandAsset, *, categorical: bool) -> bool:
    """Return whether no overview can replace the file, by the fields of its item (see `raster.levels`)."""
    if asset.href.lower().endswith(".jp2"):
        return categorical or asset.nodata is not None
    return categorical and asset.overviews not in KEEPS_CATEGORIES


def files_of(scenes: Mapping[str, Sequence[Scene]]) -> int:
    """Return the number of different files of scenes, by period label."""
    return len({asset.href for some in scenes.values() for scene in some for asset in scene.bands.values()})


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` positions, evenly spread over `count`."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
