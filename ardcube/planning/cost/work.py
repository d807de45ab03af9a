"""The sizes of chunks that their cost depends on, from the footprints and items of their scenes (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import date
from functools import reduce
from operator import add
from typing import Literal, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ardcube.catalog.scene import Scene, add_margin
from ardcube.extent.window import Window
from ardcube.pixels.masks import scene_masks
from ardcube.pixels.resample import KERNELS
from ardcube.planning.cost.files import SampledScene, metres_per_unit
from ardcube.planning.cost.reading import FileReads, Reading, Target
from ardcube.planning.plan import CubeSpec
from ardcube.raster.header import pixel_size

Case = Literal["low", "likely", "high"]
CASES: tuple[Case, ...] = ("low", "likely", "high")
_CLOUD_METRES = 6_700.0
"""Side of an area of which one pixel is clear with probability 1 - (1 - c) ** 2, where c is the clear share, in the
synthetic archives and of the real scenes. Larger areas have an exponent that grows with their side."""
_COVER_ERROR = 0.15
"""Share of pixels by which the cloud cover of an item differs from that of a chunk and of its mask."""
_UNKNOWN_CLEAR = 0.5
"""Clear share that is likely if no item states its cloud cover."""


@dataclass(frozen=True, slots=True)
class Work:
    """Sizes of chunks; those of several chunks are added."""

    chunks: float = 0.0
    processes: float = 0.0
    """Worker processes that build their first chunk, and load compiled code."""
    tasks: float = 0.0
    """Task runs of Prefect in these processes."""
    output: float = 0.0
    """Bytes of pixels before compression."""
    observed: float = 0.0
    """The part of these bytes that is expected to have a clear observation."""
    arrays: float = 0.0
    """Objects of the store that are expected."""
    opened: float = 0.0
    """Files whose header is read."""
    header_requests: float = 0.0
    header_bytes: float = 0.0
    """Bytes of these requests."""
    fetches: float = 0.0
    """Reads of blocks of a file."""
    requests: float = 0.0
    """Requests for blocks."""
    mask_bytes: float = 0.0
    """Compressed bytes of classifications."""
    band_bytes: float = 0.0
    """Compressed bytes of reflectance."""
    clear: float = 0.0
    """Clear observations: pixels times bands times days."""

    def __add__(self, other: Work) -> Work:
        return Work(*map(add, astuple(self), astuple(other)))

    def times(self, factor: float) -> Work:
        """Return a multiple."""
        return Work(*(factor * value for value in astuple(self)))

    @classmethod
    def sum(cls, works: Iterable[Self | Work]) -> Work:
        """Return the sum of several."""
        return reduce(add, works, Work())


@dataclass(frozen=True, slots=True)
class WorkModel:
    """Computes the work of the chunks of a cube.

    The sizes are those of one case of cloud cover: `low` is that with least work.
    """

    spec: CubeSpec
    reads: FileReads
    case: Case = "likely"
    usual_clear: float = _UNKNOWN_CLEAR
    """Clear share of scenes that do not state their cloud cover, in the likely case."""
    draws: int = 8
    """Random choices of needed blocks of a file under a chunk."""

    @classmethod
    def of(
        cls, spec: CubeSpec, scenes: Iterable[Scene], case: Case, block: int, samples: Sequence[SampledScene] = ()
    ) -> Self:
        """Return the model for some scenes, whose stated covers are likely for those that state none.

        Parameters
        ----------
        spec : CubeSpec
            Cube of the chunks.
        scenes : iterable of Scene
            All scenes of the cube.
        case : Case
            Case of cloud cover.
        block : int
            Pixels a side of a block of a file without a header.
        samples : sequence of SampledScene
            Scenes whose headers were read.
        """
        known = [scene.cloud_cover for scene in scenes if scene.cloud_cover is not None]
        usual = 1 - sum(known) / len(known) / 100 if known else _UNKNOWN_CLEAR
        return cls(spec, FileReads(spec.grid.lattice, spec.bands, samples, block), case, usual)

    def of_chunk(self, window: Window, scenes: Sequence[Scene]) -> Work:
        """Return the work of a chunk with all scenes whose reach meets it; files are opened once for each chunk."""
        return self.of_parts(window, self.parts(window, scenes))

    def parts(self, window: Window, scenes: Sequence[Scene]) -> list[Part]:
        """Return the parts of a chunk that usable scenes cover; they are equal in all cases."""
        usable = [scene for scene in scenes if not scene.problem]
        if not usable:
            return []
        outline, side = self.spec.grid.window_outline(window), self._ground(window)
        footprints = np.array([scene.footprint for scene in usable], object)
        met, reached = (shapely.intersection(areas, outline) for areas in (footprints, add_margin(footprints)))
        own, read = _without_earlier(usable, met, met if self.spec.mask.bands else reached)
        shares = np.clip(shapely.area(own) / outline.area, 0, 1).tolist()
        return [
            Part(scene, share, _metres(area, outline, window.shape, side), self._targets(scene, reach, area, side))
            for scene, share, reach, area in zip(usable, shares, reached, read, strict=True)
        ]

    def of_parts(self, window: Window, parts: Sequence[Part]) -> Work:
        """Return the work of a chunk from its parts."""
        spec, (height, width) = self.spec, window.shape
        pixels = height * width
        output = float(pixels * sum(layer.pixel_bytes(len(spec.bands)) for layer in spec.variables))
        if not parts:
            return Work(chunks=1, output=output)
        clear = np.array([self._clear(part.scene) for part in parts])
        covered = np.array([part.share for part in parts]) * clear
        scenes = [part.scene for part in parts]
        wanted = covered if spec.enough is None else _first_clear(scenes, covered, spec.enough)
        factors = np.divide(wanted, covered, out=np.zeros(len(parts)), where=covered > 0)
        works = [self._of_part(part, share) for part, share in zip(parts, (clear * factors).tolist(), strict=True)]
        observed = 1 - float(np.prod(1 - covered))
        return replace(
            Work.sum(works),
            chunks=1,
            output=output,
            observed=output * observed,
            arrays=len(spec.arrays) * float(observed > 0),
            clear=float(wanted.sum()) * pixels * len(spec.bands),
        )

    def _targets(
        self, scene: Scene, reach: BaseGeometry, area: BaseGeometry, side: tuple[float, float]
    ) -> dict[str, Target | None]:
        """Return the blocks of each band of a scene under a chunk."""
        found = {}
        for band, (file, level) in self.reads.levels(scene).items():
            unit = metres_per_unit(file.header.crs)
            if band in self.spec.bands:
                pixel = max(unit * pixel_size(level.transform), *side)
                found[band] = self.reads.target(scene, band, area, KERNELS[self.spec.resampling] * pixel / unit)
            else:
                found[band] = self.reads.target(scene, band, reach, self._reach / unit)
        return found

    def _of_part(self, part: Part, clear: float) -> Work:
        """Return the work of reading a scene: its classification, and reflectance where it is clear.

        Parameters
        ----------
        part : Part
            The part of a chunk that the scene covers.
        clear : float
            Share of the part whose pixels are clear and needed.
        """
        found, (height, width) = Work(), part.metres
        for band, (file, level) in self.reads.levels(part.scene).items():
            is_mask, target = band not in self.spec.bands, part.targets[band]
            block = level.block[0] * pixel_size(level.transform) * metres_per_unit(file.header.crs)
            opened = 1.0 if is_mask else _needed(clear, math.sqrt(height * width)) * (min(height, width) > 0)
            read = Reading()
            if target is not None:
                read = target.reading(1.0 if is_mask else _needed(clear, min(block, height, width)), self.draws)
            found += Work(
                opened=opened,
                header_requests=opened * file.header_requests,
                header_bytes=opened * file.header_bytes,
                fetches=opened * (target is not None),
                requests=read.requests,
                mask_bytes=is_mask * read.received,
                band_bytes=(not is_mask) * read.received,
            )
        return found

    def files_of(self, scenes: Iterable[Scene]) -> float:
        """Return the number of different files that are expected to be read of scenes."""
        masks, bands = set[str](), set[str]()
        for scene in (scene for scene in scenes if not scene.problem):
            is_read = self._clear(scene) > 0
            for band, asset in scene.bands.items():
                if band not in self.spec.bands:
                    masks.add(asset.href)
                elif is_read:
                    bands.add(asset.href)
        return len(masks | bands)

    @property
    def _reach(self) -> float:
        """Metres around a pixel that its cloud mask reads."""
        return max((mask.clean_up.reach for mask in scene_masks(self.spec.mask)), default=0.0)

    def _clear(self, scene: Scene) -> float:
        """Return the share of a scene's pixels that its mask is expected to find clear."""
        if not self.spec.mask.bands:
            return 1.0
        if scene.cloud_cover is None:
            return {"low": 0.0, "likely": self.usual_clear, "high": 1.0}[self.case]
        error = {"low": -_COVER_ERROR, "likely": 0.0, "high": _COVER_ERROR}[self.case]
        return min(1.0, max(0.0, 1 - scene.cloud_cover / 100 + error))

    def _ground(self, window: Window) -> tuple[float, float]:
        """Return the height and width of a pixel of the window on the ground, in metres."""
        grid = self.spec.grid
        metres = grid.metres
        if not grid.lattice.is_geographic:
            return metres, metres
        latitude = float(grid.y(np.array([(window.y0 + window.y1) / 2]))[0])
        across = abs(grid.lattice.step_x) * grid.lattice.metres_per_unit
        return metres, across * max(0.01, math.cos(math.radians(latitude)))


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a chunk that a scene covers."""

    scene: Scene
    share: float
    """Share of the chunk that this scene gives and no earlier one of its solar day."""
    metres: tuple[float, float]
    """Height and width of the bounds of the area of which reflectance is read."""
    targets: Mapping[str, Target | None]
    """Blocks of each band under the chunk; None if there are none."""


def _without_earlier(
    scenes: Sequence[Scene], met: NDArray[np.object_], wanted: NDArray[np.object_]
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Return the areas that scenes give and those that are read of them: without earlier scenes of their solar day.

    A pixel that is clear in one scene is clear in the other one too. Scenes of another CRS are read there anyway,
    because their pixels differ at the borders of clouds.

    Parameters
    ----------
    scenes : sequence of Scene
        Scenes of a chunk.
    met : array of geometries
        Parts of the chunk inside of their footprints.
    wanted : array of geometries
        Parts of the chunk that are read of them.
    """
    own, read = met.copy(), wanted.copy()
    earlier: dict[tuple[date, str], list[int]] = {}
    for number in sorted(range(len(scenes)), key=lambda at: (scenes[at].datetime, scenes[at].id)):
        before = earlier.setdefault(scenes[number].observation(), [])
        for other in before:
            own[number] = shapely.difference(own[number], met[other])
            if _crs_of(scenes[other]) == _crs_of(scenes[number]):
                read[number] = shapely.difference(read[number], met[other])
        before.append(number)
    return own, read


def _crs_of(scene: Scene) -> str:
    return next((asset.crs for asset in scene.bands.values()), "")


def _metres(
    area: BaseGeometry, outline: BaseGeometry, shape: tuple[int, int], side: tuple[float, float]
) -> tuple[float, float]:
    """Return height and width of the bounds of a part of a window, in metres."""
    if area.is_empty:
        return 0.0, 0.0
    (west, south, east, north), whole = area.bounds, outline.bounds
    return (
        side[0] * shape[0] * min(1.0, (north - south) / (whole[3] - whole[1])),
        side[1] * shape[1] * min(1.0, (east - west) / (whole[2] - whole[0])),
    )


def _needed(clear: float, metres: float) -> float:
    """Return the probability that an area of a side has a clear pixel. Clouds are smaller than large areas."""
    return 1.0 - math.pow(1.0 - clear, 1.0 + metres / _CLOUD_METRES)


def _first_clear(scenes: Sequence[Scene], covered: NDArray[np.float64], enough: int) -> NDArray[np.float64]:
    """Return the shares of a chunk that scenes give if a pixel takes its first clear days, the least cloudy first."""
    wanted, seen = np.zeros(len(scenes)), np.zeros(enough)
    seen[0] = 1.0  # probability of each number of clear days so far
    for number in sorted(range(len(scenes)), key=lambda at: _cover_order(scenes[at])):
        clear = covered[number]
        wanted[number] = clear * seen.sum()
        seen[1:], seen[0] = seen[1:] * (1 - clear) + seen[:-1] * clear, seen[0] * (1 - clear)
    return wanted


def _cover_order(scene: Scene) -> float:
    return math.inf if scene.cloud_cover is None else scene.cloud_cover


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` positions, evenly spread over `count`."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
