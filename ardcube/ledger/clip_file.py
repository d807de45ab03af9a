"""The geometries that clip a cube, in its ledger, so that workers and a retry do not need the geometry file."""

from __future__ import annotations

import shapely

from ardcube.errors import StoreError
from ardcube.extent.clip import Clip
from ardcube.storage.failures import explained
from ardcube.storage.place import Place

NAME = "clip.json"


def write_clip(ledger: Place, clip: Clip) -> None:
    """Store the geometries; the run holds the lease."""
    ledger.write(NAME, clip.to_json())


def read_clip(ledger: Place, fingerprint: str) -> Clip:
    """Read the geometries with a fingerprint.

    Raises
    ------
    StoreError
        If the file is missing or damaged, or has other geometries.
    """
    with explained(ledger.uri):
        content = ledger.read(NAME)
    clip = None
    if content is not None:
        try:
            clip = Clip.from_json(content)
        except (ValueError, KeyError, TypeError, shapely.errors.ShapelyError):
            clip = None
    if clip is None or clip.fingerprint != fingerprint:
        problem = "is missing" if content is None else "does not have the geometries of the cube"
        raise StoreError(f"{ledger.uri}/{NAME} {problem}; run the build again with the geometry file")
    return clip
