"""Which reader reads a file, and how many requests are in flight at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ardcube.config import Access, Reader
from ardcube.raster import Blocks, Header, Level


class Part(Protocol):
    """Blocks of one level, fetched, perhaps not yet decoded."""

    @property
    def size(self) -> int:
        """Bytes that were fetched."""
        ...

    def decode_into(self, values: NDArray[Any], blocks: Blocks) -> None:
        """Decode into (row, column) of the window of `blocks`."""
        ...


class Raster(Protocol):
    """A file whose header is known."""

    @property
    def header(self) -> Header:
        """What it says of itself."""
        ...

    def fetch(self, level: Level, needed: NDArray[np.bool_]) -> Part:
        """Fetch the needed blocks of a level, bool (block row, block column)."""
        ...


@lru_cache(maxsize=4096)
def open_raster(href: str, revision: str, access: Access, reader: Reader = "auto") -> Raster:
    """Open a file with the fast reader, or with GDAL where that does not know it.

    Kept per process, since a chunk's neighbours and other periods want the same header; and per revision of its
    scene, since a worker outlives a reprocessing.

    Raises
    ------
    SceneError
        If the file is missing, forbidden, or no raster that a cube can use.
    TransientError
        If it could not be reached this time.
    """
    if reader == "auto":
        from ardcube.asset_store import NotThisKindError  # a platform without these wheels still has GDAL
        from ardcube.cog import Cog

        try:
            return Cog.open(href)
        except NotThisKindError:
            pass
    from ardcube.gdal import GdalRaster  # few archives need it

    return GdalRaster.open(href, access)


@lru_cache(maxsize=4)
def request_pool(threads: int) -> ThreadPoolExecutor:
    """Threads that wait for answers; one pool per process, shared by all chunks in it."""
    return ThreadPoolExecutor(threads, thread_name_prefix="ardcube-read")
