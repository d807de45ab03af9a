"""Memory model of a chunk: what building it takes, and how it is subdivided to stay within a limit (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from ardcube.errors import InputError
from ardcube.kernels.layout import LANES
from ardcube.pixels.composites.figures import needs_of
from ardcube.pixels.composites.protocol import OBSERVATION_COUNT, Composite, needs_all_bands
from ardcube.pixels.masks import CloudMaskHook, scene_masks
from ardcube.pixels.quality.registry import NO_QUALITY, Quality

STACK_BYTES = 350_000_000
"""Bytes of the stack of observations of one chunk: 24 days of four bands, or 121 days of one, of 1200 x 1200 pixels."""
DAYS_AT_ONCE = 4
"""Days that are masked together, if the mask judges each day independently."""
FILES_AHEAD = 4
"""Files whose blocks are fetched while others are decoded and resampled. A scene of four bands keeps 16 requests in
flight; with 30 ms of latency 8 files were no faster."""
DECODED_AHEAD = 1
"""Scenes that are decoded while another one is resampled."""
PART_SIDE = 1200
"""Pixels a side of the parts in which a larger chunk, or a shard, is built."""
WORKER_BYTES = 350_000_000
"""Bytes of a worker process before its first chunk: the interpreter, the libraries, compiled code."""

_SMALLEST_PART = 16
"""Pixels a side of the smallest part, which is the smallest chunk size."""
_SOURCE_PIXELS = 3
"""Source pixels per output pixel. An overview is finer than the output by less than a factor of two a side."""
_FETCHED_BYTES = 7
"""Bytes fetched of a file per output pixel: compressed whole blocks, and gaps too small for another request."""
_BLOCK_BYTES = 100_000_000
"""Least bytes of fetched and decoded blocks, because blocks are read whole: of 1024 x 1024 pixels, four compressed
blocks of each of four files, the decoded blocks of two scenes, and what the heap keeps of them."""
_CLASS_METRES = 20.0
"""Side of a pixel of a classification, in metres: that of Sentinel-2's, the finest one."""
_CLASS_PIXELS = 5490 * 5490
"""Most pixels of the classification of one scene."""
_CLASS_BYTES = 3
"""Bytes per pixel of a classification while it is decoded, cleaned and sampled, and what the heap keeps of them."""
_SCENE_BYTES = {"qa_pixel": 4 * 7900 * 7900}
"""Most such bytes of one scene, by name of the mask: Landsat scenes are larger, and their numbers have 16 bits. Pixels
of 30 m have fewer bytes per area than those of 20 m."""
_DISTANCE_BYTES = 4
"""More such bytes of a pixel whose distance to cloud is computed."""
_SHARE_FOR_SEVERAL_BANDS = 0.8
"""Share of the stack's bytes that several bands may take, because their source windows are larger than those of one."""
_OBSERVATION_BYTES = 6
"""Bytes per pixel and band of a strip that composites of whole observations use for shared and temporary arrays."""
_KERNEL_BYTES = 50_000_000
"""Bytes of composites of whole observations that `WORKER_BYTES` does not contain: 13 MB of compiled code for the
geometric median, its deviations, the medoid and an index, and what the heap keeps of them on a machine under load."""
_COMPRESSION_OVERHEAD = 3.7
"""Bytes per byte of the composite, itself included, while it is compressed; 2.2 for shards of small chunks."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The sizes of a chunk that its memory depends on."""

    height: int
    width: int
    bands: int
    days: int
    scenes: int
    halo: int = 0
    """Pixels around a part that the mask reads."""
    mask_bands: int = 0
    """Categorical bands that the mask reads."""
    independent_days: bool = True
    """Whether the mask judges each day independently; otherwise it gets all days of a part at once."""
    class_step: float = 0.0
    """Pixels of a scene's classification along the side of an output pixel; 0 without a scene mask."""
    class_reach: float = 0.0
    """Pixels of a scene's classification around a part that a scene mask reads."""
    class_scene: int = _CLASS_BYTES * _CLASS_PIXELS
    """Most bytes of the classification of one scene."""
    all_bands: bool = False
    """Whether a composite needs all bands of an observation at once."""
    figures: bool = False
    """Whether a composite needs figures of the scenes that give the pixels."""
    distances: bool = False
    """Whether a composite needs distances to cloud."""
    pixel_bytes: int = 0
    """Bytes per pixel of the variables and the count; 0 means those of one composite, uint16."""
    masked_bits: bool = False
    """Whether a bit of each day and pixel states that it is valid and not clear."""

    @classmethod
    def of(
        cls,
        mask: CloudMaskHook,
        composites: Sequence[Composite],
        bands: int,
        shape: tuple[int, int],
        days: int,
        scenes: int,
        metres: float,
        quality: Quality = NO_QUALITY,
    ) -> Self:
        """Return the workload of a chunk of a shape (height, width); pixels have a side of `metres`."""
        layers = (*(layer for one in composites for layer in one.layers), *quality.layers, OBSERVATION_COUNT)
        needs = needs_of(composites)
        of_all = cls(
            *shape, bands, days, scenes, all_bands=needs_all_bands(tuple(composites)), figures=needs.any,
            distances=needs.cloud_metres > 0,
            pixel_bytes=sum(layer.pixel_bytes(bands) for layer in layers), masked_bits=quality.needs_valid,
        )  # fmt: skip
        if masks := scene_masks(mask):
            step = metres / _CLASS_METRES
            reach = (max(one.clean_up.reach for one in masks) + needs.cloud_metres) / _CLASS_METRES
            scene = max(_SCENE_BYTES.get(one.name, _CLASS_BYTES * _CLASS_PIXELS) for one in masks)
            return replace(of_all, class_step=step, class_reach=reach, class_scene=scene)
        independent = bool(getattr(mask, "independent_days", False))
        return replace(of_all, halo=mask.halo, mask_bands=len(mask.bands), independent_days=independent)

    def part(self, side: int) -> tuple[int, int]:
        """Return height and width of the largest part, if parts have at most `side` pixels a side."""
        return min(self.height, side), min(self.width, side)


@dataclass(frozen=True, slots=True)
class Subdivision:
    """How a chunk is subdivided; it changes no pixel."""

    side: int
    """Most pixels a side of a part."""
    stack_bytes: int
    """Most bytes of a part's stack of observations."""


def stack_size(
    days: int,
    shape: tuple[int, int],
    bands: int,
    stack_bytes: int = STACK_BYTES,
    *,
    all_bands: bool = False,
    figures: bool = False,
) -> tuple[int, int]:
    """Return how many bands and rows are stacked at once.

    All bands of all rows if they fit into `stack_bytes`; otherwise fewer bands, then fewer rows. If a composite needs
    all bands at once (`all_bands`), fewer rows; `figures` of scenes take as much as a band.
    """
    height, width = shape
    if all_bands:
        row_bytes = max(1, observation_bytes(days, width, bands + figures))
        rows = min(height, max(1, int(_SHARE_FOR_SEVERAL_BANDS * stack_bytes) // row_bytes)) or 1
        return bands, math.ceil(height / max(1, math.ceil(height / rows)))
    band_bytes = max(1, days * height * width * 2)
    bands_at_once = min(bands, max(1, int(_SHARE_FOR_SEVERAL_BANDS * stack_bytes) // band_bytes))
    strips = min(height, math.ceil(band_bytes / stack_bytes)) or 1
    return bands_at_once, math.ceil(height / strips)


def observation_bytes(days: int, pixels: int, bands: int) -> int:
    """Return the bytes of all bands of the observations of some pixels, and of composites of whole observations."""
    return (2 * days + _OBSERVATION_BYTES) * bands * pixels


def _observation_bytes(workload: Workload, pixels: int) -> int:
    return observation_bytes(workload.days, pixels, workload.bands + workload.figures)


def subdivide(workload: Workload, limit: int | None) -> Subdivision:
    """Choose the parts and the stack of a chunk so that it fits into a limit.

    Fewer bands at once mean that weights are computed again, strips of rows that blocks are decoded again. Smaller
    parts cost most, so they are chosen only if the masks would take more than half of the memory that masks and stack
    share.

    Parameters
    ----------
    workload : Workload
        Sizes of the chunk.
    limit : int or None
        Bytes that the chunk may take; None chooses the fastest way.
    """
    if limit is None:
        return Subdivision(PART_SIDE, STACK_BYTES)
    available = limit - _write_bytes(workload)
    shared = available - _part_bytes(workload, _SMALLEST_PART)
    choices = [(side, available - _part_bytes(workload, side)) for side in _part_sides()]
    side, stack_bytes = next((choice for choice in choices if 2 * choice[1] >= shared), choices[-1])
    return Subdivision(side, max(1, min(STACK_BYTES, stack_bytes)))


def least_bytes(workload: Workload) -> int:
    """Return the smallest limit in bytes that a chunk can be built within: smallest parts, one row at a time."""
    width = min(workload.width, _SMALLEST_PART)
    one_row = 2 * workload.days * width
    if workload.all_bands:
        one_row = math.ceil(_observation_bytes(workload, width) / _SHARE_FOR_SEVERAL_BANDS)
    return _write_bytes(workload) + _part_bytes(workload, _SMALLEST_PART) + one_row


def chunk_bytes(workload: Workload, limit: int | None = None) -> int:
    """Return the bytes that building a chunk takes.

    For one part: the stack of observations, bounded by `STACK_BYTES`; one bit per day and pixel (observed) and two bits
    per scene and pixel (reach, clear), and two bytes if distances to cloud are needed; the bands of a day mask of
    `DAYS_AT_ONCE` days, or of all days; the decoded window of 1 + `DECODED_AHEAD` scenes, of reflectance or of the
    classification of a scene mask; the compressed blocks of `FILES_AHEAD` files. For the whole chunk: the composite and
    its compressed copy.
    """
    chosen = subdivide(workload, limit)
    part = workload.part(chosen.side)
    bands_at_once, rows_at_once = stack_size(
        workload.days, part, workload.bands, chosen.stack_bytes, all_bands=workload.all_bands,
        figures=workload.figures,
    )  # fmt: skip
    stack = 2 * workload.days * bands_at_once * rows_at_once * part[1]
    if workload.all_bands:
        stack = _observation_bytes(workload, rows_at_once * part[1])
    return stack + _part_bytes(workload, chosen.side) + _write_bytes(workload)


def chunk_limit(process: int | None, chunks: int, workload: Workload) -> int | None:
    """Return the bytes that each chunk may take in a process of limited memory; None without a limit.

    Parameters
    ----------
    process : int or None
        Bytes that the process may take.
    chunks : int
        Chunks that the process builds at the same time.
    workload : Workload
        The largest of them.

    Raises
    ------
    InputError
        If the limit is too small.
    """
    if process is None:
        return None
    share, least = (process - WORKER_BYTES) // chunks, least_bytes(workload)
    if share < least:
        raise InputError(
            f"memory-limit {process / 1e6:,.0f} MB is too little for chunks of {workload.height} x {workload.width} "
            f"pixels, {workload.bands} bands and up to {workload.days} days, {chunks} at once: that takes at least "
            f"{(WORKER_BYTES + chunks * least) / 1e6:,.0f} MB; allow more, or choose fewer threads or a smaller "
            "chunk-size"
        )
    return share


def _part_sides() -> list[int]:
    """Return the sides to choose from, largest first: each has about half as many pixels as the one before."""
    sides = [PART_SIDE]
    while sides[-1] > _SMALLEST_PART:
        sides.append(max(_SMALLEST_PART, sides[-1] * 3 // 4))
    return sides


def _part_bytes(workload: Workload, side: int) -> int:
    """Return the bytes of a part without its stack and the composite."""
    height, width = workload.part(side)
    decoded = (1 + DECODED_AHEAD) * _SOURCE_PIXELS * 2 * min(workload.bands, LANES)
    blocks = max(_BLOCK_BYTES, (decoded + FILES_AHEAD * _FETCHED_BYTES) * height * width)
    if workload.class_step:
        rows, columns = (workload.class_step * side + 2 * workload.class_reach for side in (height, width))
        classes = (1 + DECODED_AHEAD) * min(_CLASS_BYTES * rows * columns, workload.class_scene)
        if workload.distances:
            classes *= 1 + _DISTANCE_BYTES / _CLASS_BYTES
        masks = max(0, int(classes) - blocks)  # at other times than reflectance
    else:
        with_halo = (height + 2 * workload.halo) * (width + 2 * workload.halo)
        masked_days = min(workload.days, DAYS_AT_ONCE) if workload.independent_days else workload.days
        masks = masked_days * (3 + workload.mask_bands) * with_halo
    bits = (workload.days + 2 * workload.scenes) / 8 * height * width
    if workload.masked_bits:
        bits += (workload.days + workload.scenes) / 8 * height * width
    distances = 2 * workload.scenes * height * width if workload.distances else 0
    kernels = _KERNEL_BYTES if workload.all_bands else 0
    return int(bits + distances + masks + blocks) + kernels


def _write_bytes(workload: Workload) -> int:
    """Return the bytes of the variables and the count while they are compressed."""
    pixel_bytes = workload.pixel_bytes or 2 * (workload.bands + 1)
    return int(pixel_bytes * _COMPRESSION_OVERHEAD * workload.height * workload.width)
