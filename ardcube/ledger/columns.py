"""Arrow columns from Python values and back, without those conversions of pyarrow that import pandas.

pandas takes 45 MB and half a second of CPU in each process (docs/decisions/0075).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NUMBERS = {"int64": np.int64, "uint64": np.uint64, "double": np.float64}


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values as an Arrow array of a kind that the ledger uses; None is null.

    Parameters
    ----------
    values : sequence
        Texts, bytes, numbers, truth values, datetimes in UTC, or lists of one of them.
    kind : pyarrow.DataType
        string, binary, int64, uint64, double, bool, timestamp in microseconds, or a list of one of them.

    Raises
    ------
    OverflowError
        If the texts have more than 2 GB together, or a number does not fit.
    """
    known = np.fromiter((value is not None for value in values), bool, len(values))
    validity = None if known.all() else _bits(known)
    if pa.types.is_list(kind):
        parts = [value or () for value in values]
        items = column(list(chain.from_iterable(parts)), kind.value_type)
        return pa.Array.from_buffers(kind, len(values), [validity, _offsets(parts)], children=[items])
    if str(kind) in ("string", "binary"):
        encoded = [value.encode() if isinstance(value, str) else value or b"" for value in values]
        return pa.Array.from_buffers(kind, len(values), [validity, _offsets(encoded), pa.py_buffer(b"".join(encoded))])
    if pa.types.is_boolean(kind):
        data = _bits(np.fromiter(map(bool, values), bool, len(values)))
    elif pa.types.is_timestamp(kind):
        stamps = (0 if value is None else (value - _EPOCH) // _MICROSECOND for value in values)
        data = pa.py_buffer(np.fromiter(stamps, np.int64, len(values)))
    else:
        data = pa.py_buffer(np.fromiter((value or 0 for value in values), _NUMBERS[str(kind)], len(values)))
    return pa.Array.from_buffers(kind, len(values), [validity, data])


def numbers_of(array: pa.Array | pa.ChunkedArray, dtype: DTypeLike) -> NDArray[Any]:
    """Return the numbers of a column without nulls.

    Parameters
    ----------
    array : pyarrow.Array or pyarrow.ChunkedArray
        The column.
    dtype : dtype
        Its data type.

    Raises
    ------
    ValueError
        If a number is null.
    """
    if array.null_count:
        raise ValueError(f"{array.null_count} numbers are null")
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    parts = [
        np.frombuffer(chunk.buffers()[1], dtype, len(chunk), chunk.offset * np.dtype(dtype).itemsize)
        for chunk in chunks
        if len(chunk)
    ]
    return np.concatenate([np.empty(0, dtype), *parts])


def take(rows: Any, places: NDArray[np.int64]) -> Any:
    """Return the rows of a table, or the values of a column, at some places."""
    return rows.take(column(places.tolist(), pa.int64()))


def time_of(microseconds: int) -> datetime:
    """Return the time in UTC of a timestamp in microseconds."""
    return _EPOCH + microseconds * _MICROSECOND


def _bits(flags: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def _offsets(parts: Sequence[Any]) -> pa.Buffer:
    return pa.py_buffer(np.fromiter(accumulate(map(len, parts), initial=0), np.int32, len(parts) + 1))
