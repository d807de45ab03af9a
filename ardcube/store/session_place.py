"""A version of a cube in an icechunk repository, read and written as the folder of a plain store is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from ardcube.storage.place import LARGE, Place
from ardcube.store.group_store import group_store
from ardcube.store.repository import icechunk_errors

_T = TypeVar("_T")
_METADATA = "zarr.json"


class HasSession(Protocol):
    """Owner of the session of icechunk through which a version is read or written."""

    @property
    def session(self) -> Any:
        """The session now."""


@dataclass(frozen=True, slots=True)
class SessionPlace(Place):
    """A group of a cube in a session of icechunk, whose metadata are read as if they were consolidated.

    Its address is that of the repository. Folders next to it, such as the ledger, are plain.
    """

    source: Any = None
    """`HasSession`. Its session changes with each commit."""
    group: str = ""
    """Path of the group in the repository, with a slash at its end; empty for the root."""

    @classmethod
    def of(cls, place: Place, source: HasSession) -> SessionPlace:
        """Return the root group of a session for the repository at a place."""
        return cls(place.uri, place.fs, place.path, place.patience, source)

    @property
    def store(self) -> Any:
        """Address of the bucket or server, as of a plain place."""
        return Place(self.uri, self.fs, self.path).store

    @property
    def zarr_store(self) -> Store:
        """The Zarr store of the group."""
        return group_store(self.source.session.store, self.group)

    def sibling(self, suffix: str) -> Place:
        """Return the plain folder whose name is the repository's with a suffix."""
        return Place(self.uri + suffix, self.fs, self.path + suffix, self.patience)

    def child(self, name: str) -> SessionPlace:
        """Return a group in this one."""
        return replace(self, group=f"{self.group}{name}/")

    def exists(self, name: str = "") -> bool:
        """Return whether the group, or an object in it, exists."""
        return self.read(name or _METADATA) is not None

    def read(self, name: str, size: int = LARGE) -> bytes | None:
        """Return an object; None if it is missing. The metadata of a group contain those of its arrays."""
        content = self._get(name)
        if content is None or name != _METADATA:
            return content
        metadata = json.loads(content)
        if metadata.get("node_type") == "group":
            metadata["consolidated_metadata"] = {
                "kind": "inline", "must_understand": False, "metadata": dict(self._nodes())
            }  # fmt: skip
        return json.dumps(metadata).encode()

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return several objects; missing ones are left out."""
        return {name: content for name in names if (content := self.read(name)) is not None}

    def remove_all(self) -> None:
        """Delete all arrays and groups of the session; earlier versions keep them."""
        self._run(lambda: sync(self.zarr_store.clear()))

    def _nodes(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield path and metadata of each array and group below the group."""

        async def found() -> list[str]:
            store, waiting, names = self.zarr_store, [""], []
            while waiting:
                folder = waiting.pop()
                async for name in store.list_dir(folder.rstrip("/")):
                    if name not in (_METADATA, "c"):
                        names.append(f"{folder}{name}")
                        waiting.append(f"{folder}{name}/")
            return sorted(names)

        for name in self._run(lambda: sync(found())):
            content = self._get(f"{name}/{_METADATA}")
            if content is not None:
                yield name, json.loads(content)

    def _get(self, name: str) -> bytes | None:
        if not name.endswith(_METADATA):  # icechunk has no other files
            return None
        found = self._run(lambda: sync(self.zarr_store.get(name, default_buffer_prototype())))
        return None if found is None else bytes(found.to_bytes())

    def _run(self, operation: Callable[[], _T]) -> _T:
        with icechunk_errors(self.uri):
            return operation()
