"""A variable with bands, in either layout of a store: one array, or one array per band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ardcube.config.variables import variable_name
from ardcube.extent.window import Window
from ardcube.store.schema import BAND, BANDS, FILL, VARIABLE


@dataclass(frozen=True, slots=True)
class BandedVariable:
    """A variable with bands."""

    name: str
    bands: tuple[str, ...]
    arrays: tuple[xr.Variable, ...]
    """One (time, y, x, band), or one (time, y, x) per band. Without coordinates, which may be a million numbers."""

    @property
    def chunk(self) -> int:
        """Pixels of the longer side of a chunk."""
        return int(max(self.arrays[0].encoding["chunks"][1:3]))

    @property
    def tile(self) -> int:
        """Pixels of the longer side of an object: a shard, or a chunk without shards."""
        encoding = self.arrays[0].encoding
        return int(max((encoding.get("shards") or encoding["chunks"])[1:3]))

    def read(self, period: int, window: Window, bands: Sequence[int]) -> NDArray[np.uint16]:
        """Return digital numbers of some bands of a period, (y, x, band); 0 is nodata."""
        part = (period, *window.slices)
        if len(self.arrays) == 1 and self.arrays[0].ndim == 4:
            return _with_zeros(self.arrays[0][part].to_numpy()[..., list(bands)], self.arrays[0].attrs)
        chosen = [self.arrays[band] for band in bands]
        return np.stack([_with_zeros(array[part].to_numpy(), array.attrs) for array in chosen], axis=-1)


def banded_variables(cube: xr.Dataset) -> dict[str, BandedVariable]:
    """Return the variables with bands of a group of a store, opened without decoding, by name."""
    found: dict[str, BandedVariable] = {}
    parts: dict[str, dict[str, xr.Variable]] = {}
    for key, data in cube.data_vars.items():
        name = str(key)
        if BAND in data.dims:
            found[name] = BandedVariable(name, tuple(map(str, cube[BAND].to_numpy())), (data.variable,))
        elif VARIABLE in data.attrs and BAND in data.attrs:
            parts.setdefault(str(data.attrs[VARIABLE]), {})[str(data.attrs[BAND])] = data.variable
    for name, by_band in parts.items():
        bands = tuple(band for band in map(str, cube.attrs.get(BANDS, by_band)) if band in by_band)
        found[name] = BandedVariable(name, bands, tuple(by_band[band] for band in bands))
    return found


def shown_variable(cube: xr.Dataset, attributes: Mapping[str, Any]) -> BandedVariable | None:
    """Return the variable of the pictures: that of the first composite which has bands; None if there is none.

    Parameters
    ----------
    cube : xarray.Dataset
        Group with the pixels of a cube.
    attributes : mapping
        Attributes of the store.
    """
    banded = banded_variables(cube)
    composites = map(variable_name, str(attributes.get("composite", "")).split(", "))
    return next((banded[name] for name in composites if name in banded), next(iter(banded.values()), None))


def read_plane(array: xr.Variable, window: Window) -> NDArray[np.uint16]:
    """Return a window of one period of a variable without bands, (y, x, 1)."""
    values: NDArray[np.uint16] = array[window.slices].to_numpy()
    return values[..., None]


def _with_zeros(values: NDArray[np.uint16], attributes: Mapping[Any, Any]) -> NDArray[np.uint16]:
    """Return digital numbers with 0 for nodata, which is another number for differences of reflectance."""
    fill = attributes.get("_FillValue", FILL)
    return values if fill == FILL else np.where(values == fill, FILL, values).astype(np.uint16)
