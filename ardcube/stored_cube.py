"""A cube as its ledger describes it: what was asked for, its grid and its periods, without a catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from pydantic import ValidationError

from ardcube.config import CubeConfig
from ardcube.errors import StoreError
from ardcube.grid import Grid
from ardcube.ledger import Ledger
from ardcube.periods import Period, calendar_periods


@dataclass(frozen=True, slots=True)
class StoredCube:
    """What stands in a ledger's `cube.json`."""

    config: CubeConfig
    """As it was last built."""
    identity: dict[str, Any]
    fingerprint: str
    offset: float
    """Of the cube's reflectance."""
    grid: Grid
    periods: tuple[Period, ...]

    @classmethod
    def read(cls, ledger: Ledger) -> Self | None:
        """Read it, or return None where there is no cube.

        Raises
        ------
        StoreError
            If it was damaged, or written by a version that this one does not understand.
        """
        found = ledger.read_cube()
        if found is None:
            return None
        try:
            config = CubeConfig(**found["config"])
            return cls(
                config=config,
                identity=found["identity"],
                fingerprint=str(found["fingerprint"]),
                offset=float(found["offset"]),
                grid=Grid(**found["identity"]["grid"]),
                periods=calendar_periods(config.start_date, config.end_date, config.time_frequency_months),
            )
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            told = " ".join(str(error).split())
            raise StoreError(f"{ledger.place.uri}/cube.json cannot be used: {told}; build the cube again") from error
