"""Check whether a folder of this machine can be written."""

from __future__ import annotations

import os
from pathlib import Path


def can_write(path: Path) -> bool:
    """Return whether a folder can be created at the path: its nearest existing parent is a writable folder."""
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
