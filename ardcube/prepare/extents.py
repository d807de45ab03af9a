"""Read the extents of rasters from the headers of their files."""

from __future__ import annotations

from ardcube.catalog.footprints import RasterExtent, ReadExtent
from ardcube.config import AssetAccess, Reader
from ardcube.errors import ArdcubeError


def extent_reader(access: AssetAccess, reader: Reader) -> ReadExtent:
    """Return a function that reads a file's extent; it returns None if the header cannot be read.

    Parameters
    ----------
    access : AssetAccess
        How files may be read.
    reader : Reader
        `auto`, or `gdal` to always use GDAL.
    """

    def read(href: str) -> RasterExtent | None:
        from ardcube.raster.open import open_raster  # few catalogues need it

        try:
            header = open_raster(href, "", access, reader).header
        except ArdcubeError:  # the build reports it, if it needs the file
            return None
        full = header.levels[0]
        return RasterExtent(header.crs, tuple(full.transform)[:6], (full.height, full.width))

    return read
