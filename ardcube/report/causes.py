"""Group failed chunks by the cause of their failure (pure).

An unreadable scene is one cause, however many chunks need it. Other errors are one cause if their messages differ only
in numbers and in files of one server.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ardcube.errors import LossError
from ardcube.ledger.record import Attempt
from ardcube.planning.jobs import ChunkKey
from ardcube.report.wording import count_of, short

LOST_WORKER = "the worker was lost before it could record an error; the logs of the workers say why"
"""Problem of a chunk whose failure no record explains."""
LOSS = LossError.__name__
"""Kind of chunks that lost clear pixels, which fail again until the user allows the loss."""
_MOST = 1_000
"""Causes that are counted one by one. The chunks of further causes are counted together."""
_OTHER = "other errors; ardcube status --chunks lists them"
_FILE = re.compile(r"(\w+://[^/\s'\"]+|(?<![\w/]))/[^\s'\",;:]+")
"""Address of a file; the group is its server."""
_LOSS = re.compile(r"--allow-loss ([\d.]+)")
"""Share that a chunk lost, in the message of a `LossError`."""
_NUMBER = re.compile(r"\b0x[0-9a-f]+|\d+")


@dataclass(frozen=True, slots=True)
class Cause:
    """A reason why chunks are missing."""

    kind: str
    """Type of the error, such as ``SceneError``; empty if no error was recorded."""
    scene: str | None
    """Id of the scene that cannot be read, or None."""
    problem: str
    """Message of the first error."""
    chunks: int
    """Chunks with this cause. A chunk counts for each scene that it could not read."""
    first: str
    """Key of the first of these chunks."""
    remedy: str = ""
    """What an operator can do; empty if the problem says it."""
    similar: int = 0
    """Other messages of this cause, such as other files of the scene or of the server."""
    keys: tuple[str, ...] = ()
    """Keys of its chunks, if they were asked for."""

    def __str__(self) -> str:
        scene = "" if self.scene is None or self.problem.startswith(self.scene) else f"scene {self.scene}: "
        return f"{scene}{self.problem}" + (f" (and {count_of(self.similar, 'similar error')})" if self.similar else "")


class CauseCounter:
    """Counts failed chunks by cause, in little memory for any number of chunks.

    Parameters
    ----------
    list_chunks : bool
        Store the keys of the chunks too.
    """

    def __init__(self, *, list_chunks: bool = False) -> None:
        self._list_chunks = list_chunks
        self._groups: dict[str, _Group] = {}

    def add(self, key: ChunkKey, attempt: Attempt | None) -> bool:
        """Count a chunk with a failed attempt; return whether one of its causes is new.

        Parameters
        ----------
        key : ChunkKey
            The chunk.
        attempt : Attempt or None
            Its failed attempt; None if the worker was lost.
        """
        before = len(self._groups)
        attempt = attempt or _LOST
        for identity, scenes, problem in _causes(attempt):
            group = self._groups.get(identity)
            if group is None and len(self._groups) < _MOST:
                group = self._groups[identity] = _Group(attempt.kind, problem, key)
            elif group is None:
                group = self._groups.setdefault(_OTHER, _Group("", _OTHER, key))
            group.count(scenes, problem)
            if self._list_chunks:
                group.keys.append(str(key))
        return len(self._groups) > before

    def __len__(self) -> int:
        return len(self._groups)

    def causes(self) -> tuple[Cause, ...]:
        """Return the causes, most chunks first."""
        bad = Counter(group.first.period for group in self._groups.values() if group.scene is not None)
        most = max(bad.values(), default=0)  # a chunk needs the scenes of one period only
        return tuple(sorted((group.cause(most) for group in self._groups.values()), key=lambda cause: -cause.chunks))


@dataclass(slots=True)
class _Group:
    kind: str
    problem: str
    first: ChunkKey
    chunks: int = 0
    scenes: set[str] = field(default_factory=set)
    problems: set[str] = field(default_factory=set)
    keys: list[str] = field(default_factory=list)

    @property
    def scene(self) -> str | None:
        """The scene, if all errors concern one."""
        return next(iter(self.scenes)) if len(self.scenes) == 1 else None

    @property
    def _shown(self) -> str:
        """The first message, or of chunks that lost pixels the one with the largest loss, which covers the others."""
        return max([self.problem, *sorted(self.problems)], key=_loss) if self.kind == LOSS else self.problem

    def count(self, scenes: Iterable[str], problem: str) -> None:
        self.chunks += 1
        if len(self.scenes) < 2:  # two are not one, and more need not be known
            self.scenes.update(scenes)
        if len(self.problems) < _MOST:
            self.problems.add(problem)

    def cause(self, bad_scenes: int) -> Cause:
        remedy = "" if self.scene is None else f"replace the file, or add --skip-bad-scenes {bad_scenes}"
        return Cause(
            kind=self.kind,
            scene=self.scene,
            problem=short(self._shown),
            chunks=self.chunks,
            first=str(self.first),
            remedy=remedy,
            similar=len(self.problems) - 1,
            keys=tuple(self.keys),
        )


def _loss(problem: str) -> float:
    found = _LOSS.search(problem)
    return float(found[1]) if found else 0.0


def _causes(attempt: Attempt) -> Iterator[tuple[str, Iterable[str], str]]:
    """Yield identity, scenes and problem of each cause of a failed attempt."""
    of_scene = attempt.kind == "SceneError"
    if of_scene and attempt.bad_scenes:
        yield from ((scene, (scene,), problem) for scene, problem in attempt.bad_scenes.items())
        return
    problem = attempt.problem or LOST_WORKER
    # Earlier versions did not record the scene, and its name may differ from others in a number only.
    similar = problem if of_scene else _NUMBER.sub("#", _FILE.sub(r"\1", problem))
    yield f"{attempt.kind}: {similar}", attempt.bad_scenes, problem


_LOST = Attempt("", "", 0.0)
