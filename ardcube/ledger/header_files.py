"""Headers of the scenes' files in the ledger, so that later runs and other processes request none.

There is one file for each granule and period. It is a cache: a header that is missing or damaged is read from its file,
and of two processes that write at the same time, one may drop the headers that the other has added.
"""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Any

from ardcube.catalog.malformed import MALFORMED
from ardcube.catalog.scene import Scene
from ardcube.errors import ArdcubeError
from ardcube.extent.periods import Period
from ardcube.fingerprint import digest
from ardcube.raster.cog import Cog
from ardcube.raster.known_headers import KNOWN_HEADERS, Key, key_of
from ardcube.raster.stored_header import from_fields, to_fields
from ardcube.storage.failures import explained
from ardcube.storage.place import Place

FOLDER = "items/headers"
"""In the folder of the manifests, because it is removed together with them."""
_FORMAT = 1
_MOST = 4096
"""Headers in a file; the oldest are dropped."""
_PLAIN = re.compile(r"[A-Za-z0-9-]{1,40}", re.ASCII)

logger = logging.getLogger(__name__)


class HeaderFiles:
    """The stored headers of one cube.

    Parameters
    ----------
    ledger : Place
        Folder of the ledger.
    """

    def __init__(self, ledger: Place) -> None:
        self._ledger = ledger
        self._loaded: set[str] = set()
        """Names of the files that this process has looked for; each is read once."""
        self._lock = Lock()

    def load(self, period: Period, scenes: Sequence[Scene]) -> None:
        """Make the stored headers of scenes known to this process."""
        for name, some in _by_file(period, scenes).items():
            with self._lock:
                is_new = name not in self._loaded
                self._loaded.add(name)
            if is_new:
                found = self._read(name)
                for key, href in _files_of(some).items():
                    if (cog := _parsed(href, found.get(_name(key)))) is not None:
                        KNOWN_HEADERS.stored(key, cog)

    def save(self, period: Period, scenes: Sequence[Scene]) -> None:
        """Store the headers of scenes that this process has read; a failure is no error of the chunk."""
        for name, some in _by_file(period, scenes).items():
            unsaved = KNOWN_HEADERS.unsaved(_files_of(some))
            if not unsaved:
                continue
            files = {**self._read(name), **{_name(key): to_fields(cog) for key, cog in unsaved.items()}}
            kept = dict(list(files.items())[-_MOST:])
            content = zlib.compress(json.dumps({"format": _FORMAT, "files": kept}).encode(), 1)
            try:
                with explained(self._ledger.uri):
                    self._ledger.write(name, content)
            except ArdcubeError as error:
                logger.warning("%s was not written: %s", name, error)
            KNOWN_HEADERS.saved(unsaved)

    def _read(self, name: str) -> dict[str, Any]:
        """Return the fields of each header in a file; none if it is missing or damaged."""
        try:
            with explained(self._ledger.uri):
                content = self._ledger.read(name)
            document = {} if content is None else json.loads(zlib.decompress(content))
            return dict(document["files"]) if document.get("format") == _FORMAT else {}
        except (ArdcubeError, zlib.error, *MALFORMED) as error:
            logger.warning("%s is not used: %s", name, error)
            return {}


def _by_file(period: Period, scenes: Iterable[Scene]) -> dict[str, list[Scene]]:
    """Return scenes by the name of their file."""
    found: dict[str, list[Scene]] = defaultdict(list)
    for scene in scenes:
        granule = scene.granule or "other"
        plain = granule if _PLAIN.fullmatch(granule) else digest(granule)
        found[f"{FOLDER}/{period.label}-{plain}.json.z"].append(scene)
    return found


def _files_of(scenes: Iterable[Scene]) -> dict[Key, str]:
    """Return the address of each file of scenes by its key."""
    return {key_of(asset.href, scene.revision): asset.href for scene in scenes for asset in scene.bands.values()}


def _name(key: Key) -> str:
    return digest(key)


def _parsed(href: str, fields: Any) -> Cog | None:
    """Return a file from the fields of its header; None if they are missing or damaged."""
    try:
        return None if fields is None else from_fields(href, fields)
    except MALFORMED:
        return None
