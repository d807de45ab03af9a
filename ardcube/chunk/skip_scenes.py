"""Going on without scenes that cannot be read, where the user allows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from ardcube.catalog.scene import Scene
from ardcube.errors import SceneError, TransientError
from ardcube.redaction import without_secrets

T = TypeVar("T")

logger = logging.getLogger(__name__)


def without_bad_scenes(
    build: Callable[[list[Scene]], T], scenes: Sequence[Scene], most: int, *, last: bool, chunk: str
) -> tuple[T, dict[str, str]]:
    """Build from scenes, and anew without those that cannot be read: as if the catalogue had never had them.

    Parameters
    ----------
    build : callable
        Builds from the scenes that it is given.
    scenes : sequence of Scene
        To build from.
    most : int
        So many may be left out.
    last : bool
        Whether no further attempt follows. Only then a scene is left out that may be readable at another time, and
        never all of them: that is not a bad scene, but a server that is down.
    chunk : str
        For the log.

    Returns
    -------
    built
        What `build` made.
    skipped : dict
        Scenes that were left out, by id, and why.

    Raises
    ------
    SceneError, TransientError
        Of the scene that is one too many; it names those before.
    """
    good, skipped, passing = list(scenes), dict[str, str](), False
    while True:
        try:
            return build(good), skipped
        except (SceneError, TransientError) as error:
            passing |= isinstance(error, TransientError)
            if not most or error.scene is None or (isinstance(error, TransientError) and not last):
                raise
            reason = without_secrets(str(error))
            left = [scene for scene in good if scene.id != error.scene]
            if len(skipped) == most or len(left) == len(good) or (passing and not left):
                raise _one_too_many(error, reason, skipped, most) from error
            logger.warning("%s goes on without scene %s: %s", chunk, error.scene, reason)
            skipped[error.scene] = reason
            good = left


def _one_too_many(
    error: SceneError | TransientError, reason: str, skipped: dict[str, str], most: int
) -> SceneError | TransientError:
    told = "; ".join(f"{scene} ({why})" for scene, why in [*skipped.items(), (str(error.scene), reason)])
    count = len(skipped) + 1
    more = f"more than skip-bad-scenes {most}" if count > most else "which is all"
    return type(error)(f"{count} scenes cannot be read, {more}: {told}")
