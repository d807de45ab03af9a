"""Read the pixels of a store: of a level of a pyramid, of which the next one is made, or of a cube that is copied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray

from ardcube.extent.window import Window
from ardcube.planning.plan import CubeSpec
from ardcube.storage.failures import explained
from ardcube.storage.place import Place
from ardcube.store.backend import array_of, zarr_store
from ardcube.store.checked_codecs import checked_codecs
from ardcube.store.layouts import group_of
from ardcube.store.validate import damage_as_store_error


@dataclass(frozen=True, slots=True)
class LevelReader:
    """The arrays of a level, or of a flat store, open for reading."""

    arrays: tuple[zarr.Array[Any], ...]
    """As in `CubeSpec.arrays`: (time, y, x) or (time, y, x, band)."""
    uri: str
    """Address of the group, for messages."""

    @classmethod
    def open(cls, spec: CubeSpec, level: int, store: Place | None = None) -> Self:
        """Open the arrays of a level, in a store or by default in the plain one at the address in `spec`.

        Raises
        ------
        StoreError
            If the arrays are missing or damaged.
        """
        place = group_of(store or Place.at(spec.store_uri, spec.storage_options), replace(spec, level=level))
        uri = place.uri
        with explained(uri), damage_as_store_error(uri), checked_codecs():
            # Not the consolidated metadata: they are stale for a moment while the time axis is extended.
            group = zarr.open_group(zarr_store(place), mode="r", zarr_format=3, use_consolidated=False)
            return cls(tuple(array_of(group, array.name) for array in spec.arrays), uri)

    def read(self, number: int, time_index: int, window: Window) -> NDArray[Any]:
        """Return a window of the array at a position in `arrays`, (y, x) or (y, x, band), clipped to the level.

        Raises
        ------
        StoreError
            If a chunk is damaged.
        TransientError
            If the store does not answer.
        """
        rows, cols = window.slices
        with explained(self.uri), damage_as_store_error(self.uri):
            values: NDArray[Any] = np.asarray(self.arrays[number][time_index, rows, cols])
            return values
