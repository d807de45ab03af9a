"""What a person calls a cube: the last part of its address (pure)."""

from __future__ import annotations

from pathlib import PurePosixPath


def cube_name(uri: str) -> str:
    """``vancouver`` of ``s3://bucket/cubes/vancouver.zarr``."""
    return PurePosixPath(uri.rstrip("/")).name.removesuffix(".zarr") or uri
