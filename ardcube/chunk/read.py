"""From scenes to observations: each solar day of a chunk on the cube's grid."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import date
from functools import reduce
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ardcube.catalog.scene import SCALE, Scene
from ardcube.config import Access, Reader
from ardcube.errors import SceneError, TransientError
from ardcube.extent.grid import Grid, Window
from ardcube.kernels.layout import LANES
from ardcube.pixels.bitmask import Bits, packed, unpacked
from ardcube.pixels.footprint import PixelCentres
from ardcube.pixels.projection import Projection, project
from ardcube.pixels.resample import needed_blocks, resample_window
from ardcube.plan.memory import DECODED_AHEAD, FILES_AHEAD
from ardcube.raster.check_item import check_stated
from ardcube.raster.decode import Encoding, FetchedBand, SourcePixels
from ardcube.raster.header import Blocks, Header
from ardcube.raster.open import Raster, forget, open_raster
from ardcube.runtime.threads import DEFAULT_THREADS, Threads, on_a_core


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
    """What is read of bands of one scene that share a grid."""

    day: int
    scene: Scene
    bands: tuple[int, ...]
    """Positions in the output."""
    header: Header
    blocks: Blocks
    encoding: Encoding
    wanted: Bits


@dataclass(slots=True)
class ChunkReader:
    """Reads bands of scenes onto one window of the grid; projections and footprints are worked out once."""

    grid: Grid
    window: Window
    access: Access = "unsigned"
    reader: Reader = "auto"
    threads: Threads = DEFAULT_THREADS
    """That fetch and decode beside the caller, who resamples."""
    bytes_read: int = 0
    """Bytes fetched so far."""
    _projections: dict[str, Projection] = field(default_factory=dict)
    _footprints: dict[str, Bits | None] = field(default_factory=dict)
    """By scene; None where all pixels are within."""
    _centres: PixelCentres | None = None

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
            self.threads,
            0,
            {crs: projection.crop(window) for crs, projection in self._projections.items()},
            {key: None if bits is None else self._cropped(bits, core) for key, bits in self._footprints.items()},
        )

    def _cropped(self, bits: Bits, core: tuple[slice, slice]) -> Bits:
        return packed(unpacked(bits, self.window.shape[1])[core])

    def categories(self, days: Sequence[SolarDay], band: str) -> NDArray[Any]:
        """Raw digital numbers of a categorical band, nearest pixel: uint8 or uint16 (day, y, x), 0 is none."""
        opened = [(scene, future) for day in days for scene in day.scenes for future in self._open(scene, [band])]
        dtypes = {_of(scene, future).header.dtype for scene, future in opened}
        stack = np.zeros((1, len(days), *self.window.shape), np.uint8 if dtypes <= {"uint8"} else np.uint16)
        self._fill(stack, days, (band,), None, "nearest", None)
        observed: NDArray[Any] = stack[0]
        return observed

    def reflectance(
        self,
        days: Sequence[SolarDay],
        bands: Sequence[str],
        clear: Sequence[Bits],
        resampling: str,
        offset: float,
        stack: NDArray[np.uint16],
    ) -> None:
        """Fill a stack with digital numbers of reflectance bands where it is clear.

        Parameters
        ----------
        days : sequence of SolarDay
            Observations.
        bands : sequence of str
            As in the scenes; bands of one grid are resampled together.
        clear : sequence of Bits
            Pixels to read of each day.
        resampling : str
            `nearest`, `bilinear` or `cubic`.
        offset : float
            Offset of the cube's reflectance; scenes with another one are shifted.
        stack : uint16 (band, day, y, x)
            Zeros, which stay where nothing is clear.
        """
        self._fill(stack, days, bands, clear, resampling, offset)

    def _open(self, scene: Scene, bands: Sequence[str]) -> list[Future[Raster]]:
        """Read the headers that this process does not know yet, many at once."""
        return [self.threads.fetch(self._open_stated, scene, band) for band in bands]

    def _open_stated(self, scene: Scene, band: str) -> Raster:
        """Open a file and hold it to what its item says."""
        asset = scene.bands[band]
        raster = open_raster(asset.href, scene.revision, self.access, self.reader, resolution=self.grid.resolution)
        check_stated(scene.id, band, asset, raster.header)
        return raster

    def _fill(
        self,
        stack: NDArray[Any],
        days: Sequence[SolarDay],
        bands: Sequence[str],
        clear: Sequence[Bits] | None,
        resampling: str,
        offset: float | None,
    ) -> None:
        """Fill (band, day, y, x): first the first scene of each day, then what the next ones still have to give.

        While one scene is resampled, the next ones are decoded, and those after them fetched.
        """

        def lacking(number: int, scene: Scene) -> Bits:
            """Pixels that a scene might give to its day; to start with, nothing is there."""
            footprint = self._footprint(scene)
            limits = [bits for bits in (footprint, None if clear is None else clear[number]) if bits is not None]
            if scene is not days[number].scenes[0]:
                limits.append(packed((stack[:, number] == 0).any(axis=0)))
            return reduce(np.bitwise_and, limits or [packed(np.ones(self.window.shape, bool))])

        resample, width = on_a_core(resample_window), self.window.shape[1]
        scenes_ahead = max(1, FILES_AHEAD // len(bands))
        for place in range(max((len(day.scenes) for day in days), default=0)):
            turn = [(number, day.scenes[place]) for number, day in enumerate(days) if place < len(day.scenes)]
            useful = [(number, scene) for number, scene in turn if lacking(number, scene).any()]
            opened = [(number, scene, self._open(scene, bands)) for number, scene in useful]
            started = (
                fetch
                for number, scene, rasters in opened
                for fetch in self._fetch(number, scene, bands, rasters, lacking(number, scene), resampling, offset)
            )
            decoding = (self._decode(*fetch, stack.dtype, resampling) for fetch in _ahead(started, scenes_ahead))
            for read, pixels in _ahead(decoding, DECODED_AHEAD):
                source, wanted = _of(read.scene, pixels), unpacked(read.wanted, width)
                projection = self._projection(read.header.crs)
                resample(stack[:, read.day], read.bands, wanted, projection, source, resampling)

    def _fetch(
        self,
        number: int,
        scene: Scene,
        bands: Sequence[str],
        opened: Sequence[Future[Raster]],
        wanted: Bits,
        resampling: str,
        offset: float | None,
    ) -> Iterator[tuple[_Read, list[Future[FetchedBand]]]]:
        """Start to fetch the blocks of a scene that the wanted pixels reach."""
        rasters = [_of(scene, future) for future in opened]
        groups: dict[Any, list[int]] = {}
        for position, (band, raster) in enumerate(zip(bands, rasters, strict=True)):
            header = raster.header
            level = header.level_for(self.grid.resolution)
            nodata = scene.bands[band].nodata or header.nodata
            shift = 0 if offset is None else round((scene.bands[band].offset - offset) / SCALE)
            key = type(raster), header.crs, header.dtype, level, Encoding(nodata, shift)
            groups.setdefault(key, []).append(position)
        for (_, crs, _, level, encoding), members in groups.items():
            blocks = needed_blocks(self._projection(crs), wanted, level, resampling)
            if blocks is None:
                continue
            for positions in (tuple(members[k : k + LANES]) for k in range(0, len(members), LANES)):
                header = rasters[positions[0]].header
                begin = self.threads.fetch_and_decode if rasters[positions[0]].decodes else self.threads.fetch
                fetching = [begin(rasters[position].fetch, blocks) for position in positions]
                yield _Read(number, scene, positions, header, blocks, encoding, wanted), fetching

    def _decode(
        self, read: _Read, fetching: Sequence[Future[FetchedBand]], dtype: np.dtype[Any], resampling: str
    ) -> tuple[_Read, Future[SourcePixels]]:
        """Start to decode what was fetched."""
        if np.dtype(read.header.dtype).itemsize > dtype.itemsize:
            error = SceneError(f"{read.scene.id} holds {read.header.dtype}, other scenes of its day {dtype}")
            error.scene = read.scene.id
            raise error
        fetched = [_of(read.scene, future) for future in fetching]
        self.bytes_read += sum(band.size for band in fetched)
        return read, self.threads.decode(
            SourcePixels.decode,
            fetched,
            read.blocks,
            read.header.dtype,
            read.encoding,
            find_holes=resampling != "nearest",
        )

    def _projection(self, crs: str) -> Projection:
        if crs not in self._projections:
            self._projections[crs] = project(self.grid, self.window, crs)
        return self._projections[crs]

    def _footprint(self, scene: Scene) -> Bits | None:
        """Pixels within the scene's grown footprint; None where all are."""
        if scene.id not in self._footprints:
            reach = scene.reach()
            bits = None
            if not reach.covers(self.grid.window_box(self.window)):
                self._centres = self._centres or PixelCentres.of(self.grid, self.window)
                bits = packed(self._centres.within(reach))
            self._footprints[scene.id] = bits
        return self._footprints[scene.id]


_Item = TypeVar("_Item")


def _of(scene: Scene, future: Future[_Item]) -> _Item:
    """What reading a scene gave; an error then tells which one it was."""
    try:
        return future.result()
    except (SceneError, TransientError) as error:
        error.scene = scene.id
        for asset in scene.bands.values():
            forget(asset.href)
        raise


def _ahead(items: Iterable[_Item], count: int) -> Iterator[_Item]:
    """Yield items while the next `count` are already begun."""
    begun: deque[_Item] = deque()
    for item in items:
        begun.append(item)
        if len(begun) > count:
            yield begun.popleft()
    while begun:
        yield begun.popleft()


def days_to_numpy(days: Sequence[SolarDay]) -> NDArray[np.datetime64]:
    """Dates as datetime64[ns] (day,), as xarray wants them."""
    return np.array([day.date for day in days], "datetime64[ns]")
