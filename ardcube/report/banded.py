"""A variable with bands, in either layout of a store: one array, or one array per band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ardcube.config.variables import variable_name
from ardcube.extent.window import Window
from ardcube.store.backend import array_of
from ardcube.store.schema import BAND, BANDS, FILL, VARIABLE


@dataclass(frozen=True, slots=True)
class BandedVariable:
    """A variable with bands."""

    name: str
    bands: tuple[str, ...]
    arrays: tuple[zarr.Array[Any], ...]
    """One (time, y, x, band), or one (time, y, x) per band."""

    @property
    def chunk(self) -> int:
        """Pixels of the longer side of a chunk."""
        return max(self.arrays[0].chunks[1:3])

    @property
    def tile(self) -> int:
        """Pixels of the longer side of an object: a shard, or a chunk without shards."""
        return max((self.arrays[0].shards or self.arrays[0].chunks)[1:3])

    def read(self, period: int, window: Window, bands: Sequence[int]) -> NDArray[np.uint16]:
        """Return digital numbers of some bands of a period, (y, x, band); 0 is nodata."""
        part = (period, *window.slices)
        if len(self.arrays) == 1 and self.arrays[0].ndim == 4:
            return _with_zeros(np.asarray(self.arrays[0][part])[..., list(bands)], self.arrays[0].attrs)
        chosen = [self.arrays[band] for band in bands]
        return np.stack([_with_zeros(np.asarray(array[part]), array.attrs) for array in chosen], axis=-1)


def banded_variables(cube: zarr.Group) -> dict[str, BandedVariable]:
    """Return the variables with bands of a group of a store, by name."""
    found: dict[str, BandedVariable] = {}
    parts: dict[str, dict[str, zarr.Array[Any]]] = {}
    for name, array in cube.arrays():
        if array.ndim == 4:
            names = np.asarray(array_of(cube, BAND)[...]).tolist()
            found[name] = BandedVariable(name, tuple(map(str, names)), (array,))
        elif VARIABLE in array.attrs and BAND in array.attrs:
            parts.setdefault(str(array.attrs[VARIABLE]), {})[str(array.attrs[BAND])] = array
    order: Any = cube.attrs.get(BANDS)
    for name, by_band in parts.items():
        bands = tuple(band for band in map(str, order or by_band) if band in by_band)
        found[name] = BandedVariable(name, bands, tuple(by_band[band] for band in bands))
    return found


def shown_variable(cube: zarr.Group, attributes: Mapping[str, Any]) -> BandedVariable | None:
    """Return the variable of the pictures: that of the first composite which has bands; None if there is none.

    Parameters
    ----------
    cube : zarr.Group
        Group with the pixels of a cube.
    attributes : mapping
        Attributes of the store.
    """
    banded = banded_variables(cube)
    composites = map(variable_name, str(attributes.get("composite", "")).split(", "))
    return next((banded[name] for name in composites if name in banded), next(iter(banded.values()), None))


def read_plane(array: zarr.Array[Any], period: int, window: Window) -> NDArray[np.uint16]:
    """Return a window of one period of a variable without bands, (y, x, 1)."""
    return np.asarray(array[period, *window.slices])[..., None]


def _with_zeros(values: NDArray[np.uint16], attributes: Mapping[Any, Any]) -> NDArray[np.uint16]:
    """Return digital numbers with 0 for nodata, which is another number for differences of reflectance."""
    fill = attributes.get("_FillValue", FILL)
    return values if fill == FILL else np.where(values == fill, FILL, values).astype(np.uint16)
