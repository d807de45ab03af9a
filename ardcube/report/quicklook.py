"""Write quicklooks: one PNG per period of a cube."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ardcube.config.period import has_days
from ardcube.errors import InputError
from ardcube.extent.grid import Grid
from ardcube.extent.lattice import Lattice
from ardcube.extent.window import Window
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.stored_cube import StoredCube, stored_backend
from ardcube.report.banded import BandedVariable, shown_variable
from ardcube.report.map_frame import MapPosition, draw_frame
from ardcube.report.open_level import open_level
from ardcube.report.png import encode_png
from ardcube.report.shown_levels import pyramid_levels
from ardcube.report.shown_pixels import BLOCK, Level, Limit, ShownPixels, choose_pixels
from ardcube.report.state_map import RETRIED, WRITTEN, chunk_states
from ardcube.report.thumbnail import Thumbnail
from ardcube.report.true_colour import digital_numbers, shown_bands, stretch_of, stretched
from ardcube.report.wording import count_of
from ardcube.storage.place import Place
from ardcube.storage.writable import make_folder
from ardcube.store.backend import array_of
from ardcube.store.coordinates import read_time_bounds
from ardcube.store.schema import FILL, exists, read_attributes
from ardcube.store.versions import for_reading

LIMIT = Limit(pixels=500_000_000, tiles=2_000, pictures=400, periods="spread", rest="sample")
"""Limit of all pictures together: less than 30 s on two cores."""
_EVERYTHING = Limit(pixels=2**62, tiles=2**62, pictures=2**62, periods="spread", rest="sample")
_MOST_DRAWN = 24 * 1024**2
"""Pixels of all pictures together. More periods have smaller pictures, because a PNG of 1024 x 1024 pixels takes half a
second of CPU."""
_THREADS = 8
"""Chunks of a sample that are read at once. They wait for the store."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Composite:
    """The periods of a cube, and the numbers of the pictures that show some of them."""

    name: str
    position: MapPosition
    pictures: Sequence[NDArray[np.uint16]]
    labels: Sequence[str]
    captions: Sequence[str]


def write_quicklooks(
    uri: str,
    folder: Path,
    *,
    at: str | None = None,
    storage_options: dict[str, Any] | None = None,
    max_side: int = 1024,
    all_pixels: bool = False,
) -> list[Path]:
    """Write one PNG per period of a cube: true colour if it has red, green and blue, else grey.

    All periods and bands share one stretch, so that colours are true and months are comparable. Nodata is
    transparent. The frame shows the first and the last day of the period, the corners and a scale bar. A world file
    `.pgw` states the position of the picture. Only the pixels of the pictures and one block are in memory.

    A cube of very many chunks is not read as a whole. The pixels come from a level of its pyramid. Without levels, each
    square of the picture has the mean colour of one of several chunks, and the frame says so. More periods than may
    be read are left out, which is logged as a warning.

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
        Longest side of a map in pixels. Pixels of a larger cube are averaged, those of a small cube enlarged. Pictures
        of very many periods are smaller.
    all_pixels : bool
        Read all pixels of the cube, however many there are.

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
    shown = _choose(place, uri, _EVERYTHING if all_pixels else LIMIT)
    make_folder(folder, "--output")
    read = _read(place, shown, max_side)
    low, high = stretch_of(read.pictures, FILL)
    paths = []
    for label, caption, numbers in zip(read.labels, read.captions, read.pictures, strict=True):
        path = folder / f"{read.name}_{label}.png"
        picture, origin = draw_frame(stretched(numbers, low, high, FILL), read.position, caption)
        path.write_bytes(encode_png(picture))
        path.with_suffix(".pgw").write_text(read.position.world_file(numbers.shape[:2], origin))
        paths.append(path)
    return paths


def _choose(place: Place, uri: str, limit: Limit) -> ShownPixels:
    """Choose the pixels that are read; a warning states the periods that are left out."""
    with open_level(place) as cube:
        variable = shown_variable(cube, read_attributes(place))
        if variable is None:
            raise InputError(f"{uri} holds no variable with a `band` dimension; give the URI of a cube")
        arrays = 1 if variable.arrays[0].ndim == 4 else len(shown_bands(variable.bands))
        limit = limit.for_arrays(arrays)
        periods = variable.arrays[0].shape[0]
        shown = choose_pixels(_levels(place, variable), range(periods), limit, variable.chunk)
    if shown is None:
        raise InputError(f"{uri}: one chunk has more than {limit.pixels:,} pixels; read all of them with --all-pixels")
    if len(shown.periods) < periods:
        logger.warning(
            "pictures of %d of %s, evenly spread; --all-pixels draws all",
            len(shown.periods), count_of(periods, "period"),
        )  # fmt: skip
    return shown


def _levels(place: Place, variable: BandedVariable) -> Iterator[Level]:
    """Yield the cube, of which any tile may have pixels, and the levels of its pyramid."""
    periods, *size = variable.arrays[0].shape[:3]
    tiles = np.ones((periods, *(-(-length // variable.tile) for length in size)), bool)
    yield Level(0, (size[0], size[1]), variable.tile, tiles, tiles)
    if "multiscales" not in read_attributes(place):
        return
    ledger = Ledger.of_store(place)
    stored = StoredCube.read(ledger)
    if stored is None or len(stored.periods) != periods:
        return  # no ledger, or a version of the cube with fewer periods
    labels, grid = [period.label for period in stored.periods], stored.grid
    states = chunk_states(labels, grid.tiles(stored.config.tile_size), ledger.records(brief=True).values())
    yield from pyramid_levels(ledger, stored, np.isin(states, (WRITTEN, RETRIED)))


def _read(place: Place, shown: ShownPixels, max_side: int) -> _Composite:
    """Read the numbers of all pictures: uint16 (y, x, band)."""
    attributes = read_attributes(place)
    with open_level(place, shown.level.number) as cube, ThreadPoolExecutor(_THREADS) as threads:
        variable = shown_variable(cube, attributes)
        assert variable is not None  # that of the cube
        position = _position(cube, shown.window)
        thumbnail = _thumbnail(shown, position.pixel_width, max_side)
        bands, chosen = shown_bands(variable.bands), list(shown.periods)
        pictures = []
        for period in chosen:
            read = partial(variable.read, period, bands=bands)
            if shown.step > 1:
                means = thumbnail.sample(read, variable.chunk, shown.step, threads)
            else:  # block by block, to save memory
                means = thumbnail.mean(read, variable.chunk * max(1, BLOCK // variable.chunk))
            pictures.append(digital_numbers(means))
        bounds = read_time_bounds(cube)[chosen]
    labels = np.datetime_as_string(bounds[:, 0], "D" if has_days(str(attributes.get("period"))) else "M")
    sample = f"; sample: 1 of {shown.step} x {shown.step} chunks" if shown.step > 1 else ""
    captions = [f"{start} to {end - 1}{sample}" for start, end in bounds]
    return _Composite(variable.name, position, pictures, list(labels), captions)


def _thumbnail(shown: ShownPixels, pixel_width: float, max_side: int) -> Thumbnail:
    """Return the shape of the pictures, which are smaller if there are very many."""
    thumbnail = Thumbnail.of(shown.window, pixel_width, max_side)
    drawn = len(shown.periods) * math.prod(thumbnail.shape)
    if drawn <= _MOST_DRAWN:
        return thumbnail
    return Thumbnail.of(shown.window, pixel_width, max(1, int(max(thumbnail.shape) * math.sqrt(_MOST_DRAWN / drawn))))


def _position(cube: zarr.Group, window: Window) -> MapPosition:
    mapping = array_of(cube, "spatial_ref").attrs
    west, step_x, _, north, _, step_y = map(float, str(mapping["GeoTransform"]).split())
    return MapPosition.of(
        Grid(Lattice(str(mapping["crs_wkt"]), west, north, step_x, step_y), 0, 0, *window.shape), window
    )
