"""Check whether a folder of this machine can be written, and create it before anything is computed for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ardcube.errors import InputError


def can_write(path: Path) -> bool:
    """Return whether a folder can be created at the path: its nearest existing parent takes a file."""
    try:
        check_writable(next(parent for parent in (path, *path.parents) if parent.exists()))
    except OSError:  # also of a parent that may not be searched
        return False
    return True


def make_folder(path: Path, option: str) -> None:
    """Create a folder and its parents if they do not exist, and check that files can be written into it.

    Parameters
    ----------
    path : Path
        The folder.
    option : str
        Name of the option that named it, for the message.

    Raises
    ------
    InputError
        If the folder cannot be created, or not be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        check_writable(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"{option} {str(path)!r:.200}: cannot be written ({reason}); choose a folder that you may write to"
        ) from error


def check_writable(folder: Path) -> None:
    """Raise OSError if no file can be written into a folder; permissions alone do not say it for every filesystem."""
    with tempfile.TemporaryFile(dir=folder):
        pass
