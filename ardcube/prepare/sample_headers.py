"""Read the headers of some scenes, so that an estimate of cost knows the blocks of their files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import zip_longest
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from ardcube.catalog.file_access import access_of
from ardcube.catalog.scene import BandAsset, Scene
from ardcube.config import FileAccess
from ardcube.errors import ArdcubeError
from ardcube.planning.cost.estimate import Samples
from ardcube.planning.cost.files import File, SampledScene
from ardcube.planning.cost.work import evenly
from ardcube.planning.plan import CubeSpec
from ardcube.raster.cog import Cog
from ardcube.raster.object_store import UnsupportedFileError
from ardcube.runtime.usage import counting

_SCENES = 2
"""Scenes of each sensor and set of bands whose headers are read."""
_MOST_FILES = 20
"""Files whose headers are read at most, except that one scene is read with all of its bands."""
_SECONDS = 5.0
"""Seconds to wait for the headers."""
_Answer = tuple[str, str, File | Exception]
"""Id of a scene, band, and its file or the error."""

logger = logging.getLogger(__name__)


def sample_headers(spec: CubeSpec, scenes: Iterable[Scene]) -> Samples:
    """Read the headers of all bands of a few scenes; nothing is kept but the result.

    Files whose headers cannot be read, or not within some seconds, are left out.

    Parameters
    ----------
    spec : CubeSpec
        States how the files are read.
    scenes : iterable of Scene
        Scenes of a plan.
    """
    chosen = list(_chosen(scenes))
    wanted = [(scene.id, band, asset) for scene in chosen for band, asset in scene.bands.items()]
    if not wanted:
        return Samples()
    if spec.reader != "auto" or any(asset.href.startswith("s3:") for _, _, asset in wanted):
        return Samples(about="assumed blocks, because GDAL reads the files")
    found: dict[str, dict[str, File]] = {}
    problems: list[Exception] = []
    for scene_id, band, answer in _answers([(*one, access_of(one[2].href, spec.asset_access)) for one in wanted]):
        if isinstance(answer, File):
            found.setdefault(scene_id, {})[band] = answer
        else:
            problems.append(answer)
    samples = [SampledScene(scene, found[scene.id]) for scene in chosen if scene.id in found]
    for problem in problems:
        logger.debug("no header for the estimate: %s", problem)
    if not samples:
        gdal = problems and all(isinstance(problem, UnsupportedFileError) for problem in problems)
        reason = "GDAL reads the files" if gdal else "no header could be read"
        return Samples(about=f"assumed blocks, because {reason}")
    return Samples(samples, f"blocks of {len(samples)} scene{'s' if len(samples) > 1 else ''}")


def _chosen(scenes: Iterable[Scene]) -> Iterator[Scene]:
    """Yield some scenes of each sensor and set of bands, as long as their files are not too many."""
    groups: dict[tuple[str, str, frozenset[str]], dict[str, Scene]] = {}
    for scene in scenes:
        if not scene.problem and scene.bands:
            groups.setdefault((scene.collection, scene.sensor, frozenset(scene.bands)), {})[scene.id] = scene
    some = [[list(group.values())[at] for at in evenly(len(group), _SCENES)] for group in groups.values()]
    files = 0
    for scene in (scene for turn in zip_longest(*some) for scene in turn if scene is not None):
        if files and files + len(scene.bands) > _MOST_FILES:
            return
        files += len(scene.bands)
        yield scene


def _answers(wanted: list[tuple[str, str, BandAsset, FileAccess]]) -> Iterator[_Answer]:
    """Yield files as they are read, until the time is over. The threads do not prevent the end of the process."""
    answers: SimpleQueue[_Answer] = SimpleQueue()
    for one in wanted:
        Thread(target=_read, args=(*one, answers), name="header", daemon=True).start()
    end = monotonic() + _SECONDS
    with suppress(Empty):
        for _ in wanted:
            yield answers.get(timeout=max(0.0, end - monotonic()))


def _read(scene_id: str, band: str, asset: BandAsset, access: FileAccess, answers: SimpleQueue[_Answer]) -> None:
    try:
        with counting() as usage:
            cog = Cog.open(asset.href, access)
    except (ArdcubeError, UnsupportedFileError, OSError) as error:
        answers.put((scene_id, band, error))
    else:
        level_bytes = tuple(float(level.sizes.sum()) for level in cog.layout)
        size = asset.size or cog.version.size
        answers.put((scene_id, band, File(cog.header, level_bytes, size, usage.requests, usage.received)))
