"""Read bands of solar days onto a window of the cube's grid."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ardcube.catalog.scene import SCALE, BandAsset, Scene
from ardcube.config import AssetAccess, Reader
from ardcube.errors import AccessError, SceneError, TransientError
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.kernels.layout import LANES
from ardcube.pixels.bitmask import Bits, packed, unpacked
from ardcube.pixels.footprint import PixelCentres
from ardcube.pixels.nodes import SourceAxes, axes_of
from ardcube.pixels.projection import Projection, project
from ardcube.pixels.resample import needed_blocks, resample_window
from ardcube.planning.memory import DECODED_AHEAD, FILES_AHEAD
from ardcube.raster.bad_files import open_unless_bad
from ardcube.raster.check_item import check_stated
from ardcube.raster.decode import Encoding, FetchedBand, SourcePixels
from ardcube.raster.header import Blocks, Header, Level
from ardcube.raster.levels import category_level, pixel_at, reflectance_levels
from ardcube.raster.longitudes import moved, turns
from ardcube.raster.open import Raster, forget, open_raster
from ardcube.runtime.threads import DEFAULT_THREADS, Threads, on_a_core


@dataclass(frozen=True, slots=True)
class SceneArea:
    """A scene, and the pixels of a window that it may give."""

    scene: Scene
    pixels: Bits

    def rows(self, rows: slice) -> SceneArea:
        """Return the part in some rows of the window."""
        return SceneArea(self.scene, self.pixels[rows])


@dataclass(frozen=True, slots=True)
class _Request:
    """Bands of observations, and the stack that they are read into."""

    stack: NDArray[Any]
    """(band, observation, y, x); 0 where no scene has given a pixel yet."""
    observations: Sequence[Sequence[SceneArea]]
    """Scenes of each observation, in order."""
    bands: Sequence[str]
    resampling: str
    offset: float | None = None
    """Offset of the cube's reflectance; None for categorical bands, which are never shifted."""

    def missing(self, day: int, order: int) -> Bits:
        """Return the pixels that a scene of an observation may still give."""
        pixels = self.observations[day][order].pixels
        return pixels & packed((self.stack[:, day] == 0).any(axis=0)) if order else pixels


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
    """Reads scenes onto one window of the grid; projections and reaches are computed once."""

    grid: Grid
    window: Window
    bands: tuple[str, ...] = ()
    """Reflectance bands of the cube. The levels of a scene's files are chosen for all of them together."""
    access: AssetAccess = "unsigned"
    reader: Reader = "auto"
    threads: Threads = DEFAULT_THREADS
    """Threads that fetch and decode while the caller resamples."""
    bytes_read: int = 0
    """Bytes fetched so far."""
    _projections: dict[SourceAxes, Projection] = field(default_factory=dict)
    _reaches: dict[str, Bits] = field(default_factory=dict)
    """By scene id."""
    _centres: PixelCentres | None = None
    _all: Bits | None = None
    """All pixels; shared by the scenes that reach all of them."""

    def crop(self, window: Window) -> ChunkReader:
        """Return the reader of a window within this one; it shares projections."""
        projections = {axes: at.crop(self.grid.to_global(window)) for axes, at in self._projections.items()}
        return replace(self._other(window), _projections=projections)

    def grow(self, halo: int) -> ChunkReader:
        """Return the reader of this window and `halo` pixels around it."""
        return self if halo == 0 else self._other(self.window.grow(halo))

    def _other(self, window: Window) -> ChunkReader:
        return ChunkReader(self.grid, window, self.bands, self.access, self.reader, self.threads)

    def within_reach(self, scene: Scene) -> Bits:
        """Return the pixels whose centre is within a scene's reach."""
        if scene.id not in self._reaches:
            reach = scene.reach()
            if reach.covers(self.grid.window_outline(self.window)):
                self._all = packed(np.ones(self.window.shape, bool)) if self._all is None else self._all
                bits = self._all
            else:
                self._centres = self._centres or PixelCentres.of(self.grid, self.window)
                bits = packed(self._centres.within(reach))
            self._reaches[scene.id] = bits
        return self._reaches[scene.id]

    def categories(self, observations: Sequence[Sequence[Scene]], band: str) -> NDArray[Any]:
        """Return digital numbers of a categorical band, nearest pixel, of the first scene that has one.

        Returns
        -------
        uint8 or uint16 (observation, y, x)
            0 is no data.
        """
        opened = [(scene, self.open(scene, band)) for scenes in observations for scene in scenes]
        dtypes = {result_of(scene, file).header.dtype for scene, file in opened}
        shape = (1, len(observations), *self.window.shape)
        stack = np.zeros(shape, np.uint8 if dtypes <= {"uint8"} else np.uint16)
        areas = [[SceneArea(scene, self.within_reach(scene)) for scene in scenes] for scenes in observations]
        self._fill(_Request(stack, areas, (band,), "nearest"))
        classes: NDArray[Any] = stack[0]
        return classes

    def reflectance(
        self,
        observations: Sequence[Sequence[SceneArea]],
        bands: Sequence[str],
        resampling: str,
        offset: float,
        stack: NDArray[np.uint16],
    ) -> None:
        """Fill a stack with digital numbers of reflectance bands: per pixel and band, those of the first valid scene.

        Parameters
        ----------
        observations : sequence of sequence of SceneArea
            Scenes of each observation, in order, and the pixels to read of each.
        bands : sequence of str
            Names as in the scenes. Bands of one grid are resampled together.
        resampling : str
            `nearest`, `bilinear` or `cubic`.
        offset : float
            Offset of the cube's reflectance. Digital numbers of scenes with another offset are shifted.
        stack : uint16 (band, observation, y, x)
            Zeros; filled in place.
        """
        self._fill(_Request(stack, observations, bands, resampling, offset))

    def _fill(self, request: _Request) -> None:
        """Read the first scene of each observation, then from the next scenes only the pixels that are still missing.

        While one scene is resampled, the next scenes are decoded, and the scenes after them fetched.
        """
        resample, width = on_a_core(resample_window), self.window.shape[1]
        scenes_ahead = max(1, FILES_AHEAD // len(request.bands))
        for order in range(max(map(len, request.observations), default=0)):
            days = [day for day, scenes in enumerate(request.observations) if order < len(scenes)]
            needed = [day for day in days if request.missing(day, order).any()]
            scenes = [request.observations[day][order].scene for day in needed]
            together = request.bands if request.offset is None else dict.fromkeys((*request.bands, *self.bands))
            opened = [{band: self.open(scene, band) for band in together} for scene in scenes]
            fetching = (
                fetch
                for day, files in zip(needed, opened, strict=True)
                for fetch in self._fetch(request, day, order, files)
            )
            decoding = (self._decode(request, *fetch) for fetch in ahead(fetching, scenes_ahead))
            for read, pixels in ahead(decoding, DECODED_AHEAD):
                source, wanted = result_of(read.scene, pixels), unpacked(read.wanted, width)
                projection = self.projection(read.header)
                resample(request.stack[:, read.day], read.bands, wanted, projection, source, request.resampling)

    def open(self, scene: Scene, band: str) -> Future[Raster]:
        """Start to read the header of a band, if this process does not know it yet."""
        return self.threads.fetch(self._open_checked, scene, band)

    def _open_checked(self, scene: Scene, band: str) -> Raster:
        """Open the file of a band; raise SceneError if it is missing, or is not what its item states."""
        asset = scene.bands.get(band)
        if asset is None:
            raise SceneError(f"{scene.id}: its item has no asset for band {band}; the scene cannot be used")
        return open_unless_bad(asset.href, scene.revision, partial(self._opened, scene, band, asset))

    def _opened(self, scene: Scene, band: str, asset: BandAsset) -> Raster:
        raster = open_raster(asset.href, scene.revision, self.access, self.reader, lattice=self.grid.lattice)
        check_stated(scene.id, band, asset, raster.header)
        return raster

    def placed(self, headers: Mapping[str, Header]) -> Iterator[dict[str, Header]]:
        """Yield the headers of a scene's bands at each multiple of 360 degrees at which one of them meets the grid."""
        crs, longitudes = self.grid.lattice.crs, self.grid.longitudes
        for turn in sorted({turn for header in headers.values() for turn in turns(header, crs, longitudes)}):
            yield {band: moved(header, turn) for band, header in headers.items()}

    def fetch(self, raster: Raster, blocks: Blocks) -> Future[FetchedBand]:
        """Start to fetch blocks of a band."""
        start = self.threads.fetch_and_decode if raster.decodes else self.threads.fetch
        return start(raster.fetch, blocks)

    def fetched(self, scene: Scene, fetching: Sequence[Future[FetchedBand]]) -> list[FetchedBand]:
        """Wait for the blocks of bands, and count their bytes."""
        bands = [result_of(scene, band) for band in fetching]
        self.bytes_read += sum(band.size for band in bands)
        return bands

    def _fetch(
        self, request: _Request, day: int, order: int, files: Mapping[str, Future[Raster]]
    ) -> Iterator[tuple[_SceneBands, list[Future[FetchedBand]]]]:
        """Start to fetch the blocks of a scene under the missing pixels, grouped by grid and encoding."""
        scene, wanted = request.observations[day][order].scene, request.missing(day, order)
        opened = {band: result_of(scene, file) for band, file in files.items()}
        for headers in self.placed({band: raster.header for band, raster in opened.items()}):
            for bands, blocks, encoding in self._groups(request, scene, opened, headers, wanted):
                names = [request.bands[band] for band in bands]
                fetching = [self.fetch(opened[name], blocks) for name in names]
                yield _SceneBands(day, scene, bands, headers[names[0]], blocks, encoding, wanted), fetching

    def _groups(
        self,
        request: _Request,
        scene: Scene,
        opened: Mapping[str, Raster],
        headers: Mapping[str, Header],
        wanted: Bits,
    ) -> Iterator[tuple[tuple[int, ...], Blocks, Encoding]]:
        """Yield positions of the bands that are read together, their blocks under the wanted pixels, their encoding."""
        levels = self._levels(request, scene, headers)
        groups: dict[Any, list[int]] = {}
        for position, band in enumerate(request.bands):
            header, asset = headers[band], scene.bands[band]
            shift = 0.0 if request.offset is None else round((asset.offset - request.offset) / SCALE, 3)
            encoding = Encoding.of(header.nodata, asset.nodata, shift)
            key = type(opened[band]), axes_of(self.grid.lattice, header), header.dtype, levels[band], encoding
            groups.setdefault(key, []).append(position)
        for (_, axes, _, level, encoding), members in groups.items():
            blocks = needed_blocks(self.projected(axes), wanted, level, request.resampling)
            if blocks is not None:
                yield from ((tuple(members[k : k + LANES]), blocks, encoding) for k in range(0, len(members), LANES))

    def _levels(self, request: _Request, scene: Scene, headers: Mapping[str, Header]) -> dict[str, Level]:
        """Return the level to read of each band."""
        pixels = [pixel_at(self.grid.lattice, header) for header in headers.values()]
        if request.offset is None:
            levels = [category_level(header, pixel) for header, pixel in zip(headers.values(), pixels, strict=True)]
        else:
            levels = reflectance_levels(list(headers.values()), [scene.bands[band].nodata for band in headers], pixels)
        return dict(zip(headers, levels, strict=True))

    def _decode(
        self, request: _Request, read: _SceneBands, fetching: Sequence[Future[FetchedBand]]
    ) -> tuple[_SceneBands, Future[SourcePixels]]:
        """Start to decode fetched blocks."""
        stack_dtype = request.stack.dtype
        if np.dtype(read.header.dtype).itemsize > stack_dtype.itemsize:
            error = SceneError(f"{read.scene.id} holds {read.header.dtype}, other scenes of its day {stack_dtype}")
            error.scene = read.scene.id
            raise error
        return read, self.threads.decode(
            SourcePixels.decode,
            self.fetched(read.scene, fetching),
            read.blocks,
            read.header.dtype,
            read.encoding,
            find_holes=request.resampling != "nearest",
        )

    def projection(self, header: Header) -> Projection:
        """Return the projection of the window into the CRS of a raster."""
        return self.projected(axes_of(self.grid.lattice, header))

    def projected(self, axes: SourceAxes) -> Projection:
        """Return the projection of the window into a CRS, computed once."""
        if axes not in self._projections:
            self._projections[axes] = project(self.grid.lattice, self.grid.to_global(self.window), axes)
        return self._projections[axes]


_Item = TypeVar("_Item")


def result_of(scene: Scene, future: Future[_Item]) -> _Item:
    """Return the result of reading a scene; an error names the scene, and its files are opened again next time."""
    try:
        return future.result()
    except (SceneError, TransientError, AccessError) as error:
        error.scene = scene.id
        for asset in scene.bands.values():
            forget(asset.href)
        raise


def ahead(items: Iterable[_Item], count: int) -> Iterator[_Item]:
    """Yield items while the next `count` items are already started."""
    started: deque[_Item] = deque()
    for item in items:
        started.append(item)
        if len(started) > count:
            yield started.popleft()
    while started:
        yield started.popleft()
