"""How much of each period is built and observed, from the records of its chunks (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ardcube.extent.grid import Tiles
from ardcube.ledger.record import ChunkRecord


@dataclass(slots=True)
class PeriodShares:
    """Sums over the chunks of one period."""

    tiles: int
    """Tiles of the cube."""
    done: int = 0
    scenes: set[str] = field(default_factory=set)
    pixels: int = 0
    """Pixels of finished chunks with statistics."""
    observed: float = 0.0
    """Pixels with a clear observation."""
    clear_days: float = 0.0
    """Sum of the clear observations of all pixels."""

    @property
    def complete(self) -> float:
        """Share of finished tiles, 0 to 1."""
        return self.done / self.tiles if self.tiles else 0.0

    @property
    def properties(self) -> dict[str, Any]:
        """The shares as properties of an Item. Without a finished chunk, nothing is said about observations."""
        found: dict[str, Any] = {"ardcube:complete": round(self.complete, 4), "ardcube:scenes": len(self.scenes)}
        if self.pixels:
            found["ardcube:observed_share"] = round(self.observed / self.pixels, 4)
            found["ardcube:mean_clear_days"] = round(self.clear_days / self.pixels, 3)
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
        Records with statistics; those of other tiles and periods are ignored.
    """
    cells = zip(tiles.rows.tolist(), tiles.cols.tolist(), tiles.pixels.tolist(), strict=True)
    pixels = {(row, col): count for row, col, count in cells}
    found = {label: PeriodShares(len(pixels)) for label in labels}
    for record in records:
        shares, count = found.get(record.key.period), pixels.get((record.key.row, record.key.col))
        if shares is None or count is None or not record.has_pixels:
            continue
        shares.done += 1
        shares.scenes.update(record.scenes)
        observed, days = (record.statistics.get(name) for name in ("observed_share", "mean_clear_days"))
        if observed is not None and days is not None:
            count = int(record.statistics.get("pixels", count))  # those within the geometries of a clipped cube
            shares.pixels += count
            shares.observed += observed * count
            shares.clear_days += days * count
    return found
