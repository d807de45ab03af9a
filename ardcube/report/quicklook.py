"""Write quicklooks: one PNG per period of a cube."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ardcube.errors import InputError
from ardcube.report.png import encode_png
from ardcube.storage.place import Place
from ardcube.store.checked_codecs import checked_codecs
from ardcube.store.schema import exists
from ardcube.store.validate import damage_as_store_error, read_layouts

_TRUE_COLOUR = ("red", "green", "blue")
_GAMMA = 1.4
"""Exponent of the stretch: brightens forest and water, and changes bright soil little."""
_PERCENTILES = (2, 98)


def write_quicklooks(
    uri: str, folder: Path, *, storage_options: dict[str, Any] | None = None, max_side: int = 1024
) -> list[Path]:
    """Write one PNG per period of a cube: true colour if it has red, green and blue, else grey.

    All periods and bands share one stretch, so that colours are true and months are comparable. Nodata is
    transparent. Only the pixels of the pictures are in memory.

    Parameters
    ----------
    uri : str
        Address of the store.
    folder : Path
        Folder of the pictures `<varname>_<YYYY-MM>.png`; created if it does not exist.
    storage_options : dict, optional
        Options of the store's filesystem.
    max_side : int
        Longest side of a picture in pixels; of a larger cube every n-th pixel is shown.

    Returns
    -------
    list of Path
        Files of the pictures, sorted by time.

    Raises
    ------
    InputError
        If there is no store, or none of its variables has a `band` dimension.
    """
    place = Place.at(uri, storage_options)
    if not exists(place):
        raise InputError(f"{uri} holds no cube; give the URI of an existing store")
    read_layouts(place)
    options = storage_options or None  # zarr refuses an empty mapping for a local path
    with (
        damage_as_store_error(uri),
        checked_codecs(),
        xr.open_zarr(uri, storage_options=options, mask_and_scale=False, chunks=None, zarr_format=3) as cube,
    ):
        name = next((str(name) for name, data in cube.data_vars.items() if "band" in data.dims), None)
        if name is None:
            raise InputError(f"{uri} holds no variable with a `band` dimension; give the URI of a cube")
        data = _thinned(cube[name], max_side)
        pictures = [data.isel(time=index).to_numpy() for index in range(data.sizes["time"])]
        months = data["time"].dt.strftime("%Y-%m").to_numpy()
        fill = data.attrs.get("_FillValue", 0)
        low, high = stretch_of(pictures, fill)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for month, numbers in zip(months, pictures, strict=True):
        path = folder / f"{name}_{month}.png"
        path.write_bytes(encode_png(stretched(numbers, low, high, fill)))
        paths.append(path)
    return paths


def _thinned(data: xr.DataArray, max_side: int) -> xr.DataArray:
    """Select every n-th pixel of the shown bands, lazily: (time, latitude, longitude, band)."""
    bands = [str(band) for band in data["band"].to_numpy()]
    shown = shown_bands(bands)
    stride = max(1, -(-max(data.sizes["latitude"], data.sizes["longitude"]) // max_side))
    thin = slice(None, None, stride)
    picked = data.isel(latitude=thin, longitude=thin, band=shown)
    return picked.transpose("time", "latitude", "longitude", "band")


def shown_bands(bands: Sequence[str]) -> list[int]:
    """Return the positions of the bands of a picture: red, green and blue if they exist, else the first."""
    return [bands.index(band) for band in (_TRUE_COLOUR if set(_TRUE_COLOUR) <= set(bands) else bands[:1])]


def stretch_of(pictures: list[NDArray[np.uint16]], fill: int) -> tuple[float, float]:
    """Return the digital numbers shown as black and white, for all periods and bands."""
    # Percentiles of digital numbers are those of reflectance, because the encoding is linear.
    valid = [numbers[numbers != fill] for numbers in pictures]
    seen = np.concatenate([*valid, np.empty(0, np.uint16)])
    if seen.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(seen, _PERCENTILES)
    return float(low), float(max(high, low + 1))


def stretched(numbers: NDArray[np.uint16], low: float, high: float, fill: int) -> NDArray[np.uint8]:
    """Stretch (y, x, 1 or 3) digital numbers into uint8 (4, y, x); transparent where a band is nodata."""
    share = np.clip((numbers.astype(np.float32) - low) / (high - low), 0, 1) ** (1 / _GAMMA)
    colour = np.broadcast_to(np.rint(share * 255), (*numbers.shape[:2], 3))
    alpha = np.where((numbers != fill).all(axis=-1, keepdims=True), 255, 0)
    # Transparent pixels are black, because viewers without alpha would show noise.
    rgba = np.concatenate([np.where(alpha > 0, colour, 0), alpha], axis=-1)
    return rgba.astype(np.uint8).transpose(2, 0, 1)
