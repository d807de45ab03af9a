"""Reading rasters through GDAL: what `ardcube.cog` does not read, with the same pixels."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import rasterio
import rasterio.errors
import rasterio.windows
from affine import Affine

from ardcube.config import Access
from ardcube.errors import SceneError, TransientError
from ardcube.pixels import Piece
from ardcube.raster import Blocks, Header, Level, usable_nodata

_HTTP_OPTIONS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no directory listings over HTTP
    "GDAL_HTTP_MAX_RETRY": 4,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    "GDAL_HTTP_TIMEOUT": 120,
    "VSI_CACHE": False,
}
_ACCESS_OPTIONS: dict[Access, dict[str, Any]] = {
    "unsigned": {"AWS_NO_SIGN_REQUEST": "YES"},
    "requester-pays": {"AWS_REQUEST_PAYER": "requester"},
    "signed": {},
}
_NOT_CACHED = "/vsicurl/:/vsis3/:/vsigs/:/vsiaz/"
"""Every filesystem whose files GDAL caches, as `CPL_VSIL_CURL_NON_CACHED` wants them."""
_PERMANENT = re.compile(
    # The words before the code: messages name the file too, and a scene of the fourth of April is called ..0404..
    r"response code: (401|403|404|410)\b|No such file|does not exist|not recognized as|Not a directory"
    r"|Permission denied|Access Denied"
)
"""What GDAL's messages say when another try would say the same."""
_suspect: set[str] = set()
"""Files whose last read failed. GDAL keeps the part of a truncated answer as if the file ended there, and would
fail for ever; these are opened past its cache."""


@dataclass(frozen=True, slots=True)
class GdalRaster:
    """A file that GDAL opens anew for each read."""

    href: str
    header: Header
    access: Access

    @classmethod
    def open(cls, href: str, access: Access) -> GdalRaster:
        """Read a header.

        Raises
        ------
        SceneError
            If the file is missing, forbidden, no raster of 8 or 16 bits, or not north up.
        TransientError
            If it could not be reached this time.
        """
        with _open(href, access) as source:
            if source.crs is None or source.transform.b or source.transform.d or source.transform.e >= 0:
                raise SceneError(f"{href} is not a north-up raster with a CRS; its scene cannot be used")
            code, nodata, dtype = source.crs.to_epsg(), source.nodata, source.dtypes[0]
            crs = f"EPSG:{code}" if code else source.crs.to_wkt()
            base, overviews = source.transform, len(source.overviews(1))
            shapes, blocks = [(source.height, source.width)], [source.block_shapes[0]]
        if dtype not in ("uint8", "uint16"):
            raise SceneError(f"{href} holds {dtype}, not uint8 or uint16; its scene cannot be used")
        for index in range(overviews):
            # The ratio of an overview is not an exact power of two for odd sizes: only the file knows its size.
            with _open(href, access, OVERVIEW_LEVEL=index) as source:
                shapes.append((source.height, source.width))
                blocks.append(source.block_shapes[0])
        full_height, full_width = shapes[0]
        levels = tuple(
            Level(index, height, width, base @ Affine.scale(full_width / width, full_height / height), block)
            for index, ((height, width), block) in enumerate(zip(shapes, blocks, strict=True))
        )
        return cls(href, Header(crs, dtype, usable_nodata(nodata, dtype), levels), access)

    def fetch(self, level: Level, blocks: Blocks) -> GdalPart:
        """Read the window around the needed blocks, already decoded."""
        options = {} if level.index == 0 else {"OVERVIEW_LEVEL": level.index - 1}
        window = rasterio.windows.Window(blocks.column, blocks.row, blocks.width, blocks.height)
        with _open(self.href, self.access, **options) as source:
            return GdalPart(Piece(blocks.row, blocks.column, source.read(1, window=window)))


@dataclass(frozen=True, slots=True)
class GdalPart:
    """A window of one level."""

    window: Piece

    @property
    def size(self) -> int:
        """Bytes; how many were fetched, GDAL does not tell."""
        return self.window.values.nbytes

    def pieces(self) -> Iterator[Piece]:
        """The window, in one piece."""
        yield self.window


@contextmanager
def _open(href: str, access: Access, **options: Any) -> Iterator[Any]:
    """Open a file with options for this block alone; a failure is told as ours, and the next try starts afresh."""
    chosen = {name: value for name, value in _HTTP_OPTIONS.items() if name not in os.environ}
    afresh = rasterio.Env(CPL_VSIL_CURL_NON_CACHED=_NOT_CACHED) if href in _suspect else nullcontext()
    try:
        with rasterio.Env(**chosen, **_ACCESS_OPTIONS[access]), afresh, rasterio.open(href, **options) as source:
            yield source
    except rasterio.errors.RasterioError as error:
        _suspect.add(href)
        reason = " ".join(str(error.__cause__ or error).split())
        kind = SceneError if _PERMANENT.search(reason) else TransientError
        raise kind(f"{href} cannot be read: {reason}") from error
    _suspect.discard(href)
