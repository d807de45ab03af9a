"""Reading parts of raster files through GDAL: headers, and windows of one overview level."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
import rasterio.windows
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from ardcube.config import Access
from ardcube.errors import SceneError, TransientError
from ardcube.resample import SourceWindow

_HTTP_OPTIONS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no directory listings over HTTP
    "GDAL_HTTP_MAX_RETRY": 4,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    "GDAL_HTTP_TIMEOUT": 120,
    "CPL_VSIL_CURL_USE_HEAD": "NO",  # saves a round trip per file
    "VSI_CACHE": False,
}
_ACCESS_OPTIONS: dict[Access, dict[str, Any]] = {
    "unsigned": {"AWS_NO_SIGN_REQUEST": "YES"},
    "requester-pays": {"AWS_REQUEST_PAYER": "requester"},
    "signed": {},
}
_PERMANENT = ("404", "403", "401", "No such file", "does not exist", "not recognized as", "Permission denied")
"""What GDAL's messages say when another try would say the same."""


@dataclass(frozen=True, slots=True)
class Level:
    """The full raster, or one of its overviews."""

    index: int
    """0 for the full raster, n for its n-th overview."""
    height: int
    width: int
    transform: Affine
    """From pixel corners (column, row) to CRS coordinates; the ratio is that of the two sizes."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself."""

    crs: str
    """WKT."""
    dtype: str
    nodata: int
    levels: tuple[Level, ...]

    def level_for(self, resolution: float) -> Level:
        """The coarsest level whose pixel is not larger than an output pixel of `resolution` degrees.

        Sizes are geometric means of the two sides, in the file's CRS; the output pixel is the one at the
        raster's centre, so that the choice is the same for the whole cube.
        """
        base = self.levels[0]
        x, y = base.transform @ (base.width / 2, base.height / 2)
        backward, forward = _transformers(self.crs)
        lon, lat = backward.transform(x, y)
        half = resolution / 2
        xs, ys = forward.transform([lon - half, lon + half, lon, lon], [lat, lat, lat - half, lat + half])
        size = math.sqrt(math.hypot(xs[1] - xs[0], ys[1] - ys[0]) * math.hypot(xs[3] - xs[2], ys[3] - ys[2]))
        fitting = [lvl for lvl in self.levels if _pixel_size(lvl.transform) <= size * (1 + 1e-9)]
        return max(fitting or [base], key=lambda lvl: _pixel_size(lvl.transform))


def _pixel_size(transform: Affine) -> float:
    return math.sqrt(abs(transform.determinant))


@lru_cache(maxsize=64)
def _transformers(crs: str) -> tuple[Transformer, Transformer]:
    return (
        Transformer.from_crs(crs, "EPSG:4326", always_xy=True),
        Transformer.from_crs("EPSG:4326", crs, always_xy=True),
    )


@contextmanager
def reading(access: Access) -> Iterator[None]:
    """GDAL options for reading scenes, for this thread and this block only."""
    with rasterio.Env(**_HTTP_OPTIONS, **_ACCESS_OPTIONS[access]):
        yield


@lru_cache(maxsize=4096)
def read_header(href: str, revision: str = "") -> Header:
    """Read a file's header; kept per process and revision of its scene, since a worker outlives a reprocessing.

    Raises
    ------
    SceneError
        If the file is missing, forbidden, no raster, or not north up.
    TransientError
        If it could not be reached this time.
    """
    with _open(href) as source:
        if source.crs is None or source.transform.b or source.transform.d or source.transform.e >= 0:
            raise SceneError(f"{href} is not a north-up raster with a CRS; its scene cannot be used")
        crs, base, dtype, nodata = source.crs.to_wkt(), source.transform, source.dtypes[0], source.nodata
        shapes = [(source.height, source.width)]
        overviews = len(source.overviews(1))
    if dtype not in ("uint8", "uint16"):
        raise SceneError(f"{href} holds {dtype}, not uint8 or uint16; its scene cannot be used")
    for index in range(overviews):
        # The ratio of an overview is not an exact power of two for odd sizes: only the file knows its size.
        with _open(href, OVERVIEW_LEVEL=index) as source:
            shapes.append((source.height, source.width))
    full_height, full_width = shapes[0]
    levels = tuple(
        Level(index, height, width, base @ Affine.scale(full_width / width, full_height / height))
        for index, (height, width) in enumerate(shapes)
    )
    return Header(crs, dtype, int(nodata) if nodata is not None and math.isfinite(nodata) else 0, levels)


def read_window(href: str, level: Level, window: tuple[int, int, int, int]) -> SourceWindow:
    """Read rows and columns (y0, y1, x0, x1) of one level.

    Raises
    ------
    SceneError, TransientError
        As `read_header`.
    """
    y0, y1, x0, x1 = window
    options = {} if level.index == 0 else {"OVERVIEW_LEVEL": level.index - 1}
    with _open(href, **options) as source:
        try:
            values: NDArray[Any] = source.read(1, window=rasterio.windows.Window(x0, y0, x1 - x0, y1 - y0))
        except rasterio.errors.RasterioError as error:
            raise _explain(href, error) from error
    return SourceWindow(np.ascontiguousarray(values), y0, x0)


@contextmanager
def _open(href: str, **options: Any) -> Iterator[Any]:
    try:
        source = rasterio.open(href, **options)
    except rasterio.errors.RasterioError as error:
        raise _explain(href, error) from error
    with source:
        yield source


def _explain(href: str, error: Exception) -> SceneError | TransientError:
    reason = " ".join(str(error.__cause__ or error).split())
    kind = SceneError if any(sign in reason for sign in _PERMANENT) else TransientError
    return kind(f"{href} cannot be read: {reason}")
