"""Distinguish periods without a scene from periods without a clear pixel (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ardcube.ledger.record import ChunkRecord
from ardcube.planning.plan import CubePlan
from ardcube.report.wording import count_of, first_of

_MOST_NAMED = 12
"""Periods that a message names."""


@dataclass(frozen=True, slots=True)
class EmptyPeriods:
    """Periods of which no pixel was observed, by the chunks that are built, or by a plan."""

    periods: int
    """Periods with a built chunk, or all periods of a plan."""
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

    @classmethod
    def planned(cls, plan: CubePlan) -> EmptyPeriods:
        """Return the periods of a plan for which no scene was found. Its scenes may all be cloudy."""
        counts = plan.jobs.scenes.sum(axis=0).tolist()
        empty = (period.label for period, scenes in zip(plan.periods, counts, strict=True) if not scenes)
        return cls(plan.spec.periods, tuple(empty))

    @property
    def no_scene_at_all(self) -> bool:
        """Whether no scene was found in any period."""
        return 0 < self.periods == len(self.without_scene)

    def messages(self) -> tuple[str, ...]:
        """Return one line for each kind of empty period, and what to check if all are of this kind."""
        lines = []
        if self.no_scene_at_all:
            lines.append("no scene was found in any period; check collection, periods, area and bands")
        elif self.without_scene:
            lines.append(f"no scene was found in {self._among(self.without_scene)}")
        if 0 < self.periods == len(self.without_clear):
            lines.append(
                "all scenes are cloudy or without data in every period; check the cloud mask, or choose longer periods"
            )
        elif self.without_clear:
            lines.append(f"all scenes are cloudy or without data in {self._among(self.without_clear)}")
        return tuple(lines)

    def _among(self, labels: tuple[str, ...]) -> str:
        return f"{len(labels)} of {count_of(self.periods, 'period')}: {first_of(labels, _MOST_NAMED)}"


NO_PERIODS = EmptyPeriods(0)
"""No period is built."""
