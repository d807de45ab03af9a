"""Load the definitions of the collections of a cube."""

from __future__ import annotations

from ardcube.collections.recognize import Definitions
from ardcube.collections.registry import load_definitions
from ardcube.config import GrowingCubeConfig


def cube_definitions(cube: GrowingCubeConfig) -> list[Definitions]:
    """Return the definitions by which the items of each collection are recognized, in the order of the collections.

    Raises
    ------
    InputError
        If the file with a definition cannot be used, or no definition has a name that was given.
    """
    return [load_definitions(cube.definition_of(one.collection), cube.collection_file) for one in cube.collections]
