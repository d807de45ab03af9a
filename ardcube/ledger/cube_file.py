"""`cube.json`, the identity and configuration of a cube: the version of the format, and what other code relies on."""

from __future__ import annotations

import json
import re
from typing import Any

from ardcube.config.encoding import LARGEST_OFFSET
from ardcube.errors import InputError, StoreError
from ardcube.fingerprint import digest

FORMAT = 2
"""Version of the format of stores and ledgers, in `cube.json`.

It increases when ardcube of an earlier version would misread a cube or damage it. 1: ardcube 0.1, grids in degrees. 2:
grids in any CRS, several variables, pyramids, icechunk. Fields that an earlier version may ignore do not change it.
"""
_LISTS = ("lengthened", "definitions", "sensors", "variables", "arrays")
"""Fields of `cube.json` that are lists, and that early cubes do not have."""
_MOST_LEVELS = 64
"""Levels that no pyramid has: each halves the pixels of a side."""
_END = re.compile(r"[0-9]{1,4}-[0-9]{2}(-[0-9]{2})?")


def parse_cube(content: bytes, uri: str) -> dict[str, Any]:
    """Return the content of `cube.json` if other code can rely on it.

    Parameters
    ----------
    content : bytes
        The file.
    uri : str
        Its address, for messages.

    Raises
    ------
    InputError
        If a later version of ardcube wrote the cube in a format that this one does not know.
    StoreError
        If the file is damaged.
    """
    try:
        cube: dict[str, Any] = json.loads(content)
        if (found := _format_of(cube)) > FORMAT:
            raise InputError(
                f"{uri}: has format {found!s:.20} of ardcube {cube.get('ardcube')!r:.40}, and this version knows the "
                f"formats up to {FORMAT}; use the version that wrote it, or a later one"
            )
        _check_cube(cube)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{uri} is damaged ({error}); restore it, or remove the cube by hand") from error
    return cube


def _format_of(cube: Any) -> int:
    """Return the version of the format of a cube; raise ValueError if it is none."""
    found = cube.get("version", 1) if isinstance(cube, dict) else 1
    if type(found) is not int or found < 1:
        raise ValueError(f"the format {found!r:.40}")
    return found


def _check_cube(cube: Any) -> None:
    """Raise an error for content of `cube.json` that other code does not expect."""
    if not isinstance(cube, dict) or not isinstance(cube["identity"], dict):
        raise ValueError("no identity")
    if not isinstance(cube["identity"]["varname"], str) or not _END.fullmatch(cube["end"]):
        raise ValueError("no variable or no end")
    if not abs(float(cube["offset"])) < LARGEST_OFFSET or not all(
        isinstance(cube.get(name, []), list) for name in _LISTS
    ):
        raise ValueError("invalid offset or lists")
    if not isinstance(cube["identity"].get("encoding", {}), dict):
        raise ValueError("invalid encoding")
    if cube.get("levels", 0) not in range(_MOST_LEVELS):
        raise ValueError("invalid levels")
    known = {digest(cube["identity"]), digest({"shard": 1} | cube["identity"])}  # early cubes state no shard
    if cube.get("fingerprint", digest(cube["identity"])) not in known:
        raise ValueError("the identity does not have the fingerprint")
