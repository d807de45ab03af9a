"""Write quicklooks: one PNG per period of a cube."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ardcube.config.period import has_days
from ardcube.config.variables import variable_name
from ardcube.errors import InputError
from ardcube.extent.grid import Grid
from ardcube.extent.lattice import Lattice
from ardcube.extent.window import Window
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.stored_cube import stored_backend
from ardcube.report.banded import BandedVariable, banded_variables
from ardcube.report.map_frame import MapPosition, draw_frame
from ardcube.report.png import encode_png
from ardcube.report.thumbnail import Thumbnail
from ardcube.storage.place import Place
from ardcube.storage.writable import make_folder
from ardcube.store.backend import zarr_store
from ardcube.store.checked_codecs import checked_codecs
from ardcube.store.layouts import base_group
from ardcube.store.schema import FILL, exists, read_attributes
from ardcube.store.validate import damage_as_store_error, read_layouts
from ardcube.store.versions import for_reading

_TRUE_COLOUR = ("red", "green", "blue")
_GAMMA = 1.4
"""Exponent of the stretch: brightens forest and water, and changes bright soil little."""
_PERCENTILES = (2, 98)
_BLOCK = 1024
"""Pixels per side of a block that is read at once, if chunks are not larger."""


def write_quicklooks(
    uri: str,
    folder: Path,
    *,
    at: str | None = None,
    storage_options: dict[str, Any] | None = None,
    max_side: int = 1024,
) -> list[Path]:
    """Write one PNG per period of a cube: true colour if it has red, green and blue, else grey.

    All periods and bands share one stretch, so that colours are true and months are comparable. Nodata is
    transparent. The frame shows the first and the last day of the period, the corners and a scale bar. A world file
    `.pgw` states the position of the picture. Only the pixels of the pictures and one block are in memory.

    Parameters
    ----------
    uri : str
        Address of the store.
    folder : Path
        Folder of the pictures `<varname>_<YYYY-MM>.png`, with the day for periods of days; created if it does not
        exist.
    storage_options : dict, optional
        Options of the store's filesystem.
    at : str, optional
        Version of a cube with the storage backend icechunk, such as ``v2``. Default: the newest one.
    max_side : int
        Longest side of a map in pixels. Pixels of a larger cube are averaged, those of a small cube enlarged.

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
    place = for_reading(place, stored_backend(Ledger.of_store(place)), at)
    if not exists(place):
        raise InputError(f"{uri} holds no cube; give the URI of an existing store")
    attributes, group = read_attributes(place), base_group(place)
    read_layouts(group)
    with (
        damage_as_store_error(uri),
        checked_codecs(),
        xr.open_zarr(zarr_store(group), mask_and_scale=False, chunks=None, zarr_format=3) as cube,
    ):
        shown = shown_variable(cube, attributes)
        if shown is None:
            raise InputError(f"{uri} holds no variable with a `band` dimension; give the URI of a cube")
        periods, *shape = shown.arrays[0].shape[:3]
        window = Window(0, shape[0], 0, shape[1])
        make_folder(folder, "--output")
        position = _position(cube, window)
        thumbnail = Thumbnail.of(window, position.pixel_width, max_side)
        pictures = [_read(shown, period, thumbnail) for period in range(periods)]
        labels = cube["time"].dt.strftime("%Y-%m-%d" if has_days(str(attributes.get("period"))) else "%Y-%m").to_numpy()
        bounds = cube["time_bnds"].to_numpy().astype("datetime64[D]")
    low, high = stretch_of(pictures, FILL)
    paths = []
    for label, (start, end), numbers in zip(labels, bounds, pictures, strict=True):
        path = folder / f"{shown.name}_{label}.png"
        picture, origin = draw_frame(stretched(numbers, low, high, FILL), position, f"{start} to {end - 1}")
        path.write_bytes(encode_png(picture))
        path.with_suffix(".pgw").write_text(position.world_file(thumbnail.shape, origin))
        paths.append(path)
    return paths


def shown_variable(cube: xr.Dataset, attributes: Mapping[str, Any]) -> BandedVariable | None:
    """Return the variable of the pictures: that of the first composite which has bands; None if there is none.

    Parameters
    ----------
    cube : xarray.Dataset
        Group with the pixels of a cube.
    attributes : mapping
        Attributes of the store.
    """
    banded = banded_variables(cube)
    composites = map(variable_name, str(attributes.get("composite", "")).split(", "))
    return next((banded[name] for name in composites if name in banded), next(iter(banded.values()), None))


def _position(cube: xr.Dataset, window: Window) -> MapPosition:
    mapping = cube["spatial_ref"].attrs
    west, step_x, _, north, _, step_y = map(float, str(mapping["GeoTransform"]).split())
    return MapPosition.of(
        Grid(Lattice(str(mapping["crs_wkt"]), west, north, step_x, step_y), 0, 0, *window.shape), window
    )


def _read(shown: BandedVariable, period: int, thumbnail: Thumbnail) -> NDArray[np.uint16]:
    """Read the shown bands of a period, block by block to save memory: (y, x, band)."""
    bands = shown_bands(shown.bands)
    block = shown.chunk * max(1, _BLOCK // shown.chunk)
    return digital_numbers(thumbnail.mean(lambda part: shown.read(period, part, bands), block))


def digital_numbers(means: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round means to digital numbers; nodata where there is none."""
    return np.nan_to_num(np.rint(means), nan=FILL).astype(np.uint16)


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
