"""Open a cube, or a level of its pyramid, for pictures, with codecs that check damaged chunks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import zarr

from ardcube.storage.place import Place
from ardcube.store.backend import zarr_store
from ardcube.store.checked_codecs import checked_codecs
from ardcube.store.layouts import base_group
from ardcube.store.validate import damage_as_store_error, read_layouts


@contextmanager
def open_level(place: Place, level: int = 0) -> Iterator[zarr.Group]:
    """Open the arrays of a cube, or of a level of its pyramid, as they are stored.

    Parameters
    ----------
    place : Place
        Location of the store.
    level : int
        Level of the pyramid; 0 for the pixels of the cube.

    Raises
    ------
    StoreError
        If the store is damaged. Errors of reading in the block are raised as StoreError too.
    """
    group = place.child(str(level)) if level else base_group(place)
    read_layouts(group)
    with damage_as_store_error(place.uri), checked_codecs():
        yield zarr.open_group(zarr_store(group), mode="r", zarr_format=3)
