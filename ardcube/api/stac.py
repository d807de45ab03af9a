"""The STAC documents of a cube."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ardcube.api.existing import Uri, find_cube, text_of
from ardcube.lease.acquire import holding
from ardcube.stac_output.folder import INSIDE, Folder
from ardcube.stac_output.write import write_stac

if TYPE_CHECKING:
    import pystac


def stac(uri: Uri, output: Uri = INSIDE, *, storage_options: Mapping[str, Any] | None = None) -> pystac.Collection:
    """Write a STAC Collection of a cube with one Item per period, or update the documents of an earlier call.

    Parameters
    ----------
    uri : str or path
        Store of the cube.
    output : str or path
        Folder of `collection.json` and `items/`, which may contain other files, but no other catalogue. Addresses of
        the cube are then absolute, and the store is not changed. Default: the store itself. Addresses are then
        relative, and the attributes of the group refer to the Collection; those of a version of icechunk do not.
    storage_options : mapping, optional
        Options of the store's filesystem.

    Returns
    -------
    pystac.Collection
        The Collection, with its address.

    Raises
    ------
    InputError
        If there is no cube at the URI, a build of icechunk is not published, or the folder holds another catalogue;
        nothing was written.
    LeaseHeldError
        If another run writes the cube and the documents belong into the store; nothing was written.
    StoreError
        If the store or its ledger is damaged.
    """
    found, where = find_cube(uri, storage_options), text_of(output)
    if not Folder.of(found.place, where, storage_options).is_inside:
        return write_stac(found.place, where, storage_options)
    with holding(found.ledger.place):
        return write_stac(found.place, INSIDE, storage_options)
