"""From scenes to observations: each solar day of a chunk on the cube's grid."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby, islice
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ardcube.config import Access, Reader
from ardcube.errors import SceneError
from ardcube.grid import Grid, Window
from ardcube.memory import SCENES_AHEAD
from ardcube.raster import Blocks, Level
from ardcube.reader import Part, Raster, open_raster, request_pool
from ardcube.resample import Projection, needed_blocks, project, resample_into
from ardcube.scenes import SCALE, Scene

_CELL = 32
"""Side, in pixels, of the cells by which a footprint is laid on the grid."""


@dataclass(frozen=True, slots=True)
class SolarDay:
    """Scenes that are fused to one observation."""

    date: date
    scenes: tuple[Scene, ...]
    """In order of time, then id: the first valid pixel wins."""


def solar_days(scenes: Iterable[Scene]) -> list[SolarDay]:
    """Group scenes by their local solar day, as `odc.stac` does with ``groupby="solar_day"``."""
    ordered = sorted(scenes, key=lambda scene: (scene.solar_day(), scene.datetime, scene.id))
    return [SolarDay(day, tuple(group)) for day, group in groupby(ordered, key=Scene.solar_day)]


@dataclass(frozen=True, slots=True)
class _Read:
    """Blocks under way of bands of one scene that share a grid."""

    day: int
    scene: Scene
    bands: tuple[int, ...]
    """Positions in the output."""
    crs: str
    dtype: str
    level: Level
    blocks: Blocks
    nodata: int
    shift: int
    wanted: NDArray[np.bool_]
    parts: tuple[Future[Part], ...]


@dataclass(slots=True)
class ChunkReader:
    """Reads bands of scenes onto one window of the grid; projections and footprints are worked out once."""

    grid: Grid
    window: Window
    access: Access = "unsigned"
    reader: Reader = "auto"
    requests: int = 16
    """Requests in flight."""
    bytes_read: int = 0
    """Bytes fetched so far."""
    _projections: dict[str, Projection] = field(default_factory=dict)
    _footprints: dict[str, NDArray[np.bool_] | None] = field(default_factory=dict)

    def crop(self, window: Window) -> ChunkReader:
        """The reader of a window within this one; shares what was worked out."""
        core = (
            slice(window.y0 - self.window.y0, window.y1 - self.window.y0),
            slice(window.x0 - self.window.x0, window.x1 - self.window.x0),
        )
        return ChunkReader(
            self.grid,
            window,
            self.access,
            self.reader,
            self.requests,
            0,
            {crs: projection.crop(core) for crs, projection in self._projections.items()},
            {key: None if mask is None else mask[core] for key, mask in self._footprints.items()},
        )

    def categories(self, days: Sequence[SolarDay], band: str) -> NDArray[Any]:
        """Raw digital numbers of a categorical band, nearest pixel: uint8 or uint16 (day, y, x), 0 is none."""
        dtypes = {raster.header.dtype for raster in self._open([scene for day in days for scene in day.scenes], [band])}
        stack = np.zeros((1, len(days), *self.window.shape), np.uint8 if dtypes <= {"uint8"} else np.uint16)
        self._fill(stack, days, (band,), lambda _: None, "nearest", None)
        observed: NDArray[Any] = stack[0]
        return observed

    def reflectance(
        self,
        days: Sequence[SolarDay],
        bands: Sequence[str],
        clear: Sequence[NDArray[np.uint8]],
        resampling: str,
        offset: float,
    ) -> NDArray[np.uint16]:
        """Digital numbers of reflectance bands where it is clear: uint16 (band, day, y, x), 0 elsewhere.

        Parameters
        ----------
        days : sequence of SolarDay
            Observations.
        bands : sequence of str
            As in the scenes; bands of one grid are resampled together.
        clear : sequence of uint8 (y, x / 8)
            Pixels to read of each day, as bits.
        resampling : str
            `nearest`, `bilinear` or `cubic`.
        offset : float
            Offset of the cube's reflectance; scenes with another one are shifted.
        """
        stack = np.zeros((len(bands), len(days), *self.window.shape), np.uint16)
        self._open([scene for day in days for scene in day.scenes], bands)
        width = self.window.shape[1]
        self._fill(stack, days, bands, lambda day: unpacked(clear[day], width), resampling, offset)
        return stack

    def _open(self, scenes: Sequence[Scene], bands: Sequence[str]) -> list[Raster]:
        """Read the headers that this process does not know yet, many at once."""
        pool = request_pool(self.requests)
        return list(pool.map(lambda pair: self._raster(*pair), [(s, b) for s in scenes for b in bands]))

    def _raster(self, scene: Scene, band: str) -> Raster:
        return open_raster(scene.bands[band].href, scene.revision, self.access, self.reader)

    def _fill(
        self,
        stack: NDArray[Any],
        days: Sequence[SolarDay],
        bands: Sequence[str],
        clear: Callable[[int], NDArray[np.bool_] | None],
        resampling: str,
        offset: float | None,
    ) -> None:
        """Fill (band, day, y, x): first the first scene of each day, then what the next ones still have to give."""
        for place in range(max((len(day.scenes) for day in days), default=0)):
            turn = [(number, day.scenes[place]) for number, day in enumerate(days) if place < len(day.scenes)]
            coming = (
                list(self._begin(stack, number, scene, bands, clear, resampling, offset)) for number, scene in turn
            )
            under_way: deque[list[_Read]] = deque(islice(coming, SCENES_AHEAD))
            while under_way:
                for read in under_way.popleft():
                    self._end(stack, read, resampling)
                under_way.extend(islice(coming, 1))

    def _begin(
        self,
        stack: NDArray[Any],
        number: int,
        scene: Scene,
        bands: Sequence[str],
        clear: Callable[[int], NDArray[np.bool_] | None],
        resampling: str,
        offset: float | None,
    ) -> Iterator[_Read]:
        """Start to fetch the blocks of a scene that hold what its day still lacks."""
        wanted = (stack[:, number] == 0).any(axis=0)
        for limit in (clear(number), self._footprint(scene)):
            if limit is not None:
                wanted &= limit
        if not wanted.any():
            return
        pool = request_pool(self.requests)
        for group in self._groups(scene, bands, offset):
            raster, level, nodata, shift, positions = group
            projection = self._projection(raster.header.crs)
            blocks = Blocks.of(level, needed_blocks(projection, wanted, level, resampling))
            if blocks is None:
                continue
            rasters = [self._raster(scene, bands[position]) for position in positions]
            parts = tuple(pool.submit(one.fetch, level, blocks.needed) for one in rasters)
            header = raster.header
            yield _Read(number, scene, positions, header.crs, header.dtype, level, blocks, nodata, shift, wanted, parts)

    def _groups(
        self, scene: Scene, bands: Sequence[str], offset: float | None
    ) -> list[tuple[Raster, Level, int, int, tuple[int, ...]]]:
        """Bands of a scene that have grid, nodata value and shift in common, with a raster that stands for them."""
        groups: dict[Any, tuple[Raster, Level, list[int]]] = {}
        for position, band in enumerate(bands):
            raster = self._raster(scene, band)
            level = raster.header.level_for(self.grid.resolution)
            nodata = scene.bands[band].nodata or raster.header.nodata
            shift = 0 if offset is None else round((scene.bands[band].offset - offset) / SCALE)
            key = (raster.header.crs, raster.header.dtype, level, nodata, shift)
            groups.setdefault(key, (raster, level, []))[2].append(position)
        return [
            (raster, level, nodata, shift, tuple(positions))
            for (_, _, _, nodata, shift), (raster, level, positions) in groups.items()
        ]

    def _end(self, stack: NDArray[Any], read: _Read, resampling: str) -> None:
        """Decode what was fetched, and resample it into its day."""
        values = np.zeros((read.blocks.height, read.blocks.width, len(read.bands)), read.dtype)
        if values.dtype.itemsize > stack.dtype.itemsize:
            raise SceneError(f"{read.scene.id} holds {values.dtype}, other scenes of its day {stack.dtype}")
        for position, part in enumerate(read.parts):
            fetched = part.result()
            self.bytes_read += fetched.size
            fetched.decode_into(values[..., position], read.blocks)
        resample_into(
            stack[:, read.day],
            read.bands,
            read.wanted,
            self._projection(read.crs),
            values,
            read.blocks,
            read.level,
            resampling=resampling,
            nodata=read.nodata,
            shift=read.shift,
        )

    def _projection(self, crs: str) -> Projection:
        if crs not in self._projections:
            self._projections[crs] = project(self.grid, self.window, crs)
        return self._projections[crs]

    def _footprint(self, scene: Scene) -> NDArray[np.bool_] | None:
        """Pixels within the scene's grown footprint, bool (y, x); None where all are."""
        if scene.id not in self._footprints:
            reach = scene.reach()
            mask = None
            if not reach.covers(self.grid.window_box(self.window)):
                lon = self.grid.longitude(np.arange(self.window.x0, self.window.x1))
                lat = self.grid.latitude(np.arange(self.window.y0, self.window.y1))
                mask = _contains(reach, lon, lat)
            self._footprints[scene.id] = mask
        return self._footprints[scene.id]


def _contains(
    reach: shapely.geometry.base.BaseGeometry, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Pixel centres within a polygon, bool (y, x), asked for only inside its bounds."""
    west, south, east, north = reach.bounds
    cols = np.flatnonzero((lon >= west) & (lon <= east))
    rows = np.flatnonzero((lat >= south) & (lat <= north))
    mask = np.zeros((len(lat), len(lon)), bool)
    if not len(rows) or not len(cols):
        return mask
    shapely.prepare(reach)
    # Cell by cell, since only a few lie across the outline, and asking of a pixel costs as much as of a cell.
    tops, lefts = (np.arange(part[0], part[-1] + 1, _CELL) for part in (rows, cols))
    bottoms, rights = (np.minimum(starts + _CELL, part[-1] + 1) for starts, part in ((tops, rows), (lefts, cols)))
    boxes = shapely.box(lon[lefts], lat[bottoms - 1][:, None], lon[rights - 1], lat[tops][:, None])
    inside, met = shapely.contains_properly(reach, boxes), shapely.intersects(reach, boxes)
    for i, j in np.argwhere(met):
        cell = slice(tops[i], bottoms[i]), slice(lefts[j], rights[j])
        mask[cell] = inside[i, j] or shapely.contains_xy(reach, *np.meshgrid(lon[cell[1]], lat[cell[0]]))
    return mask


def unpacked(bits: NDArray[np.uint8], width: int) -> NDArray[np.bool_]:
    """Bits (y, width / 8) as bool (y, width)."""
    mask: NDArray[np.bool_] = np.unpackbits(bits, axis=1, count=width).view(bool)
    return mask


def days_to_numpy(days: Sequence[SolarDay]) -> NDArray[np.datetime64]:
    """Dates as datetime64[ns] (day,), as xarray wants them."""
    return np.array([day.date for day in days], "datetime64[ns]")
