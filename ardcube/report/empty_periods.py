"""Distinguish periods without a scene from periods without a clear pixel (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ardcube.ledger.record import ChunkRecord

_MOST_NAMED = 12
"""Periods that a message names."""


@dataclass(frozen=True, slots=True)
class EmptyPeriods:
    """Periods of which no pixel was observed, by the chunks that are built."""

    periods: int
    """Periods with a built chunk."""
    without_scene: tuple[str, ...] = ()
    """Labels of periods for which no scene was found."""
    without_clear: tuple[str, ...] = ()
    """Labels of periods with scenes, none of which has a clear pixel."""

    @classmethod
    def of(cls, records: Iterable[ChunkRecord]) -> EmptyPeriods:
        """Return the empty periods of a cube, from the records of its chunks; brief ones are enough.

        A period with a failed chunk does not count as empty, because that chunk has scenes.
        """
        written, scenes = defaultdict[str, bool](bool), defaultdict[str, bool](bool)
        for record in records:
            written[record.key.period] |= record.status != "empty"
            scenes[record.key.period] |= bool(record.scenes or record.skipped)
        empty = sorted(period for period, is_written in written.items() if not is_written)
        return cls(
            len(written),
            tuple(period for period in empty if not scenes[period]),
            tuple(period for period in empty if scenes[period]),
        )

    @property
    def no_scene_at_all(self) -> bool:
        """Whether no scene was found in any period."""
        return 0 < self.periods == len(self.without_scene)

    def messages(self) -> tuple[str, ...]:
        """Return one line for each kind of empty period, with what to check if all are empty."""
        if self.no_scene_at_all:
            checks = "check collection, periods, area and bands"
            return (f"no scene was found in any of the {self.periods} periods, so the cube is empty; {checks}",)
        lines = []
        if self.without_scene:
            lines.append(f"no scene was found in {_of(self.without_scene, self.periods)}")
        if self.without_clear:
            every = len(self.without_clear) == self.periods
            advice = "; check the cloud mask, or choose a longer period" if every else ""
            lines.append(f"all scenes are cloudy or without data in {_of(self.without_clear, self.periods)}{advice}")
        return tuple(lines)


def _of(labels: tuple[str, ...], periods: int) -> str:
    named = ", ".join(labels[:_MOST_NAMED])
    more = f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else ""
    return f"{len(labels)} of {periods} periods: {named}{more}"


NO_PERIODS = EmptyPeriods(0)
"""No period is built."""
