"""Files that cannot be used, remembered so that the other chunks of a process do not find out again.

Only errors of whole files are remembered: a missing or truncated file, or one that differs from its item. A damaged
block fails the chunks that read it, and no others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from ardcube.errors import SceneError

_MOST = 10_000
"""Files to remember."""

_bad: OrderedDict[tuple[str, str], str] = OrderedDict()
"""Message by address and revision."""
_lock = Lock()

T = TypeVar("T")


def open_unless_bad(href: str, revision: str, opened: Callable[[], T]) -> T:
    """Open a file, unless this process knows that the file is bad.

    Parameters
    ----------
    href : str
        Address of the file.
    revision : str
        Revision of the scene, because a newer one may have a good file.
    opened : callable
        Opens the file.

    Raises
    ------
    SceneError
        If the file is bad.
    """
    with _lock:
        message = _bad.get((href, revision))
    if message is not None:
        raise SceneError(message)
    try:
        return opened()
    except SceneError as error:
        with _lock:
            _bad[href, revision] = str(error)
            if len(_bad) > _MOST:
                _bad.popitem(last=False)
        raise


def forget_bad_files() -> None:
    """Forget all bad files, because a new run opens each file again."""
    with _lock:
        _bad.clear()
