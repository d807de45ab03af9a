"""A cube as its ledger describes it: what was asked for, its grid and its periods, without a catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from pydantic import ValidationError

from ardcube.config import CubeConfig
from ardcube.errors import StoreError
from ardcube.extent.grid import Grid
from ardcube.extent.periods import Period, calendar_periods
from ardcube.ledger.ledger import Ledger

_FARTHEST = 540.0
"""Degrees."""


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
            _check_agreement(config, found["identity"])
            return cls(
                config=config,
                identity=found["identity"],
                fingerprint=str(found["fingerprint"]),
                offset=float(found["offset"]),
                grid=Grid(**found["identity"]["grid"]),
                periods=calendar_periods(config.start_date, config.end_date, config.time_frequency_months),
            )
        except (ValidationError, ValueError, KeyError, TypeError, ArithmeticError) as error:
            told = " ".join(str(error).split())[:500]
            raise StoreError(f"{ledger.place.uri}/cube.json cannot be used: {told}; build the cube again") from error


def _check_agreement(config: CubeConfig, identity: dict[str, Any]) -> None:
    """Refuse what somebody edited in one place and not in the other."""
    for name in ("bands", "varname", "chunk_size", "shard", "time_frequency_months", "cloud_mask", "resampling"):
        asked, built = getattr(config, name), identity.get(name, 1)  # cubes from before shards have none
        if (list(asked) if name == "bands" else asked) != built:
            raise ValueError(f"{name} is {asked!r} in config and {built!r:.100} in identity")
    if f"{config.start_date:%Y-%m}" != identity["start"]:
        raise ValueError(
            f"it starts in {config.start_date:%Y-%m} in config and in {identity['start']!r:.100} in identity"
        )
    grid = identity["grid"]
    lengths = (grid["height"], grid["width"])
    if not all(type(length) is int and 0 < length < 2**31 for length in lengths):
        raise ValueError(f"a grid of {lengths!r:.100} pixels")
    if not all(type(grid[name]) is float and abs(grid[name]) <= _FARTHEST for name in ("west", "north", "resolution")):
        raise ValueError("a grid outside the world")
