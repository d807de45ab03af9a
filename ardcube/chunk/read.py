"""Read bands of solar days onto a window of the cube's grid."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ardcube.catalog.scene import SCALE, Scene
from ardcube.chunk.solar_days import SolarDay
from ardcube.config import Access, Reader
from ardcube.errors import SceneError, TransientError
from ardcube.extent.grid import Grid, Window
from ardcube.kernels.layout import LANES
from ardcube.pixels.bitmask import Bits, packed, unpacked
from ardcube.pixels.footprint import PixelCentres
from ardcube.pixels.projection import Projection, project
from ardcube.pixels.resample import needed_blocks, resample_window
from ardcube.planning.memory import DECODED_AHEAD, FILES_AHEAD
from ardcube.raster.check_item import check_stated
from ardcube.raster.decode import Encoding, FetchedBand, SourcePixels
from ardcube.raster.header import Blocks, Header
from ardcube.raster.open import Raster, forget, open_raster
from ardcube.runtime.threads import DEFAULT_THREADS, Threads, on_a_core


@dataclass(frozen=True, slots=True)
class _Request:
    """Bands of solar days, and the stack that they are read into."""

    stack: NDArray[Any]
    """(band, day, y, x); 0 where no scene has given a pixel yet."""
    days: Sequence[SolarDay]
    bands: Sequence[str]
    resampling: str
    clear: Sequence[Bits] | None = None
    """Pixels to read of each day; None reads all."""
    offset: float | None = None
    """Offset of the cube's reflectance; None for categorical bands, which are never shifted."""

    def missing(self, day: int, scene: Scene, footprint: Bits | None) -> Bits:
        """Return the pixels of a day that a scene may still give."""
        limits = [bits for bits in (footprint, None if self.clear is None else self.clear[day]) if bits is not None]
        if scene is not self.days[day].scenes[0]:
            limits.append(packed((self.stack[:, day] == 0).any(axis=0)))
        return reduce(np.bitwise_and, limits or [packed(np.ones(self.stack.shape[2:], bool))])


@dataclass(frozen=True, slots=True)
class _SceneBands:
    """Bands of one scene that share a grid and an encoding, and are read and resampled together."""

    day: int
    """Position in the stack."""
    scene: Scene
    bands: tuple[int, ...]
    """Positions in the stack."""
    header: Header
    blocks: Blocks
    encoding: Encoding
    wanted: Bits
    """Output pixels to compute."""


@dataclass(slots=True)
class ChunkReader:
    """Reads scenes onto one window of the grid; projections and footprints are computed once."""

    grid: Grid
    window: Window
    access: Access = "unsigned"
    reader: Reader = "auto"
    threads: Threads = DEFAULT_THREADS
    """Threads that fetch and decode while the caller resamples."""
    bytes_read: int = 0
    """Bytes fetched so far."""
    _projections: dict[str, Projection] = field(default_factory=dict)
    """By CRS."""
    _footprints: dict[str, Bits | None] = field(default_factory=dict)
    """By scene id; None if all pixels are within the scene's reach."""
    _centres: PixelCentres | None = None

    def crop(self, window: Window) -> ChunkReader:
        """Return the reader of a window within this one; it shares projections and footprints."""
        inside = window.relative_to(self.window).slices
        width = self.window.shape[1]
        return ChunkReader(
            self.grid,
            window,
            self.access,
            self.reader,
            self.threads,
            0,
            {crs: at.crop(self.grid.to_global(window)) for crs, at in self._projections.items()},
            {
                scene: None if bits is None else packed(unpacked(bits, width)[inside])
                for scene, bits in self._footprints.items()
            },
        )

    def categories(self, days: Sequence[SolarDay], band: str) -> NDArray[Any]:
        """Return digital numbers of a categorical band, nearest pixel: uint8 or uint16 (day, y, x), 0 is no data."""
        opened = [(scene, future) for day in days for scene in day.scenes for future in self._open(scene, [band])]
        dtypes = {_result(scene, future).header.dtype for scene, future in opened}
        stack = np.zeros((1, len(days), *self.window.shape), np.uint8 if dtypes <= {"uint8"} else np.uint16)
        self._fill(_Request(stack, days, (band,), "nearest"))
        classes: NDArray[Any] = stack[0]
        return classes

    def reflectance(
        self,
        days: Sequence[SolarDay],
        bands: Sequence[str],
        clear: Sequence[Bits],
        resampling: str,
        offset: float,
        stack: NDArray[np.uint16],
    ) -> None:
        """Fill a stack with digital numbers of reflectance bands, only where the days are clear.

        Parameters
        ----------
        days : sequence of SolarDay
            Observations.
        bands : sequence of str
            Names as in the scenes. Bands of one grid are resampled together.
        clear : sequence of Bits
            Pixels to read of each day.
        resampling : str
            `nearest`, `bilinear` or `cubic`.
        offset : float
            Offset of the cube's reflectance. Digital numbers of scenes with another offset are shifted.
        stack : uint16 (band, day, y, x)
            Zeros; filled in place.
        """
        self._fill(_Request(stack, days, bands, resampling, clear, offset))

    def _fill(self, request: _Request) -> None:
        """Read the first scene of each day, then from the next scenes only the pixels that are still missing.

        While one scene is resampled, the next scenes are decoded, and the scenes after them fetched.
        """
        resample, width = on_a_core(resample_window), self.window.shape[1]
        scenes_ahead = max(1, FILES_AHEAD // len(request.bands))
        for order in range(max((len(day.scenes) for day in request.days), default=0)):
            scenes = [(n, day.scenes[order]) for n, day in enumerate(request.days) if order < len(day.scenes)]
            needed = [(day, scene) for day, scene in scenes if self._missing(request, day, scene).any()]
            opened = [(day, scene, self._open(scene, request.bands)) for day, scene in needed]
            fetching = (fetch for day, scene, files in opened for fetch in self._fetch(request, day, scene, files))
            decoding = (self._decode(request, *fetch) for fetch in _ahead(fetching, scenes_ahead))
            for read, pixels in _ahead(decoding, DECODED_AHEAD):
                source, wanted = _result(read.scene, pixels), unpacked(read.wanted, width)
                projection = self._projection(read.header.crs)
                resample(request.stack[:, read.day], read.bands, wanted, projection, source, request.resampling)

    def _missing(self, request: _Request, day: int, scene: Scene) -> Bits:
        return request.missing(day, scene, self._footprint(scene))

    def _open(self, scene: Scene, bands: Sequence[str]) -> list[Future[Raster]]:
        """Start to read the headers that this process does not know yet."""
        return [self.threads.fetch(self._open_checked, scene, band) for band in bands]

    def _open_checked(self, scene: Scene, band: str) -> Raster:
        """Open the file of a band; raise SceneError if it is not what its item states."""
        asset = scene.bands[band]
        raster = open_raster(asset.href, scene.revision, self.access, self.reader, resolution=self.grid.resolution)
        check_stated(scene.id, band, asset, raster.header)
        return raster

    def _fetch(
        self, request: _Request, day: int, scene: Scene, files: Sequence[Future[Raster]]
    ) -> Iterator[tuple[_SceneBands, list[Future[FetchedBand]]]]:
        """Start to fetch the blocks of a scene under the missing pixels, grouped by grid and encoding."""
        rasters = [_result(scene, file) for file in files]
        wanted = self._missing(request, day, scene)
        groups: dict[Any, list[int]] = {}
        for position, (band, raster) in enumerate(zip(request.bands, rasters, strict=True)):
            header, asset = raster.header, scene.bands[band]
            shift = 0 if request.offset is None else round((asset.offset - request.offset) / SCALE)
            encoding = Encoding(asset.nodata or header.nodata, shift)
            key = type(raster), header.crs, header.dtype, header.level_for(self.grid.resolution), encoding
            groups.setdefault(key, []).append(position)
        for (_, crs, _, level, encoding), members in groups.items():
            blocks = needed_blocks(self._projection(crs), wanted, level, request.resampling)
            if blocks is None:
                continue
            for bands in (tuple(members[k : k + LANES]) for k in range(0, len(members), LANES)):
                first = rasters[bands[0]]
                start = self.threads.fetch_and_decode if first.decodes else self.threads.fetch
                fetching = [start(rasters[band].fetch, blocks) for band in bands]
                yield _SceneBands(day, scene, bands, first.header, blocks, encoding, wanted), fetching

    def _decode(
        self, request: _Request, read: _SceneBands, fetching: Sequence[Future[FetchedBand]]
    ) -> tuple[_SceneBands, Future[SourcePixels]]:
        """Start to decode fetched blocks."""
        stack_dtype = request.stack.dtype
        if np.dtype(read.header.dtype).itemsize > stack_dtype.itemsize:
            error = SceneError(f"{read.scene.id} holds {read.header.dtype}, other scenes of its day {stack_dtype}")
            error.scene = read.scene.id
            raise error
        fetched = [_result(read.scene, band) for band in fetching]
        self.bytes_read += sum(band.size for band in fetched)
        return read, self.threads.decode(
            SourcePixels.decode,
            fetched,
            read.blocks,
            read.header.dtype,
            read.encoding,
            find_holes=request.resampling != "nearest",
        )

    def _projection(self, crs: str) -> Projection:
        if crs not in self._projections:
            self._projections[crs] = project(self.grid, self.window, crs)
        return self._projections[crs]

    def _footprint(self, scene: Scene) -> Bits | None:
        """Return the pixels within the scene's reach; None if all pixels are."""
        if scene.id not in self._footprints:
            reach = scene.reach()
            bits = None
            if not reach.covers(self.grid.window_box(self.window)):
                self._centres = self._centres or PixelCentres.of(self.grid, self.window)
                bits = packed(self._centres.within(reach))
            self._footprints[scene.id] = bits
        return self._footprints[scene.id]


_Item = TypeVar("_Item")


def _result(scene: Scene, future: Future[_Item]) -> _Item:
    """Return the result of reading a scene; an error names the scene, and its files are opened again next time."""
    try:
        return future.result()
    except (SceneError, TransientError) as error:
        error.scene = scene.id
        for asset in scene.bands.values():
            forget(asset.href)
        raise


def _ahead(items: Iterable[_Item], count: int) -> Iterator[_Item]:
    """Yield items while the next `count` items are already started."""
    started: deque[_Item] = deque()
    for item in items:
        started.append(item)
        if len(started) > count:
            yield started.popleft()
    while started:
        yield started.popleft()
