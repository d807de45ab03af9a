"""Blosc for reading what may be damaged.

numcodecs does not tell the C library how many bytes there are, which reads as many as these claim to be: beyond their
end, and the process ends with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import zarr
from zarr.codecs import BloscCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer
from zarr.registry import register_codec

_HEADER_BYTES = 16
"""Of which the last four are the length of the whole (c-blosc, README_CHUNK_FORMAT)."""


class CheckedBlosc(BloscCodec):
    """Blosc whose bytes must be as many as they say."""

    # Which of the two is asked depends on zarr's version.
    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        _check(chunk_data)
        return await super()._decode_single(chunk_data, chunk_spec)

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        _check(chunk_data)
        return super()._decode_sync(chunk_data, chunk_spec)


register_codec("blosc", CheckedBlosc)


@contextmanager
def checked() -> Iterator[None]:
    """Let arrays that are opened meanwhile be read so."""
    with zarr.config.set({"codecs.blosc": f"{__name__}.{CheckedBlosc.__qualname__}"}):
        yield


def _check(content: Buffer) -> None:
    start = content[:_HEADER_BYTES].to_bytes()
    length = int.from_bytes(start[12:], "little")
    if len(start) < _HEADER_BYTES or length != len(content):
        raise ValueError(f"{len(content)} bytes of pixels that say to be {length}")
