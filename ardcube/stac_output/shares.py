"""How much of each period is built and observed, from the records of its chunks (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ardcube.extent.grid import Tiles
from ardcube.ledger.observed import Observed
from ardcube.ledger.record import ChunkRecord


@dataclass(slots=True)
class PeriodShares:
    """Sums over the chunks of one period."""

    tiles: int
    """Tiles of the cube."""
    done: int = 0
    """Tiles whose pixels are in the store."""
    observed: Observed = field(default_factory=Observed)

    @property
    def complete(self) -> float:
        """Share of finished tiles, 0 to 1."""
        return self.done / self.tiles if self.tiles else 0.0

    @property
    def properties(self) -> dict[str, Any]:
        """The shares as properties of an Item. Without a finished chunk, nothing is said about observations."""
        found: dict[str, Any] = {"ardcube:complete": round(self.complete, 4)}
        if self.observed.share is not None and self.observed.clear_days is not None:
            found["ardcube:scenes"] = len(self.observed.scenes)
            found["ardcube:observed_share"] = round(self.observed.share, 4)
            found["ardcube:mean_clear_days"] = round(self.observed.clear_days, 3)
        if self.observed.filled_share is not None:
            found["ardcube:filled_share"] = round(self.observed.filled_share, 4)
        return found


def shares_of(labels: Iterable[str], tiles: Tiles, records: Iterable[ChunkRecord]) -> dict[str, PeriodShares]:
    """Return the shares of each period, by its label.

    Parameters
    ----------
    labels : iterable of str
        Labels of the periods.
    tiles : Tiles
        Tiles that are built.
    records : iterable of ChunkRecord
        Records with statistics, in any order; those of other tiles and periods are ignored.
    """
    pixels = tiles.pixels_by_cell
    found = {label: PeriodShares(len(pixels)) for label in labels}
    for record in records:
        shares, count = found.get(record.key.period), pixels.get((record.key.row, record.key.col))
        if shares is None or count is None or not record.has_pixels:
            continue
        shares.done += 1
        shares.observed.add(record, count)
    return found
