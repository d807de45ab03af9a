"""Reading rasters through GDAL: what `ardcube.raster.cog` does not read, with the same pixels."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import rasterio
import rasterio.errors
import rasterio.windows
from affine import Affine
from rasterio.env import ensure_env_with_credentials
from rasterio.io import DatasetReader

from ardcube.catalog.hrefs import HTTP, OBJECT_STORES, local_file, split
from ardcube.config import Access
from ardcube.errors import SceneError, TransientError
from ardcube.raster.decode import Piece
from ardcube.raster.header import Blocks, Header, Level, pixel_size, usable_nodata

_HTTP_OPTIONS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no directory listings over HTTP
    "GDAL_HTTP_MAX_RETRY": 4,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    # As the other reader: a server is waited for while bytes come. Five tries of one that sends none are two minutes.
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
    "GDAL_HTTP_LOW_SPEED_TIME": 20,
    "GDAL_HTTP_TIMEOUT": 600,
    "VSI_CACHE": False,
}
_ACCESS_OPTIONS: dict[Access, dict[str, Any]] = {
    "unsigned": {"AWS_NO_SIGN_REQUEST": "YES"},
    "requester-pays": {"AWS_REQUEST_PAYER": "requester"},
    "signed": {},
}
_DRIVERS = ["GTiff", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID"]
"""Formats that hold pixels and nothing else. Others, such as VRT, name further files and servers to be read."""
_NOT_CACHED = "/vsicurl/:/vsis3/:/vsigs/:/vsiaz/"
"""Every filesystem whose files GDAL caches, as `CPL_VSIL_CURL_NON_CACHED` wants them."""
_PERMANENT = re.compile(
    # The words before the code: messages name the file too, and a scene of the fourth of April is called ..0404..
    r"response code: (401|403|404|410)\b|No such file|does not exist|Not a directory"
    r"|Permission denied|Access Denied"
)
"""What GDAL's messages say when another try would say the same."""
_NO_RASTER = "not recognized as"
_RASTERS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
"""How TIFF, BigTIFF and JPEG 2000 begin."""
_UNDECODED = re.compile(r"TIFFReadEncoded(Tile|Strip)\(\) failed")
_SHORT = re.compile(r"Read error|got \d+ bytes")
"""Of a block that could not be decoded: the transfer was cut short, or the file is."""
_suspect: set[str] = set()
"""Files whose last read failed. GDAL keeps the part of a truncated answer as if the file ended there, and would
fail for ever; these are opened past its cache."""


@dataclass(frozen=True, slots=True)
class GdalRaster:
    """A file that GDAL opens anew for each read."""

    href: str
    header: Header
    access: Access
    decodes: ClassVar[bool] = True

    @classmethod
    def open(cls, href: str, access: Access, *, resolution: float = math.inf, afresh: bool = False) -> GdalRaster:
        """Read a header.

        Parameters
        ----------
        href, access
            Where the file is, and how it may be read.
        resolution : float
            Of the cube, in degrees. Overviews that are too coarse for it are left out: GDAL opens the file once more
            for each of them.
        afresh : bool
            Whether to read it past what GDAL remembers of the file.

        Raises
        ------
        SceneError
            If the file is missing, forbidden, no raster of 8 or 16 bits, or not north up.
        TransientError
            If it could not be reached this time.
        """
        if afresh:
            _suspect.add(href)
        with _open(href, access) as source:
            if source.crs is None or source.transform.b or source.transform.d or source.transform.e >= 0:
                raise SceneError(f"{href} is not a north-up raster with a CRS; its scene cannot be used")
            code, nodata, dtype = source.crs.to_epsg(), source.nodata, source.dtypes[0]
            crs = f"EPSG:{code}" if code else source.crs.to_wkt()
            full = Level(0, source.height, source.width, source.transform, source.block_shapes[0])
            ratios = source.overviews(1)  # rounded
        if dtype not in ("uint8", "uint16"):
            raise SceneError(f"{href} holds {dtype}, not uint8 or uint16; its scene cannot be used")
        header = Header(crs, dtype, usable_nodata(nodata, dtype), (full,))
        largest = header.output_pixel(resolution) if math.isfinite(resolution) else math.inf
        levels = [full]
        for index, ratio in enumerate(ratios):
            if (ratio - 1) * pixel_size(full.transform) > largest:
                continue
            # The ratio of an overview is not an exact power of two for odd sizes: only the file knows its size.
            with _open(href, access, _Unplaced, OVERVIEW_LEVEL=index) as source:
                height, width, block = source.height, source.width, source.block_shapes[0]
                kind = source.dtypes[0]
            if kind != dtype:
                raise SceneError(f"{href} holds {dtype}, and {kind} in an overview; its scene cannot be used")
            transform = full.transform @ Affine.scale(full.width / width, full.height / height)
            levels.append(Level(index + 1, height, width, transform, block))
        return cls(href, replace(header, levels=tuple(levels)), access)

    def fetch(self, level: Level, blocks: Blocks) -> GdalPart:
        """Read the window around the needed blocks, already decoded.

        Raises
        ------
        SceneError
            If a block is damaged, and is so again when it is fetched once more.
        TransientError
            If it could not be read this time.
        """
        try:
            return self._read(level, blocks)
        except _DamagedError:
            pass
        try:
            return self._read(level, blocks)
        except _DamagedError as error:
            raise SceneError(f"{error}; its file is damaged") from error

    def _read(self, level: Level, blocks: Blocks) -> GdalPart:
        options = {} if level.index == 0 else {"OVERVIEW_LEVEL": level.index - 1}
        window = rasterio.windows.Window(blocks.column, blocks.row, blocks.width, blocks.height)
        with _open(self.href, self.access, _Unplaced, **options) as source:
            values = source.read(1, window=window)
        if values.shape != (blocks.height, blocks.width) or values.dtype != self.header.dtype:
            raise TransientError(f"{self.href} is another file than when its header was read")
        return GdalPart(Piece(blocks.row, blocks.column, values))


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


class _DamagedError(Exception):
    """A block came whole, and cannot be decoded."""


class _Unplaced(DatasetReader):  # type: ignore[misc]
    """A file whose CRS is known from before: finding it is half of what opening takes."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, GEOREF_SOURCES="NONE", **options)

    def read_transform(self) -> list[float]:
        """That of pixels, as without a georeference; else rasterio warns that there is none."""
        return [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]


@contextmanager
def _open(href: str, access: Access, reader: type[DatasetReader] = DatasetReader, **options: Any) -> Iterator[Any]:
    """Open a file with options for this block alone; a failure is told as ours, and the next try starts afresh."""
    name = _gdal_name(href)
    chosen = {name: value for name, value in _HTTP_OPTIONS.items() if name not in os.environ}
    afresh = rasterio.Env(CPL_VSIL_CURL_NON_CACHED=_NOT_CACHED) if href in _suspect else nullcontext()
    try:
        with rasterio.Env(**chosen, **_ACCESS_OPTIONS[access]), afresh, _dataset(name, reader, **options) as source:
            yield source
    except rasterio.errors.RasterioError as error:
        _suspect.add(href)
        reason = " ".join(str(error.__cause__ or error).split())
        raise _kind_of(href, reason, error)(f"{href} cannot be read: {reason}") from error
    _suspect.discard(href)


def _kind_of(href: str, reason: str, error: BaseException) -> type[SceneError | TransientError | _DamagedError]:
    if _NO_RASTER in reason:
        # GDAL says so too of a file whose first bytes never came.
        start = _first_bytes(href) if local_file(href) is None else b""
        return TransientError if start is None or start.startswith(_RASTERS) else SceneError
    if _PERMANENT.search(reason):
        return SceneError
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    return _DamagedError if _UNDECODED.search(reason) and not _SHORT.search(str(root)) else TransientError


def _first_bytes(href: str) -> bytes | None:
    try:
        from ardcube.raster.object_store import first_bytes  # a platform without these wheels still has GDAL
    except ImportError:
        return b""
    return first_bytes(href, max(map(len, _RASTERS)))


@ensure_env_with_credentials
def _dataset(name: str, reader: type[DatasetReader], **options: Any) -> Any:
    return reader(name, driver=_DRIVERS, sharing=False, **options)  # (`rasterio.open` takes one driver only)


def _gdal_name(href: str) -> str:
    """An href as GDAL may be asked for it: a file, or a plain URL, and none of its own notations.

    Raises
    ------
    SceneError
        For anything else, such as /vsi paths and names that begin with a driver.
    """
    path, parts = local_file(href), split(href)
    if path is not None and not path.startswith("/vsi"):
        return path
    if path is None and parts is not None and parts.scheme in (*HTTP, *OBJECT_STORES):
        return href
    raise SceneError(f"{href!r} cannot be read: it is neither a file nor an address of http, https, s3, gs, az or oss")
