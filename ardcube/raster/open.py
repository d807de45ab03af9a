"""Open a raster file with the reader that supports it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from ardcube.catalog.file_access import access_of
from ardcube.config import AssetAccess, FileAccess, Reader
from ardcube.extent.lattice import Lattice
from ardcube.raster.complete import check_complete
from ardcube.raster.decode import FetchedBand
from ardcube.raster.header import Blocks, Header
from ardcube.raster.mask_file import find_mask_file


class Raster(Protocol):
    """A file whose header is known."""

    @property
    def header(self) -> Header:
        """The file's header."""
        ...

    @property
    def decodes(self) -> bool:
        """Whether `fetch` also decodes, and so occupies a core."""
        ...

    def fetch(self, blocks: Blocks) -> FetchedBand:
        """Fetch the needed blocks of a level."""
        ...


_failures: dict[str, int] = {}
"""Number of failed reads of a file. It is part of the cache's key, so a failure drops the cached header."""


def forget(href: str) -> None:
    """Drop a file's header from the cache after a failed read, because the file may be replaced before the next."""
    _failures[href] = _failures.get(href, 0) + 1


def forget_stored() -> None:
    """Drop all headers that an earlier process stored: where one file was replaced, others probably were too."""
    from ardcube.raster.known_headers import KNOWN_HEADERS

    KNOWN_HEADERS.drop_stored()
    _open.cache_clear()


def open_raster(
    href: str, revision: str, access: AssetAccess, reader: Reader = "auto", *, lattice: Lattice | None = None
) -> Raster:
    """Open a file with the block reader, or with GDAL if the block reader does not support the file.

    Headers are cached in this process until `forget` is called, because other chunks and periods read the same files.

    Parameters
    ----------
    href : str
        Address of the file.
    revision : str
        Revision of the scene. A worker may still run after the scene was processed again.
    access : AssetAccess
        How the file may be read: one access, or access by host.
    reader : Reader
        `auto`, or `gdal` to always use GDAL.
    lattice : Lattice, optional
        Of the cube. Overviews that are too coarse for it may be missing from the header.

    Raises
    ------
    SceneError
        If the file is missing, truncated, or not a raster that a cube can use.
    AccessError
        If access is refused.
    TransientError
        If the file cannot be read now.
    """
    return _open(href, revision, access_of(href, access), reader, lattice, _failures.get(href, 0))


@lru_cache(maxsize=4096)
def _open(
    href: str, revision: str, access: FileAccess, reader: Reader, lattice: Lattice | None, failures: int
) -> Raster:
    raster = _open_alone(href, revision, access, reader, lattice, failures)
    mask_file = find_mask_file(href, raster.header, access)
    if not mask_file:
        return raster
    from ardcube.raster.gdal import GdalRaster

    check_complete(mask_file, access)
    return GdalRaster.open(href, access, lattice=lattice, mask_file=mask_file, skip_cache=failures > 0)


def _open_alone(
    href: str, revision: str, access: FileAccess, reader: Reader, lattice: Lattice | None, failures: int
) -> Raster:
    """Open a file without the mask file next to it."""
    if reader == "auto":
        from ardcube.raster.cog import Cog
        from ardcube.raster.known_headers import KNOWN_HEADERS, key_of
        from ardcube.raster.object_store import UnsupportedFileError

        key = key_of(href, revision)
        if not failures and (known := KNOWN_HEADERS.find(key)) is not None:
            return replace(known, href=href, access=access)
        try:
            cog = Cog.open(href, access)
        except UnsupportedFileError:
            pass
        else:
            KNOWN_HEADERS.read(key, cog)
            return cog
    else:
        check_complete(href, access)  # GDAL would request missing bytes again and again, and report other words
    from ardcube.raster.gdal import GdalRaster  # few archives need it

    return GdalRaster.open(href, access, lattice=lattice, skip_cache=failures > 0)
