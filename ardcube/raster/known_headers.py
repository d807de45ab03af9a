"""Headers of remote files that this process knows: those it has read, and those that an earlier process stored.

A header is used for the version of the file that it was read from: a reader compares the version with each answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock

from ardcube.catalog.hrefs import is_remote
from ardcube.raster.cog import Cog

Key = tuple[str, str]
"""Address without its query, which may be a signature, and revision of the scene."""
_MOST = 4096
"""Headers to keep, some 20 MB."""


def key_of(href: str, revision: str) -> Key:
    """Return the key of a file."""
    return href.partition("?")[0], revision


@dataclass(slots=True)
class KnownHeaders:
    """Headers by key, the one used last at the end."""

    _files: OrderedDict[Key, Cog] = field(default_factory=OrderedDict)
    _unsaved: set[Key] = field(default_factory=set)
    _stored: set[Key] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def find(self, key: Key) -> Cog | None:
        """Return the file of a key, or None if its header is not known."""
        with self._lock:
            if key in self._files:
                self._files.move_to_end(key)
            return self._files.get(key)

    def read(self, key: Key, cog: Cog) -> None:
        """Keep a header that was read from its file, if a later change of the file can be recognized."""
        if is_remote(cog.href) and cog.version.is_certain:
            with self._lock:
                self._put(key, cog)
                self._stored.discard(key)
                self._unsaved.add(key)

    def stored(self, key: Key, cog: Cog) -> None:
        """Keep a header that was stored; one that this process has read precedes it."""
        with self._lock:
            if key not in self._files:
                self._put(key, cog)
                self._stored.add(key)

    def drop_stored(self) -> None:
        """Forget the headers that were stored, and keep those that this process has read."""
        with self._lock:
            for key in self._stored:
                self._files.pop(key, None)
            self._stored.clear()

    def unsaved(self, keys: Iterable[Key]) -> dict[Key, Cog]:
        """Return the headers of files that were read and are not stored yet."""
        with self._lock:
            return {key: self._files[key] for key in keys if key in self._unsaved}

    def saved(self, keys: Iterable[Key]) -> None:
        """Note that headers were stored."""
        with self._lock:
            self._unsaved.difference_update(keys)

    def clear(self) -> None:
        """Forget all headers."""
        with self._lock:
            self._files.clear()
            self._unsaved.clear()
            self._stored.clear()

    def _put(self, key: Key, cog: Cog) -> None:
        self._files[key] = cog
        self._files.move_to_end(key)
        while len(self._files) > _MOST:
            oldest, _ = self._files.popitem(last=False)
            self._unsaved.discard(oldest)
            self._stored.discard(oldest)


KNOWN_HEADERS = KnownHeaders()
"""Those of this process."""
