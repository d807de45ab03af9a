"""Read files of scenes under a window of the cube's grid."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np

from ardcube.catalog.scene import BandAsset, Scene
from ardcube.config import AssetAccess, Reader
from ardcube.errors import AccessError, ReplacedError, SceneError, TransientError
from ardcube.extent.grid import Grid
from ardcube.extent.window import Window
from ardcube.pixels.bitmask import Bits, packed
from ardcube.pixels.footprint import PixelCentres
from ardcube.pixels.nodes import SourceAxes, axes_of
from ardcube.pixels.projection import Projection, project
from ardcube.planning.memory import DECODED_AHEAD
from ardcube.raster.bad_files import open_unless_bad
from ardcube.raster.check_item import check_footprint, check_stated
from ardcube.raster.decode import FetchedBand
from ardcube.raster.header import Blocks, Header
from ardcube.raster.longitudes import moved, turns
from ardcube.raster.open import Raster, forget, forget_stored, open_raster
from ardcube.runtime.at_once import keeps_cores_busy
from ardcube.runtime.threads import DEFAULT_THREADS, Threads


@dataclass(slots=True)
class ChunkReader:
    """Opens and fetches files of scenes for one window of the grid; projections and reaches are computed once."""

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
        if band == next(iter(self.bands), None):  # the one whose file the search compares with the footprint
            check_footprint(scene, asset.href, raster.header)
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
        if isinstance(error, ReplacedError):
            forget_stored()  # each further replaced file would take another attempt
        raise


def ahead(items: Iterable[_Item], count: int) -> Iterator[_Item]:
    """Yield items while the next `count` items are already started."""
    return _ahead(items, lambda: count)


def decoded_ahead(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield scenes while the next ones are decoded, unless other chunks keep the cores busy.

    Decoding ahead would then take the memory of a scene for each chunk, and no chunk would be built sooner.
    """
    return _ahead(items, lambda: 0 if keeps_cores_busy() else DECODED_AHEAD)


def _ahead(items: Iterable[_Item], count: Callable[[], int]) -> Iterator[_Item]:
    started: deque[_Item] = deque()
    for item in items:
        started.append(item)
        del item  # the caller decides how long an item exists
        while len(started) > count():
            yield started.popleft()
    while started:
        yield started.popleft()
