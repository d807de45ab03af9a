"""Codecs that check the lengths stated in a damaged chunk before numcodecs decodes it.

numcodecs trusts these lengths. A wrong one ends the process: by a segmentation fault in Blosc, by taking all memory
for a list of strings. See docs/known-upstream-defects.md. Only code of this project that reads pixels needs them:
quicklooks and previews.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import zarr
from zarr import codecs
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.registry import register_codec

_HEADER_BYTES = 16
"""Bytes of a Blosc header; the last four are the length of the whole chunk (c-blosc, README_CHUNK_FORMAT)."""
_LENGTH_BYTES = 4
"""Bytes of the number of strings at the start of a chunk, and of the length before each string."""


class BloscCodec(codecs.BloscCodec):
    """Blosc that raises ValueError if a chunk is not as long as its header states."""

    # zarr calls one or the other, depending on its version.
    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        _check_blosc(chunk_data)
        return await super()._decode_single(chunk_data, chunk_spec)

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        _check_blosc(chunk_data)
        return super()._decode_sync(chunk_data, chunk_spec)


class VLenUTF8Codec(codecs.VLenUTF8Codec):
    """Variable-length strings that raise ValueError if a chunk is too short for their stated number.

    The class has the name of zarr's own because zarr accepts no other for strings.
    """

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        _check_strings(chunk_bytes)
        return await super()._decode_single(chunk_bytes, chunk_spec)

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        _check_strings(chunk_bytes)
        return super()._decode_sync(chunk_bytes, chunk_spec)


_CODECS = {"blosc": BloscCodec, "vlen-utf8": VLenUTF8Codec}


@contextmanager
def checked_codecs() -> Iterator[None]:
    """Let the arrays opened in this block check their chunks before they decode them."""
    for name, codec in _CODECS.items():
        register_codec(name, codec)
    with zarr.config.set({f"codecs.{name}": f"{__name__}.{codec.__qualname__}" for name, codec in _CODECS.items()}):
        yield


def _check_blosc(content: Buffer) -> None:
    header = content[:_HEADER_BYTES].to_bytes()
    length = int.from_bytes(header[12:], "little")
    if len(header) < _HEADER_BYTES or length != len(content):
        raise ValueError(f"a chunk of {len(content)} bytes states a length of {length}")


def _check_strings(content: Buffer) -> None:
    number = int.from_bytes(content[:_LENGTH_BYTES].to_bytes(), "little")
    if (1 + number) * _LENGTH_BYTES > len(content):
        raise ValueError(f"a chunk of {len(content)} bytes states {number} strings")
