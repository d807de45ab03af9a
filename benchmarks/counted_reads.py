"""Count the requests for objects of local Zarr stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from zarr.storage import LocalStore


@dataclass(slots=True)
class Reads:
    """Counts of requests for chunks and shards; metadata are not counted."""

    requests: int = 0
    """All requests: also those for objects that do not exist, and for parts of an object."""
    objects: int = 0
    """Requests that returned bytes."""
    bytes: int = 0

    def add(self, key: str, content: Any) -> None:
        """Add a request for an object."""
        if not key.endswith("zarr.json"):
            self.requests += 1
            self.objects += content is not None
            self.bytes += 0 if content is None else len(content)


@contextmanager
def counted_reads() -> Iterator[Reads]:
    """Count the requests of all local stores of the process in this block."""
    counts, get, get_sync = Reads(), LocalStore.get, LocalStore.get_sync

    async def counted(store: LocalStore, key: str, *args: Any, **kwargs: Any) -> Any:
        content = await get(store, key, *args, **kwargs)
        counts.add(key, content)
        return content

    def counted_sync(store: LocalStore, key: str, *args: Any, **kwargs: Any) -> Any:
        content = get_sync(store, key, *args, **kwargs)
        counts.add(key, content)
        return content

    LocalStore.get, LocalStore.get_sync = counted, counted_sync  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        LocalStore.get, LocalStore.get_sync = get, get_sync  # type: ignore[method-assign]
