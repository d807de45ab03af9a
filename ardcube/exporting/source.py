"""Read the pixels of a cube's variables, in each layout of its store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray

from ardcube.errors import InputError
from ardcube.extent.window import Window
from ardcube.ledger.stored_cube import StoredCube
from ardcube.storage.failures import explained
from ardcube.storage.place import Place
from ardcube.store.backend import zarr_store
from ardcube.store.checked_codecs import checked_codecs
from ardcube.store.conventions import without_conventions
from ardcube.store.validate import damage_as_store_error

_OF_THE_STORE = ("coordinates", "grid_mapping", "ancillary_variables")
"""Attributes that name other arrays of the store."""


@dataclass(frozen=True, slots=True)
class SourceVariable:
    """One variable of a cube, open for reading."""

    name: str
    bands: tuple[str, ...]
    """Names of the bands; empty if the variable has none."""
    arrays: tuple[zarr.Array[Any], ...]
    """One array (time, y, x) or (time, y, x, band), or one per band."""
    uri: str
    """Address of the store, for messages."""

    @classmethod
    def open(cls, group: zarr.Group, uri: str, name: str, bands: Sequence[str]) -> Self | None:
        """Open a variable; None if the store does not have it."""
        for path in (name, f"0/{name}"):
            if isinstance(array := group.get(path), zarr.Array):
                return cls(name, tuple(bands) if array.ndim == 4 else (), (array,), uri)
        for paths in ([f"0/{name}_{band}" for band in bands], [f"0/{band}" for band in bands]):
            found = [array for path in paths if isinstance(array := group.get(path), zarr.Array)]
            if len(found) == len(bands):
                return cls(name, tuple(bands), tuple(found), uri)
        return None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the stored numbers."""
        return np.dtype(self.arrays[0].dtype)

    @property
    def attributes(self) -> dict[str, Any]:
        """CF attributes, without those that name other arrays or the grid of the store."""
        found = without_conventions(self.arrays[0].attrs.asdict())
        return {str(name): value for name, value in found.items() if name not in _OF_THE_STORE}

    @property
    def nodata(self) -> float | None:
        """Number of pixels without a value; None if each number is a value."""
        if self.dtype.kind == "f":
            return float("nan")
        found = self.attributes.get("_FillValue")
        return None if found is None else int(found)

    @property
    def is_averaged(self) -> bool:
        """Whether reduced levels have means: not of counts, days and categories, which have no scale."""
        return self.dtype.kind == "f" or "scale_factor" in self.attributes

    def read(self, time_index: int, window: Window) -> NDArray[Any]:
        """Return the stored numbers of a window, (band, y, x); one band if the variable has none.

        Raises
        ------
        StoreError
            If a chunk is damaged.
        UnwritableError, TransientError
            If the store refuses to read, permanently or for a while.
        """
        rows, cols = window.slices
        with explained(self.uri), damage_as_store_error(self.uri):
            parts = [np.asarray(array[time_index, rows, cols]) for array in self.arrays]
        if len(parts) > 1 or not self.bands or parts[0].ndim == 2:
            return np.stack(parts)
        return np.ascontiguousarray(parts[0].transpose(2, 0, 1))


def open_variables(place: Place, cube: StoredCube, names: Sequence[str]) -> list[SourceVariable]:
    """Open variables of a cube.

    Raises
    ------
    InputError
        If the store has no such variable.
    StoreError
        If the store is damaged.
    """
    uri = place.uri
    with explained(uri), damage_as_store_error(uri), checked_codecs():
        group = zarr.open_group(zarr_store(place), mode="r", zarr_format=3)
        opened: Mapping[str, SourceVariable | None] = {
            name: SourceVariable.open(group, uri, name, cube.config.bands) for name in names
        }
    for name, variable in opened.items():
        if variable is None:
            raise InputError(f"--variable {name!r:.60}: no variable of {uri}; the cube has {', '.join(cube.variables)}")
    return [variable for variable in opened.values() if variable is not None]
