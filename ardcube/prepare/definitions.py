"""Load the definitions of the collections of a cube."""

from __future__ import annotations

from collections.abc import Sequence

from ardcube.collections.recognize import Definitions
from ardcube.collections.registry import load_definitions
from ardcube.config import CubeConfig, GrowingCubeConfig


def cube_definitions(cube: GrowingCubeConfig) -> list[Definitions]:
    """Return the definitions by which the items of each collection are recognized, in the order of the collections.

    Raises
    ------
    InputError
        If the file with a definition cannot be used, or no definition has a name that was given.
    """
    return [load_definitions(cube.definition_of(one.collection), cube.collection_file) for one in cube.collections]


def cube_sensors(cube: CubeConfig, definitions: Sequence[Definitions]) -> tuple[str, ...]:
    """Return the sensors that the scenes of a cube may have, in the order of their names.

    They are those of the definitions of its collections, and all known ones if a collection has no definition. They do
    not depend on the scenes, so that a longer cube has the same.
    """
    found: set[str] = set()
    for address, known in zip(cube.collections, definitions, strict=True):
        for definition in known.of_collection(address.collection) or [*known.own, *known.known]:
            found.update(definition.sensors)
    return tuple(sorted(found))
