"""Replace a file on the condition that no other process has changed it since it was read."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
from filelock import FileLock
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from ardcube.storage.object_store import open_bucket, scheme, unsupported_options
from ardcube.storage.place import LARGE, SLOWEST, Place

_PUT_SECONDS = 20.0
"""Seconds to wait for a PUT of a small file: less than a lease lasts, so that a renewal can be repeated."""
_LOCK_SECONDS = 20.0
"""Seconds to wait for a lock on a disk that other processes hold for milliseconds."""
_SETTLE_SECONDS = 2.0
"""Seconds between writing and reading back on a store without conditions: longer than a rival's read and write."""
_PROBE_BYTES = 10_000
"""Largest file that is sent twice more to find out whether a store has conditions."""
_WRONG_TAG: Any = {"e_tag": '"00000000000000000000000000000000"', "version": "1"}

_one_thread = threading.Lock()
_has_conditions: dict[tuple[Any, str], bool] = {}
"""Whether a bucket refuses a PUT whose condition fails, once that was tried."""


@dataclass(frozen=True, slots=True)
class Version:
    """Content of a file, and what identifies it to an object store."""

    content: bytes | None
    """None if the file is missing."""
    tag: Any = None
    """ETag and version of the object."""


def best_effort_reason(place: Place) -> str:
    """Return why `swap` is best effort at a location; an empty string if it is one step."""
    if place.is_local or place.fs.protocol == "memory":
        return ""
    if not scheme(place.fs):
        return "its filesystem has no conditional PUT"
    if unsupported := unsupported_options(place.fs):
        return f"obstore does not know the storage options {', '.join(unsupported)}"
    return "" if _has_conditions.get((place.fs, place.bucket), True) else "it ignores the condition of a PUT"


def read_version(place: Place, name: str) -> Version:
    """Read a file as it is now."""
    return place.outlast(lambda: _read_version(place, name), LARGE)


def _read_version(place: Place, name: str) -> Version:
    bucket = _bucket(place)
    if bucket is None:
        return Version(place.read_now(name, LARGE))
    try:
        found = obstore.get(bucket, place.key(name))
        return Version(bytes(found.bytes()), _tag(found.meta))
    except FileNotFoundError:
        return Version(None)


def swap(place: Place, name: str, old: Version, new: bytes) -> Version | None:
    """Replace a file that is unchanged since it was read; of many callers at once, one succeeds.

    S3, GCS and Azure check a condition of the PUT. On a disk a lock makes comparison and replacement one step. Other
    filesystems are best effort: the file is compared, written, and read back after two seconds, so that the earlier
    of two writers notices the later one. So are object stores that ignore conditions; the first PUT finds that out.

    Parameters
    ----------
    place : Place
        Folder of the file; created if missing.
    name : str
        Name of the file.
    old : Version
        Version that was read.
    new : bytes
        New content. It must differ from what other processes write, because a PUT whose answer was lost is
        recognized by reading the file.

    Returns
    -------
    Version or None
        The new version, or None if another process has changed the file.

    Raises
    ------
    Exception
        If the filesystem failed; the file is unchanged.
    """
    if place.is_local:
        return _swap_on_disk(place, name, old, new)
    return place.outlast(lambda: _swap(place, name, old, new), len(new))


def _swap(place: Place, name: str, old: Version, new: bytes) -> Version | None:
    bucket = _bucket(place, len(new))
    if bucket is None:
        return _write_and_read_back(place, name, old, new)
    try:
        condition: Any = "create" if old.content is None else old.tag
        written = Version(new, _tag(obstore.put(bucket, place.key(name), new, mode=condition)))
    except (BaseError, OSError) as error:
        found = _read_version(place, name)
        if found.content == new:
            return found  # the PUT was applied and its answer was lost
        if found.content != old.content or isinstance(error, AlreadyExistsError | PreconditionError):
            return None
        raise
    if (place.fs, place.bucket) not in _has_conditions and len(new) <= _PROBE_BYTES:
        with suppress(BaseError):  # asked again with the next PUT
            refusals = (_is_refused(bucket, place.key(name), new, wrong) for wrong in ("create", _WRONG_TAG))
            _has_conditions[place.fs, place.bucket] = all(refusals)
    return _write_and_read_back(place, name, written, new) if best_effort_reason(place) else written


def _is_refused(bucket: Any, key: str, content: bytes, condition: Any) -> bool:
    try:
        obstore.put(bucket, key, content, mode=condition)
    except (AlreadyExistsError, PreconditionError):
        return True
    except BaseError as error:
        if "NotImplemented" not in str(error):
            raise
    return False


def _swap_on_disk(place: Place, name: str, old: Version, new: bytes) -> Version | None:
    path = Path(place.file(f"{name}.lock.part"))  # files with this ending are not listed
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path, timeout=_LOCK_SECONDS, poll_interval=0.005):
        try:
            if place.read(name) != old.content:
                return None
            place.write(name, new)
            return Version(new)
        finally:
            path.unlink(missing_ok=True)


def _write_and_read_back(place: Place, name: str, old: Version, new: bytes) -> Version | None:
    with _one_thread:
        if place.read_now(name, LARGE) not in (old.content, new):  # an earlier attempt may have written it
            return None
        place.write(name, new)
    if place.fs.protocol != "memory":
        time.sleep(_SETTLE_SECONDS)
    return Version(new) if place.read_now(name, LARGE) == new else None


def _bucket(place: Place, size: int = 0) -> Any:
    """Return the bucket of a location whose store has conditions, else None."""
    if not scheme(place.fs) or best_effort_reason(place):
        return None
    return open_bucket(place.fs, place.bucket, int(_PUT_SECONDS + size / SLOWEST))


def _tag(meta: Any) -> dict[str, str]:
    return {key: meta[key] for key in ("e_tag", "version") if meta.get(key)}
