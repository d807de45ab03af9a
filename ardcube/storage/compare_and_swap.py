"""Replacing a small file only where nobody else has changed it: the one step that a lease stands on."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ardcube.storage.place import SLOWEST, Place

_PUT_SECONDS = 20.0
"""Longest wait for one PUT of a small file: less than a lease lasts, so that a renewal can be tried again. A larger
one is waited for longer."""
_SETTLE_SECONDS = 2.0
"""Between writing and reading back on a store without conditions: longer than a rival's read and write take."""
_REFUSED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
"""Codes by which S3 says that the condition of a PUT did not hold, or could not be decided."""
_ROUNDS = 1000
"""Far more than rivals ever cause: a folder that is a broken link shall not be an endless loop."""
_LOCK_SECONDS = 20.0
"""Longest wait for a lock, which is otherwise held for milliseconds: a process that was paused keeps it."""
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}

_in_this_process = threading.Lock()


def read_fresh(place: Place, name: str) -> bytes | None:
    """Content of a file as it is now, past any listing that the filesystem remembers; None where there is none."""
    # s3fs takes a file for missing that a remembered listing of its folder does not name.
    place.fs.invalidate_cache(place.file(name))
    return place.read(name)


def exchange(place: Place, name: str, old: bytes | None, new: bytes) -> bool:
    """Replace a file where it still holds what the caller saw; of many callers at once, one succeeds.

    On a local disk a lock of the kernel makes that one step (also over NFS), on S3 a conditional PUT
    (`If-None-Match`, `If-Match`), in memory a lock of this process. Other filesystems have no such step: there the
    file is written, and read back a little later, so that of two that wrote at the same moment the earlier one
    sees that it lost; a pause of a process between the two can still deceive both.

    Parameters
    ----------
    place : Place
        Folder of the file; made where it is missing.
    name : str
        Of the file.
    old : bytes, optional
        What it must hold; None: it must not exist.
    new : bytes
        What it shall hold. Must be unlike anything that others write, since a PUT whose answer was lost is told
        from a refused one by reading the file.

    Returns
    -------
    bool
        Whether the file holds `new` by this call; if not, it was left as it is.

    Raises
    ------
    OSError
        If the filesystem failed, and the file is as before.
    """
    if place.is_local:
        with _alone(Path(place.file(name))):
            if place.read(name) != old:
                return False
            place.write(name, new)
            return True
    if "s3" in _protocols(place):
        return _put_on_s3(place, name, old, new)
    with _in_this_process:
        if read_fresh(place, name) != old:
            return False
        place.write(name, new)
    if "memory" not in _protocols(place):
        time.sleep(_SETTLE_SECONDS)
    return read_fresh(place, name) == new


def retire(place: Place, name: str, old: bytes, last: bytes) -> bool:
    """Remove a file where it still holds what the caller saw; elsewhere than on a disk, put `last` into it.

    Object stores cannot be relied on to delete under a condition: some ignore it, and would delete what another
    has just written.

    Returns
    -------
    bool
        Whether that was done by this call.
    """
    if not place.is_local:
        return exchange(place, name, old, last)
    path = Path(place.file(name))
    with _alone(path):
        unchanged = place.read(name) == old
        if unchanged:
            path.unlink()
    with suppress(OSError):  # something else is in it
        path.parent.rmdir()
    return unchanged


def _put_on_s3(place: Place, name: str, old: bytes | None, new: bytes) -> bool:
    path = place.file(name)
    condition = {"IfNoneMatch": "*"}
    if old is not None:
        # First the tag, then the content: a change in between makes the tag too old, never too new.
        try:
            condition = {"IfMatch": place.fs.info(path, refresh=True)["ETag"]}
        except FileNotFoundError:
            return False
        if read_fresh(place, name) != old:
            return False
    try:
        place.fs.pipe_file(path, new, timeout=_PUT_SECONDS + len(new) / SLOWEST, **condition)
    except Exception as error:
        # Perhaps it was applied and only the answer was lost: s3fs then tried again, and was refused by its own write.
        found = read_fresh(place, name)
        if found == new:
            return True
        if found != old or _code(error) in _REFUSED:
            return False
        raise
    return True


def _code(error: Exception) -> str | None:
    """S3's code of an error that s3fs has translated."""
    response: Any = getattr(error.__cause__, "response", None)
    return str(response["Error"].get("Code")) if response else None


def _protocols(place: Place) -> tuple[str, ...]:
    protocol = place.fs.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Be the only one, of all threads and processes that ask, to change a file of a disk."""
    lock = Path(f"{path}.lock.part")  # places do not list what ends like this
    descriptor = _locked(lock)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            lock.unlink()  # before it is unlocked: who waits for it then finds it gone, and begins again
        _unlock(descriptor)


def _locked(lock: Path) -> int:
    """Open and lock a file that is still there once it is locked; return its descriptor."""
    for _ in range(_ROUNDS):
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            with suppress(FileExistsError):  # others make and remove the folder at the same time
                lock.parent.mkdir(parents=True)
            continue
        try:
            with _if_there_are_locks():
                _lock(descriptor, lock)
            if _is_there(descriptor, lock):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        _unlock(descriptor)
    raise OSError(errno.EBUSY, "cannot be locked", str(lock))


def _lock(descriptor: int, lock: Path) -> None:
    end = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > end:
                told = "another process has locked it, and may be paused: let it go on, or end it"
                raise OSError(errno.EBUSY, told, str(lock)) from error
            time.sleep(0.005)
        else:
            return


def _unlock(descriptor: int) -> None:
    # Not by closing alone: a process that was forked in between would go on to hold it.
    with _if_there_are_locks():
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


@contextmanager
def _if_there_are_locks() -> Iterator[None]:
    """Go on without a lock where a filesystem knows none; what follows is then two steps, a moment apart."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _is_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
