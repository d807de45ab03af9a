"""Composite the pixels of one chunk from its scenes; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.catalog.scene import Scene
from ardcube.catalog.spatial_index import SceneIndex
from ardcube.chunk.read import ChunkReader
from ardcube.chunk.solar_days import SolarDay, dates_of, solar_days
from ardcube.chunk.stage_timer import StageTimer
from ardcube.errors import PermanentError
from ardcube.extent.grid import Window
from ardcube.pixels.bitmask import Bits, none_set, packed
from ardcube.pixels.median import count_days, median_of_valid, observe
from ardcube.pixels.observations import Observations
from ardcube.planning.memory import DAYS_AT_ONCE, Workload, stack_size, subdivide
from ardcube.planning.plan import CubeSpec
from ardcube.runtime.buffers import empty_stack


@dataclass(frozen=True, slots=True)
class ChunkPixels:
    """The pixels of one chunk and what they were made from."""

    values: NDArray[np.uint16]
    """Composite (y, x, band)."""
    count: NDArray[np.uint16]
    """Clear days (y, x)."""
    days: int
    """Solar days with a scene."""
    bytes_read: int
    """Bytes fetched from files."""


def composite_chunk(
    spec: CubeSpec, window: Window, scenes: Sequence[Scene], timer: StageTimer | None = None
) -> ChunkPixels:
    """Composite a chunk, in parts of bounded size, so that a large shard takes little more memory than a chunk.

    Parameters
    ----------
    spec : CubeSpec
        What every chunk of the cube has in common.
    window : Window
        Region of the chunk in the cube's grid.
    scenes : sequence of Scene
        All scenes whose reach meets the window and its halo.
    timer : StageTimer, optional
        Adds up the seconds of each stage.

    Raises
    ------
    PermanentError
        If the cloud mask returns an array of another shape or data type.
    SceneError, TransientError
        If a scene cannot be read.
    """
    timer = timer or StageTimer()
    height, width = window.shape
    days = len(solar_days(scenes))
    workload = Workload.of(spec.mask, len(spec.bands), (height, width), days, len(scenes))
    limits = subdivide(workload, spec.chunk_memory)
    values, count = np.zeros((height, width, len(spec.bands)), np.uint16), np.zeros((height, width), np.uint16)
    parts = list(window.split(limits.side))
    if len(parts) == 1:
        return ChunkPixels(values, count, days, _fill(spec, window, scenes, limits.stack_bytes, timer, (values, count)))
    index, bytes_read = SceneIndex(scenes), 0
    for part in parts:
        near = index.query(spec.grid.window_box(part.grow(spec.mask.halo)))
        inside = part.relative_to(window).slices
        bytes_read += _fill(spec, part, near, limits.stack_bytes, timer, (values[inside], count[inside]))
    return ChunkPixels(values, count, days, bytes_read)


def _fill(
    spec: CubeSpec,
    window: Window,
    scenes: Sequence[Scene],
    stack_bytes: int,
    timer: StageTimer,
    result: tuple[NDArray[np.uint16], NDArray[np.uint16]],
) -> int:
    """Fill composite (y, x, band) and count (y, x) of a window; return the bytes read.

    The mask comes first: no reflectance is read where nothing is clear. Bands and rows are then stacked and reduced,
    as many at once as fit into `stack_bytes`.
    """
    values, count = result
    with_halo = ChunkReader(spec.grid, window.grow(spec.mask.halo), spec.asset_access, spec.reader, spec.threads)
    days, clear = _clear_days(spec, with_halo, solar_days(scenes), timer)
    reader, bytes_read = with_halo.crop(window), with_halo.bytes_read
    del with_halo  # frees the footprints and projections of the halo
    height, width = window.shape
    observed = none_set(len(days), height, width)
    bands_at_once, rows_at_once = stack_size(len(days), window.shape, len(spec.bands), stack_bytes)
    for top in range(0, height, rows_at_once):
        rows = slice(top, min(height, top + rows_at_once))
        strip_window = Window(window.y0 + rows.start, window.y0 + rows.stop, window.x0, window.x1)
        strip = reader if strip_window == window else reader.crop(strip_window)
        strip_clear = [bits[rows] for bits in clear]
        for first in range(0, len(spec.bands), bands_at_once):
            bands = spec.bands[first : first + bands_at_once]
            with empty_stack((len(bands), len(days), *strip_window.shape)) as stack:
                with timer.stage("bands"):
                    strip.reflectance(days, bands, strip_clear, spec.resampling, spec.offset, stack)
                with timer.stage("composite"):
                    for position in range(len(bands)):
                        median_of_valid(stack[position], values[rows, :, first + position])
                    observe(stack, observed[:, rows])
        bytes_read += strip.bytes_read
    count[...] = count_days(observed, width)
    return bytes_read


def _clear_days(
    spec: CubeSpec, reader: ChunkReader, days: Sequence[SolarDay], timer: StageTimer
) -> tuple[list[SolarDay], list[Bits]]:
    """Return the days with a clear pixel in the chunk, and their clear pixels without the halo."""
    clear_days: list[SolarDay] = []
    clear: list[Bits] = []
    at_once = DAYS_AT_ONCE if getattr(spec.mask, "independent_days", False) else max(1, len(days))
    for first in range(0, len(days), at_once):
        group = days[first : first + at_once]
        with timer.stage("mask_bands"):
            mask_bands = {band: reader.categories(group, band) for band in spec.mask.bands}
        with timer.stage("mask"):
            for day, day_clear in zip(group, _apply_mask(spec, reader.window, group, mask_bands), strict=True):
                if day_clear.any():
                    clear_days.append(day)
                    clear.append(packed(day_clear))
    return clear_days, clear


def _apply_mask(
    spec: CubeSpec, window: Window, days: Sequence[SolarDay], mask_bands: Mapping[str, NDArray[Any]]
) -> NDArray[np.bool_]:
    """Call the mask, check its result, and cut off the halo: bool (day, y, x)."""
    observations = Observations(
        mask_bands,
        dates_of(days),
        spec.grid.latitude(np.arange(window.y0, window.y1)),
        spec.grid.longitude(np.arange(window.x0, window.x1)),
    )
    clear: NDArray[np.bool_] = np.asarray(spec.mask.clear(observations))
    height, width = window.shape
    if clear.shape != (len(days), height, width) or clear.dtype != bool:
        raise PermanentError(
            f"cloud mask {spec.mask.name} returned {clear.dtype} {clear.shape}; "
            f"it must be bool {(len(days), height, width)}"
        )
    halo = spec.mask.halo
    return clear[:, halo : height - halo, halo : width - halo]
