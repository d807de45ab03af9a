"""Count the clear pixels of chunks that the store holds."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import zarr

from ardcube.errors import StoreError
from ardcube.extent.window import Window
from ardcube.planning.plan import CubeSpec
from ardcube.storage.failures import explained
from ardcube.storage.place import Place
from ardcube.store.backend import array_of, zarr_store
from ardcube.store.checked_codecs import checked_codecs
from ardcube.store.layouts import group_of
from ardcube.store.schema import COUNT
from ardcube.store.validate import damage_as_store_error

logger = logging.getLogger(__name__)


class StoredCounts:
    """The counts of clear observations in a store, open for reading.

    Parameters
    ----------
    spec : CubeSpec
        The cube.
    store : Place, optional
        Store of the cube. Default: the plain store at the address in `spec`.
    """

    def __init__(self, spec: CubeSpec, store: Place | None = None) -> None:
        self._uri = spec.group_uri
        place = group_of(store or Place.at(spec.store_uri, spec.storage_options), spec)
        with explained(self._uri), damage_as_store_error(self._uri), checked_codecs():
            group = zarr.open_group(zarr_store(place), mode="r", zarr_format=3, use_consolidated=False)
            self._counts: zarr.Array[Any] = array_of(group, COUNT)

    def clear_pixels(self, time_index: int, window: Window) -> int:
        """Return the number of pixels of a region that have a clear observation; 0 if the stored chunk is damaged.

        Raises
        ------
        TransientError, UnwritableError
            If the store does not answer, or refuses access.
        """
        rows, cols = window.slices
        try:
            with explained(self._uri), damage_as_store_error(self._uri):
                return int(np.count_nonzero(self._counts[time_index, rows, cols]))
        except StoreError as error:
            logger.warning("%s; its chunk is replaced", error)  # a new build is the remedy
            return 0
