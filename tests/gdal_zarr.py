"""GDAL's own Zarr driver for the tests: the libgdal of pyogrio's wheel, given the two codecs it was built without.

rasterio 1.4 carries GDAL 3.10, which does not know the final Zarr v3 (`Unsupported codec: bytes`). pyogrio's wheel
carries GDAL 3.12, which knows all of it but shards (those come with 3.13), yet was built without Blosc and zstd; so
these are registered through GDAL's public C API (`CPLRegisterDecompressor` of cpl_compressor.h). What GDAL makes of
dimensions, CRS and pixels is all its own.
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
    """An array as GDAL's raster API shows it."""

    geotransform: tuple[float, ...]
    wkt: str
    pixels: npt.NDArray[np.uint16]
    """(bands, rows, columns); the bands run over the other dimensions, the last one fastest."""


def read(store: Path, array: str) -> GdalRaster:
    """Read a uint16 array of a store by GDAL's Zarr driver."""
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
    """Major and minor version of the libgdal."""
    major, minor, *_ = pyogrio.__gdal_version__
    return major, minor


def info(store: Path) -> dict[str, Any]:
    """What `gdalmdiminfo` prints of a store."""
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
    """Refuse: the driver wants a compressor of the name too, even to read."""
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
