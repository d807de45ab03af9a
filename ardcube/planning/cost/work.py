"""The sizes of chunks that their cost depends on, from the footprints and items of their scenes (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import date
from functools import reduce
from operator import add
from typing import Literal, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ardcube.catalog.scene import LOWEST_COSINE, BandAsset, Scene
from ardcube.extent.lattice import METRES_PER_DEGREE
from ardcube.extent.window import Window
from ardcube.pixels.masks import scene_masks
from ardcube.planning.cost.blocks import LevelSize, Reading, block_of, expected_reading
from ardcube.planning.plan import CubeSpec
from ardcube.raster.levels import KEEPS_CATEGORIES

Case = Literal["low", "likely", "high"]
CASES: tuple[Case, ...] = ("low", "likely", "high")
HEADER_BYTES = 32_768
"""Bytes of the request that reads the header of a file, if the file has as many."""
_CLOUD_METRES = 6_700.0
"""Side of an area of which one pixel is clear with probability 1 - (1 - c) ** 2, where c is the clear share, in the
synthetic archives and of the real scenes. Larger areas have an exponent that grows with their side."""
_COVER_ERROR = 0.15
"""Share of pixels by which the cloud cover of an item differs from that of a chunk and of its mask."""
_UNKNOWN_CLEAR = 0.5
"""Clear share that is likely if no item states its cloud cover."""
_BYTES = {False: 1.3, True: 0.1}
"""Compressed bytes per pixel if the item does not state the size of the file: of reflectance, of categories."""
_FULL_SHARE = 0.75
"""Share of the bytes of a file with overviews that full resolution has."""
_LEAST_DATA = 0.05
"""Share of a raster that its footprint covers at least."""
_UNKNOWN_SIDE = 10_980
"""Pixels a side of a raster whose size is unknown."""
_KERNEL = 2
"""Pixels of a level around a window that its kernels need on each side."""


@dataclass(frozen=True, slots=True)
class Work:
    """Sizes of chunks; those of several chunks are added."""

    chunks: float = 0.0
    processes: float = 0.0
    """Worker processes that build their first chunk, and load compiled code."""
    tasks: float = 0.0
    """Task runs of Prefect in these processes."""
    output: float = 0.0
    """Bytes of pixels before compression."""
    observed: float = 0.0
    """The part of these bytes that is expected to have a clear observation."""
    arrays: float = 0.0
    """Objects of the store that are expected."""
    opened: float = 0.0
    """Files whose header is read."""
    header_bytes: float = 0.0
    """Bytes of these requests."""
    fetches: float = 0.0
    """Reads of blocks of a file."""
    requests: float = 0.0
    """Requests for blocks."""
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
        met = shapely.intersection(np.array([scene.footprint for scene in usable], object), outline)
        clear = np.array([self._clear(scene) for scene in usable])
        own, read = _without_earlier(usable, met)
        covered = np.clip(shapely.area(own) / outline.area, 0, 1) * clear
        wanted = covered if spec.enough is None else _first_clear(usable, covered, spec.enough)
        factors = np.divide(wanted, covered, out=np.zeros(len(usable)), where=covered > 0)
        side = self._ground(window)
        works = [
            self._of_scene(
                scene, _Part(_extent(area, outline, window.shape), _extent(part, outline, window.shape), side, share)
            )
            for scene, area, part, share in zip(usable, met, read, (clear * factors).tolist(), strict=True)
        ]
        observed = 1 - float(np.prod(1 - covered))
        return replace(
            Work.sum(works),
            chunks=1,
            output=output,
            observed=output * observed,
            arrays=len(spec.arrays) * float(observed > 0),
            clear=float(wanted.sum()) * pixels * len(spec.bands),
        )

    def _of_scene(self, scene: Scene, part: _Part) -> Work:
        """Return the work of reading a scene: its classification, and reflectance where it is clear."""
        found, data = Work(), _data_share(scene)
        for band, asset in scene.bands.items():
            is_mask = band not in self.spec.bands
            level, pixel = self._level(asset, part.side, data, categorical=is_mask)
            pixels = part.covered if is_mask else part.read
            metres = pixels[0] * part.side[0], pixels[1] * part.side[1]
            around = 2 * (self._reach if is_mask else _KERNEL * pixel)
            needed = 1.0 if is_mask else _needed(part.clear, min(level.block * pixel, *metres))
            opened = 1.0 if is_mask else _needed(part.clear, math.sqrt(metres[0] * metres[1])) * (min(metres) > 0)
            read = Reading()
            if min(metres) > 0:
                read = expected_reading(level, ((metres[0] + around) / pixel, (metres[1] + around) / pixel), needed)
            found += Work(
                opened=opened,
                header_bytes=opened * (min(HEADER_BYTES, asset.size) if asset.size else HEADER_BYTES),
                fetches=opened * (min(metres) > 0),
                requests=read.requests,
                mask_bytes=is_mask * read.received,
                band_bytes=(not is_mask) * read.received,
            )
        return found

    def files_of(self, scenes: Mapping[str, Sequence[Scene]]) -> float:
        """Return the number of different files that are expected to be read of scenes, by period label."""
        masks, bands = set[str](), set[str]()
        for scene in (scene for some in scenes.values() for scene in some if not scene.problem):
            is_read = self._clear(scene) > 0
            for band, asset in scene.bands.items():
                if band not in self.spec.bands:
                    masks.add(asset.href)
                elif is_read:
                    bands.add(asset.href)
        return len(masks | bands)

    @property
    def _reach(self) -> float:
        """Metres around a pixel that its cloud mask reads."""
        return max((mask.clean_up.reach for mask in scene_masks(self.spec.mask)), default=0.0)

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

    def _level(
        self, asset: BandAsset, side: tuple[float, float], data: float, *, categorical: bool
    ) -> tuple[LevelSize, float]:
        """Return the level of a file that is read for output pixels of (height, width) metres, and its pixel in metres.

        Its bytes are those of the share of the raster that has data.
        """
        known = asset.size and asset.pixels
        per_pixel = _FULL_SHARE * asset.size / (asset.pixels * data) if known else _BYTES[categorical]
        ratio = min(side) / asset.pixel_size
        factor = 2 ** math.floor(math.log2(ratio)) if ratio >= 1 and not _is_full(asset, categorical=categorical) else 1
        edge = math.ceil(math.sqrt(asset.pixels)) or _UNKNOWN_SIDE
        height, width = asset.height or edge, asset.width or edge
        block = block_of(self.block, height, width)
        return LevelSize(-(-height // factor), -(-width // factor), block, per_pixel, data), asset.pixel_size * factor


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of a chunk that a scene covers."""

    covered: tuple[float, float]
    """Height and width of the bounds of this part, in output pixels."""
    read: tuple[float, float]
    """Those of the part of which reflectance is read."""
    side: tuple[float, float]
    """Height and width of an output pixel on the ground, in metres."""
    clear: float
    """Share of the part whose pixels are clear and needed."""


def _without_earlier(
    scenes: Sequence[Scene], met: NDArray[np.object_]
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Return the areas that scenes give and those that are read of them: without earlier scenes of their solar day.

    A pixel that is clear in one scene is clear in the other one too. Scenes of another CRS are read there anyway,
    because their pixels differ at the borders of clouds.
    """
    own, read = met.copy(), met.copy()
    earlier: dict[tuple[date, str], list[int]] = {}
    for number in sorted(range(len(scenes)), key=lambda at: (scenes[at].datetime, scenes[at].id)):
        before = earlier.setdefault(scenes[number].observation(), [])
        for other in before:
            own[number] = shapely.difference(own[number], met[other])
            if _crs_of(scenes[other]) == _crs_of(scenes[number]):
                read[number] = shapely.difference(read[number], met[other])
        before.append(number)
    return own, read


def _crs_of(scene: Scene) -> str:
    return next((asset.crs for asset in scene.bands.values()), "")


def _extent(area: BaseGeometry, outline: BaseGeometry, shape: tuple[int, int]) -> tuple[float, float]:
    """Return height and width of the bounds of a part of a window, in pixels."""
    if area.is_empty:
        return 0.0, 0.0
    (west, south, east, north), whole = area.bounds, outline.bounds
    return (
        shape[0] * min(1.0, (north - south) / (whole[3] - whole[1])),
        shape[1] * min(1.0, (east - west) / (whole[2] - whole[0])),
    )


def _needed(clear: float, metres: float) -> float:
    """Return the probability that an area of a side has a clear pixel. Clouds are smaller than large areas."""
    return 1.0 - math.pow(1.0 - clear, 1.0 + metres / _CLOUD_METRES)


def _data_share(scene: Scene) -> float:
    """Return the share of the rasters of a scene that its footprint covers, in which all of their bytes are."""
    _, south, _, north = scene.footprint.bounds
    cosine = max(LOWEST_COSINE, math.cos(math.radians((south + north) / 2)))
    metres = float(scene.footprint.area) * cosine * METRES_PER_DEGREE**2
    rasters = [asset.pixels * asset.pixel_size**2 for asset in scene.bands.values() if asset.pixels]
    return min(1.0, max(_LEAST_DATA, metres / max(rasters))) if rasters else 1.0


def _first_clear(scenes: Sequence[Scene], covered: NDArray[np.float64], enough: int) -> NDArray[np.float64]:
    """Return the shares of a chunk that scenes give if a pixel takes its first clear days, the least cloudy first."""
    wanted, seen = np.zeros(len(scenes)), np.zeros(enough)
    seen[0] = 1.0  # probability of each number of clear days so far
    for number in sorted(range(len(scenes)), key=lambda at: _cover_order(scenes[at])):
        clear = covered[number]
        wanted[number] = clear * seen.sum()
        seen[1:], seen[0] = seen[1:] * (1 - clear) + seen[:-1] * clear, seen[0] * (1 - clear)
    return wanted


def _cover_order(scene: Scene) -> float:
    return math.inf if scene.cloud_cover is None else scene.cloud_cover


def _is_full(asset: BandAsset, *, categorical: bool) -> bool:
    """Return whether no overview can replace the file, by the fields of its item (see `raster.levels`)."""
    if asset.href.lower().endswith(".jp2"):
        return categorical or asset.nodata is not None
    return categorical and asset.overviews not in KEEPS_CATEGORIES


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` positions, evenly spread over `count`."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
