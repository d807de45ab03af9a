"""The sources of a cube: licences, providers, and links to their collections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ardcube.catalog.hrefs import is_remote
from ardcube.catalog.search import local_path
from ardcube.collections.model import Definition
from ardcube.collections.registry import load_definitions
from ardcube.config import CubeConfig
from ardcube.errors import InputError
from ardcube.ledger.stored_cube import StoredCube
from ardcube.redaction import without_secrets
from ardcube.stac_output.assets import ZARR_TYPE

if TYPE_CHECKING:
    import pystac

OTHER = "other"
"""Licence in STAC of data that several licences cover, or one without identifier."""


def definitions_of(cube: CubeConfig, names: Iterable[str]) -> list[Definition]:
    """Return the definitions of a cube's scenes that are known here."""
    try:
        known = load_definitions(None, cube.collection_file)
    except InputError:  # a file that exists no more
        known = load_definitions()
    return known.named(set(names))


def licence(definitions: Sequence[Definition]) -> str:
    """Return the licence of all sources: an SPDX identifier if they have one in common, else `other`."""
    found = {definition.license or OTHER for definition in definitions}
    return found.pop() if len(found) == 1 else OTHER


def licence_links(definitions: Sequence[Definition]) -> list[pystac.Link]:
    """Return links to the terms of the sources."""
    import pystac

    terms = {definition.license_url: definition.product for definition in definitions if definition.license_url}
    return [pystac.Link("license", url, title=f"Terms of {product}") for url, product in sorted(terms.items())]


def providers(definitions: Sequence[Definition]) -> list[pystac.Provider]:
    """Return the organizations that made the sources."""
    import pystac

    found = {one.name: one for definition in definitions for one in definition.providers}
    return [
        pystac.Provider(one.name, roles=[pystac.ProviderRole(role) for role in one.roles], url=one.url or None)
        for _, one in sorted(found.items())
    ]


def source_links(cube: StoredCube) -> list[pystac.Link]:
    """Return a link to each collection that the cube is made of, and to the cube that it was filled from."""
    import pystac

    links = []
    if cube.filled_from is not None:
        title = "Cube that was filled"
        links.append(pystac.Link("derived_from", without_secrets(cube.filled_from), ZARR_TYPE, title))
    for one in cube.config.collections:
        remote = is_remote(one.stac_url)
        href = f"{one.stac_url.rstrip('/')}/collections/{one.collection}" if remote else str(local_path(one.stac_url))
        links.append(
            pystac.Link("derived_from", without_secrets(href), "application/json", f"Collection {one.collection}")
        )
    return links
