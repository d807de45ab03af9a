"""Build a chunk without the scenes that cannot be read, if the user allows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from ardcube.catalog.scene import Scene, check_usable
from ardcube.errors import AccessError, SceneError, TransientError
from ardcube.raster.refusals import is_readable
from ardcube.redaction import without_secrets

T = TypeVar("T")

logger = logging.getLogger(__name__)


def without_bad_scenes(
    build: Callable[[list[Scene]], T], scenes: Sequence[Scene], most: int, *, last: bool, chunk: str
) -> tuple[T, dict[str, str]]:
    """Build from scenes, and again without those that cannot be used, as if the catalogue did not have them.

    Parameters
    ----------
    build : callable
        Builds from a list of scenes.
    scenes : sequence of Scene
        Scenes of the chunk.
    most : int
        Scenes that may be left out.
    last : bool
        Whether this is the last attempt. Only then a scene with a transient error is left out. If all scenes have
        transient errors, none is left out, because the server is down.
    chunk : str
        Key of the chunk, for the log.

    Returns
    -------
    built
        Result of `build`.
    skipped : dict
        Scenes that were left out: id and reason.

    Raises
    ------
    SceneError, TransientError
        If one scene too many cannot be read. The error names all of them.
    AccessError
        If the archive refuses access. A refused file of a host from which no file was read so far may be missing:
        then the other scenes decide.
    """
    good, skipped, transient, refused = list(scenes), dict[str, str](), False, None
    while True:
        try:
            check_usable(good)
            built = build(good)
            if refused is not None:
                _check_missing(refused, scenes, skipped, most)
            return built, skipped
        except AccessError as error:
            left = [scene for scene in good if scene.id != error.scene]
            if refused is not None or not error.may_be_missing or not left:
                raise
            refused, good = error, left
        except (SceneError, TransientError) as error:
            transient |= isinstance(error, TransientError)
            if not most or error.scene is None or (isinstance(error, TransientError) and not last):
                raise
            reason = without_secrets(str(error))
            left = [scene for scene in good if scene.id != error.scene]
            if len(skipped) == most or len(left) == len(good) or (transient and not left):
                raise _one_too_many(error, reason, skipped, most) from error
            logger.warning("%s: scene %s is left out: %s", chunk, error.scene, reason)
            skipped[error.scene] = reason
            good = left


def _check_missing(refused: AccessError, scenes: Sequence[Scene], skipped: dict[str, str], most: int) -> None:
    """Count the scene of a refused file as a bad scene, if files of its host were read since; else raise the error."""
    (scene,) = [scene for scene in scenes if scene.id == refused.scene]
    if not any(is_readable(asset.href) for asset in scene.bands.values()):
        raise refused
    reason = without_secrets(str(refused))
    error = SceneError(reason)
    error.scene = scene.id
    if not most:
        raise error
    if len(skipped) == most:
        raise _one_too_many(error, reason, skipped, most)
    skipped[scene.id] = reason


def _one_too_many(
    error: SceneError | TransientError, reason: str, skipped: dict[str, str], most: int
) -> SceneError | TransientError:
    scenes = skipped | {str(error.scene): reason}
    named = "; ".join(f"{scene} ({why})" for scene, why in scenes.items())
    too_many = f"more than skip-bad-scenes {most}" if len(scenes) > most else "all scenes of the chunk"
    combined = type(error)(f"{len(scenes)} scenes cannot be read, {too_many}: {named}")
    combined.scenes = scenes
    return combined
