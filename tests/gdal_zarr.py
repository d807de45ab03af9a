"""Read cubes with GDAL's Zarr driver, from the libgdal of pyogrio's wheel and two registered codecs.

rasterio 1.4 contains GDAL 3.10, which does not support the final Zarr v3 (`Unsupported codec: bytes`). pyogrio's wheel
contains GDAL 3.12, which supports all of it except shards (those need 3.13), but was built without Blosc and zstd. Both
codecs are registered with GDAL's public C API (`CPLRegisterDecompressor` of cpl_compressor.h). Dimensions, CRS and
pixels are those that GDAL reads.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
from numcodecs import blosc, zstd

_RASTER, _MULTIDIM, _UINT16, _READ = 2, 16, 2, 0
_Pointer, _Text, _Int = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
_Function = ctypes.CFUNCTYPE(
    ctypes.c_bool,
    *(_Pointer, ctypes.c_size_t, ctypes.POINTER(_Pointer), ctypes.POINTER(ctypes.c_size_t)),
    *(_Pointer, _Pointer),
)


class _Codec(ctypes.Structure):
    """`CPLCompressor`, version 1."""

    _fields_ = (
        ("version", _Int),
        ("name", _Text),
        ("kind", _Int),
        ("metadata", ctypes.POINTER(_Text)),
        ("function", _Function),
        ("user", _Pointer),
    )


@dataclass(frozen=True, slots=True)
class GdalRaster:
    """An array in GDAL's raster API."""

    geotransform: tuple[float, ...]
    wkt: str
    pixels: npt.NDArray[np.uint16]
    """(bands, rows, columns); the bands are all other dimensions, the last one fastest."""


def read(store: Path, array: str) -> GdalRaster:
    """Read a uint16 array of a store with GDAL's Zarr driver."""
    gdal = _libgdal()
    with _opened(f'ZARR:"{store}":/{array}', _RASTER) as dataset:
        transform = (ctypes.c_double * 6)()
        assert gdal.GDALGetGeoTransform(dataset, transform) == 0, f"{array} has no geotransform"
        width, height = gdal.GDALGetRasterXSize(dataset), gdal.GDALGetRasterYSize(dataset)
        count = gdal.GDALGetRasterCount(dataset)
        pixels = np.zeros((count, height, width), "uint16")
        error = gdal.GDALDatasetRasterIO(
            dataset,
            *(_READ, 0, 0, width, height, pixels.ctypes.data, width, height, _UINT16),
            *(count, None, 0, 0, 0),
        )
        assert error == 0, gdal.CPLGetLastErrorMsg()
        return GdalRaster(tuple(transform), (gdal.GDALGetProjectionRef(dataset) or b"").decode(), pixels)


def version() -> tuple[int, int]:
    """Return the major and minor version of the libgdal."""
    major, minor, *_ = pyogrio.__gdal_version__
    return major, minor


def info(store: Path) -> dict[str, Any]:
    """Return the output of `gdalmdiminfo` for a store."""
    gdal = _libgdal()
    with _opened(str(store), _MULTIDIM) as dataset:
        text = gdal.GDALMultiDimInfo(dataset, None)
        try:
            document: dict[str, Any] = json.loads(ctypes.string_at(text))
        finally:
            gdal.VSIFree(text)
        return document


@contextmanager
def _opened(name: str, flags: int) -> Iterator[int]:
    gdal = _libgdal()
    dataset = gdal.GDALOpenEx(name.encode(), flags, None, None, None)
    assert dataset, gdal.CPLGetLastErrorMsg().decode()
    try:
        yield dataset
    finally:
        gdal.GDALClose(dataset)


def _decoder(decode: Callable[[bytes], bytes]) -> Any:
    def run(data: int, size: int, out: Any, out_size: Any, options: Any, user: Any) -> bool:
        plain = bytes(decode(ctypes.string_at(data, size)))
        if out:
            if not out[0] or out_size[0] < len(plain):
                return False
            ctypes.memmove(out[0], plain, len(plain))
        out_size[0] = len(plain)
        return True

    return _Function(run)


def _no_encoder(*_: Any) -> bool:
    """Refuse to compress; the driver needs a registered compressor even to read."""
    return False


@cache
def _libgdal() -> ctypes.CDLL:
    (library,) = Path(pyogrio.__file__).parents[1].glob("pyogrio.libs/libgdal*")
    gdal = ctypes.CDLL(str(library))
    signatures = {
        "GDALOpenEx": (_Pointer, [_Text, ctypes.c_uint, _Pointer, _Pointer, _Pointer]),
        "GDALClose": (_Int, [_Pointer]),
        "GDALGetProjectionRef": (_Text, [_Pointer]),
        "GDALGetGeoTransform": (_Int, [_Pointer, _Pointer]),
        "GDALGetRasterXSize": (_Int, [_Pointer]),
        "GDALGetRasterYSize": (_Int, [_Pointer]),
        "GDALGetRasterCount": (_Int, [_Pointer]),
        "GDALDatasetRasterIO": (_Int, [_Pointer, *[_Int] * 5, _Pointer, *[_Int] * 4, _Pointer, *[_Int] * 3]),
        "GDALMultiDimInfo": (_Pointer, [_Pointer, _Pointer]),
        "VSIFree": (None, [_Pointer]),
        "CPLGetLastErrorMsg": (_Text, []),
        "CPLRegisterCompressor": (ctypes.c_bool, [ctypes.POINTER(_Codec)]),
        "CPLRegisterDecompressor": (ctypes.c_bool, [ctypes.POINTER(_Codec)]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(gdal, name)
        function.restype, function.argtypes = result, arguments
    gdal.GDALAllRegister()
    options = (_Text * 2)(b"OPTIONS=<Options/>", None)
    alive: list[Any] = [options]  # GDAL keeps pointers to them as long as it lives
    for name, decode in ((b"blosc", blosc.decompress), (b"zstd", zstd.decompress)):
        for register, function in (
            (gdal.CPLRegisterCompressor, _Function(_no_encoder)),
            (gdal.CPLRegisterDecompressor, _decoder(decode)),
        ):
            codec = _Codec(1, name, 0, options, function, None)
            alive += [codec, function]
            assert register(ctypes.byref(codec)), name
    gdal._alive = alive  # type: ignore[attr-defined]
    return gdal
