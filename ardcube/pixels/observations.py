"""The observations of a chunk that a cloud mask evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # xarray and pandas take 70 MB of a worker's memory, and no built-in mask needs them
    import xarray as xr


@dataclass(frozen=True, slots=True)
class Observations:
    """The mask's bands on a chunk and its halo: raw digital numbers, 0 without an observation."""

    bands: Mapping[str, NDArray[Any]]
    """Arrays (time, y, x), uint8 or uint16, by band name."""
    time: NDArray[np.datetime64]
    """Solar day of each observation, datetime64[ns] (time,), ascending. If several sensors observed on one day, the day
    comes once for each of them."""
    y: NDArray[np.float64]
    """Latitude of pixel centres, in degrees (y,)."""
    x: NDArray[np.float64]
    """Longitude of pixel centres, in degrees (x,)."""

    def __getitem__(self, band: str) -> NDArray[Any]:
        """Return a band (time, y, x)."""
        return self.bands[band]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of days, rows and columns."""
        return len(self.time), len(self.y), len(self.x)

    def to_xarray(self) -> xr.Dataset:
        """Return a dataset with a variable (time, y, x) per band and coordinates, which shares the arrays."""
        import xarray as xr

        variables = {band: (("time", "y", "x"), values) for band, values in self.bands.items()}
        return xr.Dataset(variables, coords={"time": self.time, "y": self.y, "x": self.x})
