"""Read files that `ardcube.raster.cog` does not support through GDAL, with the same pixels."""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, TypeVar

import numpy as np
import rasterio
import rasterio.errors
import rasterio.windows
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.env import ensure_env_with_credentials
from rasterio.io import DatasetReader

from ardcube.catalog.hrefs import HTTP, OBJECT_STORES, local_file, split
from ardcube.config import FileAccess
from ardcube.errors import AccessError, SceneError, TransientError
from ardcube.extent.lattice import Lattice
from ardcube.raster.decode import DecodedBlock
from ardcube.raster.header import DTYPES, Blocks, Header, Level, usable_nodata
from ardcube.raster.levels import WAVELET, PixelSize, overview_method, pixel_at
from ardcube.raster.object_store import UnsupportedFileError, missing, read_start
from ardcube.raster.refusals import RefusedError, note_readable
from ardcube.raster.s3 import gdal_options
from ardcube.raster.signing import SignedAddress, read_signed
from ardcube.redaction import without_secrets
from ardcube.runtime.usage import count_unknown

_HTTP_OPTIONS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no directory listings over HTTP
    "GDAL_HTTP_MAX_RETRY": 4,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    # A request lasts as long as bytes arrive, as in `object_store`. Five attempts without a byte take two minutes.
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
    "GDAL_HTTP_LOW_SPEED_TIME": 20,
    "GDAL_HTTP_TIMEOUT": 600,
    "VSI_CACHE": False,
}
_DRIVERS = ["GTiff", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID"]
"""Formats that hold only pixels. Others, such as VRT, can make GDAL read further files and servers."""
_NOT_CACHED = "/vsicurl/:/vsis3/:/vsigs/:/vsiaz/"
"""All filesystems whose files GDAL caches, in the notation of `CPL_VSIL_CURL_NON_CACHED`."""
# With the words before the code, because messages contain file names, and a scene of April 4 has 0404 in its name.
_MISSING = re.compile(r"response code: (404|410)\b|No such file|does not exist|Not a directory")
_REFUSED = re.compile(r"response code: (401|403)\b|Permission denied|Access ?Denied|[Cc]redentials|ExpiredToken")
_NO_RASTER = "not recognized as"
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
"""First bytes of TIFF, BigTIFF and JPEG 2000."""
_UNDECODED = re.compile(r"TIFFReadEncoded(Tile|Strip)\(\) failed")
_SHORT = re.compile(r"Read error|got \d+ bytes")
"""Messages about a block that was truncated, in transfer or in the file."""
_uncached: set[str] = set()
"""Files whose last read failed. GDAL caches a truncated answer as if the file ended there, so every later read would
fail. These files are opened without GDAL's cache."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class GdalRaster:
    """A file whose header was read. GDAL opens the file again for each read."""

    href: str
    header: Header
    access: FileAccess
    mask_file: str = ""
    """Address of the mask file next to the file; empty if there is none."""
    masked_as: int | None = None
    """Number of masked pixels; by default the smallest of the data type, which is no data in reflectance."""
    decodes: ClassVar[bool] = True

    @classmethod
    def open(
        cls,
        href: str,
        access: FileAccess,
        *,
        lattice: Lattice | None = None,
        mask_file: str = "",
        skip_cache: bool = False,
    ) -> GdalRaster:
        """Read a header.

        Parameters
        ----------
        href : str
            Address of the file.
        access : FileAccess
            How the file may be read.
        lattice : Lattice, optional
            Of the cube. Overviews that are too coarse for it are left out, because GDAL opens the file again for each
            overview.
        mask_file : str
            Address of the mask file next to the file, if there is one.
        skip_cache : bool
            Whether to read the file without GDAL's cache.

        Raises
        ------
        SceneError
            If the file is missing, no raster of 8 or 16 bits, or not north up, or its mask file has another size.
        AccessError
            If access is refused.
        TransientError
            If the file cannot be read now.
        """
        if skip_cache:
            _uncached.add(href)
        found = _read(href, access, partial(_full, href), DatasetReader)
        full, dtype = found.level, found.dtype
        masked = found.masked or bool(mask_file)
        if dtype not in DTYPES:
            raise SceneError(f"{href} holds {dtype}, not {', '.join(DTYPES)}; its scene cannot be used")
        if mask_file:
            size = _read(mask_file, access, lambda source: source.shape)
            if size != full.shape:
                raise SceneError(
                    f"{href} has {full.shape} pixels, and {mask_file} {size}; remove the mask file, or replace it"
                )
        header = Header(found.crs, dtype, usable_nodata(found.nodata, dtype), (full,), masked, found.samples)
        largest = PixelSize(math.inf, math.inf) if lattice is None else pixel_at(lattice, header)
        levels = [full]
        for index, ratio in enumerate([] if masked else found.ratios):
            # A ratio is rounded: the pixel of the overview may be smaller.
            if not largest.holds(replace(full, transform=full.transform @ Affine.scale(ratio - 1))):
                continue
            # The ratio of an overview is not an exact power of two for odd sizes: only the file knows its size.
            height, width, block, kind, method = _read(
                href, access, partial(_overview, found), _WithoutGeoreference, OVERVIEW_LEVEL=index
            )
            if kind != dtype:
                raise SceneError(f"{href} holds {dtype}, and {kind} in an overview; its scene cannot be used")
            transform = full.transform @ Affine.scale(full.width / width, full.height / height)
            levels.append(Level(index + 1, height, width, transform, block, method))
        return cls(href, replace(header, levels=tuple(levels)), access, mask_file)

    def fetch(self, blocks: Blocks) -> GdalBand:
        """Read and decode the window of `blocks`.

        Raises
        ------
        SceneError
            If a block is damaged, and is damaged again when it is read a second time.
        TransientError
            If the file cannot be read now.
        """
        try:
            return self._read(blocks)
        except _DamagedError:
            pass
        try:
            return self._read(blocks)
        except _DamagedError as error:
            raise SceneError(f"{error}; its file is damaged") from error

    def _read(self, blocks: Blocks) -> GdalBand:
        options = {} if blocks.level.index == 0 else {"OVERVIEW_LEVEL": blocks.level.index - 1}
        window = rasterio.windows.Window(blocks.column, blocks.row, blocks.width, blocks.height)
        no_data = np.iinfo(self.header.dtype).min if self.masked_as is None else self.masked_as

        def read(source: Any) -> NDArray[Any]:
            values: NDArray[Any] = source.read(1, window=window)
            if self.header.masked and values.dtype == self.header.dtype:  # honoured here, because blocks have no mask
                values[source.read_masks(1, window=window) == 0] = no_data
            return values

        values = _read(self.href, self.access, read, _WithoutGeoreference, **options)
        if values.shape != (blocks.height, blocks.width) or values.dtype != self.header.dtype:
            raise TransientError(f"{self.href} is another file than when its header was read")
        if self.mask_file:
            values[_read(self.mask_file, self.access, lambda source: source.read(1, window=window)) == 0] = no_data
        return GdalBand(DecodedBlock(blocks.row, blocks.column, values))


@dataclass(frozen=True, slots=True)
class GdalBand:
    """A decoded window of one level."""

    window: DecodedBlock

    @property
    def size(self) -> int:
        """Number of decoded bytes, because GDAL does not report the number of fetched bytes."""
        return self.window.values.nbytes

    def decode(self) -> Iterator[DecodedBlock]:
        """Yield the window as one block."""
        yield self.window


class _DamagedError(Exception):
    """A block arrived complete and cannot be decoded."""


class _WithoutGeoreference(DatasetReader):  # type: ignore[misc]
    """A dataset opened without its CRS, which takes half the time."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, GEOREF_SOURCES="NONE", **options)

    def read_transform(self) -> list[float]:
        """Return the transform of pixel coordinates; rasterio would warn that the georeference is missing."""
        return [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]


@dataclass(frozen=True, slots=True)
class _Found:
    """Properties of a file, without those of its overviews."""

    level: Level
    crs: str
    nodata: float | None
    dtype: str
    masked: bool
    ratios: list[int]
    """Of overviews, rounded."""
    samples: int
    wavelets: bool
    about: dict[str, str]
    """Metadata."""


def _full(href: str, source: Any) -> _Found:
    if source.crs is None or source.transform.b or source.transform.d or source.transform.e >= 0:
        raise SceneError(f"{href} is not a north-up raster with a CRS; its scene cannot be used")
    code = source.crs.to_epsg()
    return _Found(
        level=Level(0, source.height, source.width, source.transform, source.block_shapes[0]),
        crs=f"EPSG:{code}" if code else source.crs.to_wkt(),
        nodata=source.nodata,
        dtype=source.dtypes[0],
        masked=MaskFlags.per_dataset in source.mask_flag_enums[0],  # also set for alpha
        ratios=source.overviews(1),
        samples=sum(color != ColorInterp.alpha for color in source.colorinterp),
        wavelets=source.driver.startswith("JP2"),
        about={**source.tags(), **source.tags(ns="IMAGE_STRUCTURE")},
    )


def _overview(found: _Found, source: Any) -> tuple[int, int, tuple[int, int], str, str]:
    """Return height, width, block, data type and method of an overview."""
    method = WAVELET if found.wavelets else overview_method(found.about, source.tags(1))
    return source.height, source.width, source.block_shapes[0], source.dtypes[0], method


def _read(
    href: str,
    access: FileAccess,
    use: Callable[[Any], _T],
    reader: type[DatasetReader] = _WithoutGeoreference,
    **options: Any,
) -> _T:
    """Open a file with GDAL and return what `use` reads from it; convert GDAL's errors."""

    def attempt(signed: SignedAddress) -> _T:
        with _open(href, signed, access, reader, **options) as source:
            return use(source)

    def apart(signed: SignedAddress) -> _T:
        # rasterio sets options of the main thread for all threads, whose requests to other hosts would have the header.
        if signed.headers and threading.current_thread() is threading.main_thread():
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(attempt, signed).result()
        return attempt(signed)

    return read_signed(href, access, apart)


@contextmanager
def _open(
    href: str, signed: SignedAddress, access: FileAccess, reader: type[DatasetReader], **options: Any
) -> Iterator[Any]:
    """Open a file with GDAL options for one `with` block; convert GDAL's errors, and skip its cache after a failure."""
    name = _gdal_name(href)
    name = name if signed.url == href else signed.url
    chosen = {name: value for name, value in _HTTP_OPTIONS.items() if name not in os.environ}
    if signed.headers:
        chosen["GDAL_HTTP_HEADERS"] = "".join(f"{header}: {value}\r\n" for header, value in signed.headers)
    count_unknown()
    cache = rasterio.Env(CPL_VSIL_CURL_NON_CACHED=_NOT_CACHED) if href in _uncached else nullcontext()
    try:
        with rasterio.Env(**chosen, **gdal_options(access)), cache, _dataset(name, reader, **options) as source:
            yield source
    except rasterio.errors.RasterioError as error:
        _uncached.add(href)
        reason = " ".join(str(error.__cause__ or error).split())
        raise _explain(href, access, reason.replace(signed.url, href), error) from error
    _uncached.discard(href)
    note_readable(href)


def _explain(href: str, access: FileAccess, reason: str, error: BaseException) -> Exception:
    if _REFUSED.search(reason):
        return RefusedError(without_secrets(reason))
    if _MISSING.search(reason):
        return SceneError(missing(href))
    return _kind_of(href, access, reason, error)(f"{href} cannot be read: {without_secrets(reason)}")


def _kind_of(
    href: str, access: FileAccess, reason: str, error: BaseException
) -> type[SceneError | TransientError | _DamagedError]:
    if _NO_RASTER in reason:
        # GDAL reports the same if the first bytes did not arrive.
        start = _first_bytes(href, access) if local_file(href) is None else b""
        return TransientError if start is None or start.startswith(_SIGNATURES) else SceneError
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    return _DamagedError if _UNDECODED.search(reason) and not _SHORT.search(str(root)) else TransientError


def _first_bytes(href: str, access: FileAccess) -> bytes | None:
    """Return the first bytes of a file, or None if they cannot be read now."""
    try:
        return read_start(href, max(map(len, _SIGNATURES)), access).content
    except (UnsupportedFileError, AccessError, TransientError):
        return None
    except SceneError:
        return b""


@ensure_env_with_credentials
def _dataset(name: str, reader: type[DatasetReader], **options: Any) -> Any:
    return reader(name, driver=_DRIVERS, sharing=False, **options)  # (`rasterio.open` takes one driver only)


def _gdal_name(href: str) -> str:
    """Return an href that is a file or a plain URL, which GDAL reads as such.

    Raises
    ------
    SceneError
        For GDAL's notations, such as /vsi paths and names that begin with a driver.
    """
    path, parts = local_file(href), split(href)
    if path is not None and not path.startswith("/vsi"):
        return path
    if path is None and parts is not None and parts.scheme in (*HTTP, *OBJECT_STORES):
        return href
    raise SceneError(f"{href!r} cannot be read: it is neither a file nor an address of http, https, s3, gs, az or oss")
