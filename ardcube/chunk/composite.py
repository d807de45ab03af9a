"""Composite the pixels of one chunk from its scenes; nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ardcube.catalog.scene import Scene
from ardcube.catalog.spatial_index import SceneIndex
from ardcube.chunk.clear import Observation, clear_observations
from ardcube.chunk.figures import scene_figures
from ardcube.chunk.fill import BandStack
from ardcube.chunk.first_days import first_clear_days
from ardcube.chunk.fuse import fuse
from ardcube.chunk.quality import fill_counted
from ardcube.chunk.read import ChunkReader
from ardcube.chunk.solar_days import solar_days
from ardcube.chunk.stage_timer import StageTimer
from ardcube.extent.clip_grid import GridClip
from ardcube.extent.periods import Period
from ardcube.extent.window import Window
from ardcube.pixels.bitmask import none_set
from ardcube.pixels.composites.figures import needs_of
from ardcube.pixels.composites.protocol import Stack, needs_all_bands
from ardcube.pixels.composites.reduce import reduce_bands, reduce_observations
from ardcube.pixels.median import count_days, observe
from ardcube.planning.memory import Workload, stack_size, subdivide
from ardcube.planning.plan import CubeSpec
from ardcube.runtime.at_once import building
from ardcube.runtime.buffers import empty_stack


@dataclass(frozen=True, slots=True)
class ChunkPixels:
    """The pixels of one chunk and what they were made from."""

    variables: tuple[NDArray[Any], ...]
    """One array for each variable of the cube, as in `CubeSpec.variables`: (y, x, band) or (y, x)."""
    days: int
    """Observations, of one solar day and sensor each."""
    bytes_read: int
    """Bytes fetched from files."""
    counts: Mapping[str, int]
    """Numbers of pixels that the record states if they are not 0, by name."""
    inside: int
    """Pixels that are not clipped."""

    @property
    def values(self) -> NDArray[Any]:
        """The first variable."""
        return self.variables[0]

    @property
    def count(self) -> NDArray[np.uint16]:
        """Clear observations (y, x)."""
        return self.variables[-1]


@building()
def composite_chunk(
    spec: CubeSpec,
    window: Window,
    scenes: Sequence[Scene],
    timer: StageTimer | None = None,
    period: Period | None = None,
    clip: GridClip | None = None,
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
    period : Period, optional
        Period of the chunk, for composites that depend on it.
    clip : GridClip, optional
        Geometries that contain the centres of all pixels that are built.

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
    workload = Workload.of(
        spec.mask, spec.composites, len(spec.bands), (height, width), days, len(scenes), spec.grid.metres, spec.quality
    )
    limits = subdivide(workload, spec.chunk_memory)
    variables = cache(lambda: tuple(layer.empty(height, width, len(spec.bands)) for layer in spec.variables))
    part_filler = _PartFiller(spec, limits.stack_bytes, timer, period)
    parts = list(window.split(limits.side))
    index, bytes_read, pixels_inside = SceneIndex(scenes), 0, 0
    for part in parts:
        inside = None if clip is None else clip.inside(part)
        pixels_of_part = part.pixels if inside is None else int(np.count_nonzero(inside))
        if pixels_of_part == 0:
            continue
        pixels_inside += pixels_of_part
        near = scenes if len(parts) == 1 else index.query(spec.grid.window_outline(part.grow(spec.mask.halo)))
        region = part.relative_to(window).slices
        bytes_read += part_filler.fill(part, near, partial(_regions, variables, region), inside)
    return ChunkPixels(variables(), days, bytes_read, part_filler.counts, pixels_inside)


Variables = Callable[[], Sequence[NDArray[Any]]]
"""Returns arrays that are made at the first call: after a stack was filled, in memory that decoding has released."""


def _regions(variables: Variables, region: Any) -> Sequence[NDArray[Any]]:
    return [variable[region] for variable in variables()]


@dataclass(frozen=True, slots=True)
class _PartFiller:
    """Fills the variables of parts of one chunk."""

    spec: CubeSpec
    stack_bytes: int
    timer: StageTimer
    period: Period | None
    counts: Counter[str] = field(default_factory=Counter)
    """Sums of those of the stacks."""

    def fill(
        self,
        window: Window,
        scenes: Sequence[Scene],
        variables: Variables,
        inside: NDArray[np.bool_] | None,
    ) -> int:
        """Fill the variables of a window, in all pixels or those inside (y, x); return the bytes read.

        The mask comes first, for each scene: no reflectance is read where a scene is not clear. Bands and rows are then
        stacked and reduced, as many at once as fit into `stack_bytes`.
        """
        spec = self.spec
        reader = ChunkReader(spec.grid, window, spec.bands, spec.asset_access, spec.reader, spec.threads)
        with self.timer.stage("mask"):
            found = clear_observations(
                spec.mask, reader, solar_days(scenes), inside,
                masked=spec.quality.needs_valid, cloud_metres=needs_of(spec.composites).cloud_metres,
            )  # fmt: skip
            if spec.enough is not None:
                found = first_clear_days(found, spec.enough, window.shape[1])
            observations = [one for one in found if one.areas]
        bytes_read, reader = reader.bytes_read, reader.crop(window)  # frees what only the mask needs
        height, width = window.shape
        observed = none_set(len(observations), height, width)
        bands_at_once, rows_at_once = stack_size(
            len(observations), window.shape, len(spec.bands), self.stack_bytes,
            all_bands=needs_all_bands(spec.composites), figures=needs_of(spec.composites).any,
        )  # fmt: skip
        for top in range(0, height, rows_at_once):
            rows = slice(top, min(height, top + rows_at_once))
            strip = reader.crop(Window(window.y0 + rows.start, window.y0 + rows.stop, window.x0, window.x1))
            parts = [one.rows(rows) for one in observations]
            outs = partial(_regions, variables, rows)
            for first in range(0, len(spec.bands), bands_at_once):
                bands = slice(first, first + bands_at_once)
                self._reduce(strip, parts, bands, outs, observed[:, rows])
            bytes_read += strip.bytes_read
        arrays = variables()
        arrays[-1][...] = count_days(observed, width)
        if spec.quality.counted:
            with self.timer.stage("quality"):
                fill_counted(spec.quality, found, observed, self.period, arrays)
        if inside is not None:
            for layer, variable in zip(spec.variables, arrays, strict=True):
                variable[~inside] = layer.fill
        return bytes_read

    def _reduce(
        self,
        strip: ChunkReader,
        observations: Sequence[Observation],
        bands: slice,
        variables: Variables,
        observed: NDArray[np.uint8],
    ) -> None:
        """Read some bands of a strip of rows, and fill its part of the variables; set the pixels observed."""
        spec, names, shape = self.spec, self.spec.bands[bands], (len(observations), *strip.window.shape)
        source = np.zeros(shape, np.uint16) if needs_of(spec.composites).any else None
        with empty_stack((len(names), *shape)) as numbers:
            with self.timer.stage("bands"):
                areas = [one.areas for one in observations]
                fuse(strip, areas, BandStack(numbers, names, spec.resampling, spec.encoding, source))
            with self.timer.stage("composite"):
                outs = variables()
                reduce_bands(spec.reduced, numbers, outs, bands.start)
                observe(numbers, observed)
                if needs_all_bands(spec.composites):
                    stack = self._stack(numbers, observations, source)
                    reduce_observations(spec.reduced, stack, outs)
                    self.counts.update(stack.counts)

    def _stack(
        self, numbers: NDArray[np.uint16], observations: Sequence[Observation], source: NDArray[np.uint16] | None
    ) -> Stack:
        spec, period = self.spec, self.period
        return Stack(
            numbers,
            spec.bands,
            np.array([one.date for one in observations], "datetime64[ns]"),
            spec.encoding.scale,
            spec.encoding.offset,
            None if period is None else (period.start, period.end),
            tuple(one.sensor for one in observations),
            None if source is None else scene_figures([one.areas for one in observations], source),
        )
