"""The versions of a cube that is stored by icechunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ardcube.api.existing import Uri, find_cube
from ardcube.errors import InputError
from ardcube.store.versions import Version
from ardcube.store.versions import history as read_history


def history(uri: Uri, *, storage_options: Mapping[str, Any] | None = None) -> list[Version]:
    """Return the versions of a cube, the newest first.

    Parameters
    ----------
    uri : str or path
        Store of a cube with the storage backend icechunk.
    storage_options : mapping, optional
        Options of the store's filesystem.

    Returns
    -------
    list of Version
        Tag, time, message, and the numbers of chunks and commits since the version before. Changes of a build that is
        not complete come first, with an empty tag.

    Raises
    ------
    InputError
        If there is no cube at the URI, or it keeps no versions.
    """
    found = find_cube(uri, storage_options)
    if found.cube.storage_backend == "fsspec":
        raise InputError(
            f"{found.place.uri}: its storage-backend is fsspec, which keeps no versions; build a cube with icechunk"
        )
    return read_history(found.place)
