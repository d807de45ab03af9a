"""How much of some chunks is observed, from their records: weighted by pixels, empty chunks included (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from ardcube.ledger.record import ChunkRecord


@dataclass(slots=True)
class Observed:
    """Sums over chunks whose pixels are in the store, for the status table, the report page and STAC documents."""

    scenes: set[str] = field(default_factory=set)
    """Ids of the scenes in their composites."""
    pixels: int = 0
    """Pixels of the chunks with statistics; of a clipped cube, those within the geometries."""
    with_clear_day: float = 0.0
    """Pixels with a clear observation."""
    days: float = 0.0
    """Sum of the clear observations of all pixels."""
    filled: float | None = None
    """Pixels that were filled from other periods; None unless the cube is a filled one."""

    def add(self, record: ChunkRecord, tile_pixels: int) -> None:
        """Add a chunk, unless it failed and has no earlier pixels.

        Parameters
        ----------
        record : ChunkRecord
            Record with statistics. A chunk without them has unknown observations, and counts no pixels.
        tile_pixels : int
            Pixels of its tile, for records that do not state the pixels within the geometries.
        """
        if not record.has_pixels:
            return
        self.scenes.update(record.scenes)
        share, days = (record.statistics.get(name) for name in ("observed_share", "mean_clear_days"))
        if share is not None and days is not None:
            count = int(record.statistics.get("pixels", tile_pixels))
            self.pixels += count
            self.with_clear_day += share * count
            self.days += days * count
            if "filled" in record.statistics:
                self.filled = (self.filled or 0.0) + record.statistics["filled"]

    @classmethod
    def sum_of(cls, parts: Iterable[Self]) -> Self:
        """Return the sums over the chunks of several sums."""
        total = cls()
        for part in parts:
            total.scenes |= part.scenes
            total.pixels += part.pixels
            total.with_clear_day += part.with_clear_day
            total.days += part.days
            if part.filled is not None:
                total.filled = (total.filled or 0.0) + part.filled
        return total

    @property
    def share(self) -> float | None:
        """Share of the pixels with a clear observation; None if no chunk with statistics is built."""
        return self.with_clear_day / self.pixels if self.pixels else None

    @property
    def filled_share(self) -> float | None:
        """Share of the pixels that were filled from other periods; None unless the cube is a filled one."""
        return self.filled / self.pixels if self.pixels and self.filled is not None else None

    @property
    def clear_days(self) -> float | None:
        """Mean number of clear observations of a pixel; None if no chunk with statistics is built."""
        return self.days / self.pixels if self.pixels else None
