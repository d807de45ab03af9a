"""Which reader reads a file."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Protocol

from ardcube.config import Access, Reader
from ardcube.raster.decode import Part
from ardcube.raster.header import Blocks, Header, Level


class Raster(Protocol):
    """A file whose header is known."""

    @property
    def header(self) -> Header:
        """What it says of itself."""
        ...

    @property
    def decodes(self) -> bool:
        """Whether `fetch` also decodes, and so keeps a core busy."""
        ...

    def fetch(self, level: Level, blocks: Blocks) -> Part:
        """Fetch the needed blocks of a level."""
        ...


_forgotten: dict[str, int] = {}
"""How often a file was forgotten."""


def forget(href: str) -> None:
    """Read a file's header anew when it is opened next: it went wrong, and may be mended by then."""
    _forgotten[href] = _forgotten.get(href, 0) + 1


def open_raster(
    href: str, revision: str, access: Access, reader: Reader = "auto", *, resolution: float = math.inf
) -> Raster:
    """Open a file with the fast reader, or with GDAL where that does not know it.

    Of a cube's `resolution`, in degrees, only the overviews are sure to be there that are not too coarse for it.

    Kept per process, since a chunk's neighbours and other periods want the same header; and per revision of its
    scene, since a worker outlives a reprocessing; until it is forgotten.

    Raises
    ------
    SceneError
        If the file is missing, forbidden, or no raster that a cube can use.
    TransientError
        If it could not be reached this time.
    """
    return _open(href, revision, access, reader, resolution, _forgotten.get(href, 0))


@lru_cache(maxsize=4096)
def _open(href: str, revision: str, access: Access, reader: Reader, resolution: float, forgotten: int) -> Raster:
    if reader == "auto":
        from ardcube.raster.cog import Cog
        from ardcube.raster.object_store import NotThisKindError  # a platform without these wheels still has GDAL

        try:
            return Cog.open(href)
        except NotThisKindError:
            pass
    from ardcube.raster.gdal import GdalRaster  # few archives need it

    return GdalRaster.open(href, access, resolution=resolution, afresh=forgotten > 0)
