"""What a cloud mask sees of a chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # with pandas 70 MB of a worker's memory, and no mask of ours needs it
    import xarray as xr


@dataclass(frozen=True, slots=True)
class Observations:
    """Extra bands of a chunk and of the halo around it, raw digital numbers, 0 where nothing was observed."""

    bands: Mapping[str, NDArray[Any]]
    """By name: (time, y, x), uint8 or uint16."""
    time: NDArray[np.datetime64]
    """Solar days: datetime64[ns] (time,)."""
    y: NDArray[np.float64]
    """Latitude of pixel centres, in degrees (y,)."""
    x: NDArray[np.float64]
    """Longitude of pixel centres, in degrees (x,)."""

    def __getitem__(self, band: str) -> NDArray[Any]:
        """A band (time, y, x)."""
        return self.bands[band]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Days, rows and columns."""
        return len(self.time), len(self.y), len(self.x)

    def to_xarray(self) -> xr.Dataset:
        """One variable (time, y, x) for each band, with coordinates; shares the arrays."""
        import xarray as xr

        variables = {band: (("time", "y", "x"), values) for band, values in self.bands.items()}
        return xr.Dataset(variables, coords={"time": self.time, "y": self.y, "x": self.x})
