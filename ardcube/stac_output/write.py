"""Write the STAC documents of a cube into a folder, or into its store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ardcube.errors import InputError
from ardcube.ledger.last_plan import planned_chunks
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.stored_cube import StoredCube, no_cube_error
from ardcube.stac_output.assets import CubeAssets
from ardcube.stac_output.documents import Described, collection_of, item_of
from ardcube.stac_output.folder import COLLECTION, ITEMS, Folder
from ardcube.stac_output.footprint import Footprint
from ardcube.stac_output.shares import PeriodShares, shares_of
from ardcube.stac_output.sources import definitions_of
from ardcube.stac_output.variables import variables_of
from ardcube.storage.failures import explained
from ardcube.storage.place import Options, Place
from ardcube.storage.writable import make_folder
from ardcube.store.provenance import VERSION
from ardcube.store.validate import METADATA, damage_as_store_error

if TYPE_CHECKING:
    import pystac

_PUBLIC_OPTIONS = ("anon", "endpoint_url", "requester_pays")
"""Options of a filesystem that a reader needs, and that are never secret."""


def write_stac(store: Place, output: str, options: Options | None = None) -> pystac.Collection:
    """Write a Collection and one Item per period, or update those of an earlier call.

    The caller holds the lease if the documents become part of the store. Where there is no Collection, one without
    Items is written first, so that a call that was interrupted can be repeated. Items of periods that the cube no
    longer has are deleted last.

    Parameters
    ----------
    store : Place
        Location of the store.
    output : str
        `inside`, or the path or URI of a folder.
    options : mapping, optional
        Options of the store's filesystem.

    Returns
    -------
    pystac.Collection
        The Collection, with its address.

    Raises
    ------
    InputError
        If there is no cube, a build of icechunk is not published, or the folder holds another catalogue. Nothing was
        written.
    StoreError
        If the store or its ledger is damaged.
    """
    ledger, folder = Ledger.of_store(store), Folder.of(store, output, options)
    cube = StoredCube.read(ledger)
    if cube is None:
        raise no_cube_error(store, ledger)
    from ardcube.store.versions import has_unpublished  # zarr is slow to import

    if has_unpublished(store, cube.storage_backend):
        raise InputError(f"{store.uri}: holds a build that is not published; run the build until it completes")
    folder.check()
    described, shares = _described(store, ledger, cube, folder, options)
    if folder.place.is_local:
        make_folder(Path(folder.place.path), "--output")
    names = {described.item_id(period): f"{ITEMS}/{described.item_id(period)}.json" for period in cube.periods}
    collection = collection_of(described, {id_: f"./{name}" for id_, name in names.items()})
    place = folder.place
    with explained(place.uri):
        before = folder.items()
        if folder.collection() is None:
            place.write(COLLECTION, _content(collection_of(described, {})))
        for period in cube.periods:
            item = item_of(described, period, shares[period.label])
            place.write(names[item.id], _content(item))
        place.write(COLLECTION, _content(collection))
        place.remove(set(before) - set(names.values()))
        # A session of icechunk has no documents, to which its group could refer.
        if folder.is_inside and cube.storage_backend == "fsspec":
            _refer_to_collection(store)
    collection.set_self_href(place.file(COLLECTION) if place.is_local else f"{place.uri}/{COLLECTION}")
    return collection


def _described(
    store: Place, ledger: Ledger, cube: StoredCube, folder: Folder, options: Options | None
) -> tuple[Described, dict[str, PeriodShares]]:
    """Read the ledger and the metadata of the store."""
    from ardcube.store.versions import for_reading  # zarr is slow to import

    content = for_reading(store, cube.storage_backend).read(METADATA)
    if content is None:
        raise InputError(f"{store.uri}: the store is missing or incomplete; run the build again")
    with damage_as_store_error(store.uri):
        metadata = json.loads(content)
        variables = variables_of(metadata)
        attributes = dict(metadata.get("attributes") or {})
        tiles = planned_chunks(ledger, cube).tiles
        footprint = Footprint.of(tiles)
    assets = CubeAssets(
        store=folder.store,
        variables=variables,
        bands=cube.config.bands,
        metres=cube.grid.metres,
        storage_options={name: value for name, value in (options or {}).items() if name in _PUBLIC_OPTIONS},
        files=sorted(folder.place.list_files("")),
        tag=str(attributes.get(VERSION, "")) if cube.storage_backend == "icechunk" else "",
    )
    definitions = definitions_of(cube.config, map(str, (ledger.read_cube() or {}).get("definitions", ())))
    described = Described(cube, attributes, variables, footprint, definitions, folder.store, store.uri, assets)
    labels = [period.label for period in cube.periods]
    return described, shares_of(labels, tiles, ledger.each())


def _refer_to_collection(store: Place) -> None:
    """Add the convention `stac` to the attributes of the store, if they do not have it."""
    import zarr_cm.stac

    from ardcube.store import schema  # zarr is slow to import

    before = schema.read_attributes(store)
    after: dict[str, Any] = zarr_cm.stac.insert(before, zarr_cm.stac.create(key=COLLECTION), overwrite=True)
    if after != before:
        schema.update_attributes(store, after)


def _content(document: pystac.Collection | pystac.Item) -> bytes:
    values = document.to_dict(include_self_link=False, transform_hrefs=False)
    return json.dumps(values, indent=1, allow_nan=False).encode()
