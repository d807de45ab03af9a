"""Many chunk records at once: as a Parquet table, of which most records are read without parsing documents."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ardcube.errors import StoreError
from ardcube.ledger.brief import BriefBuilder, is_plain
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey

if TYPE_CHECKING:  # slow to import, and not needed to check a request
    import pyarrow as pa
    from pyarrow import parquet

_ROWS = 5_000
"""Records in memory while a table is read or written: some megabytes."""
_COLUMNS = {
    "key": "string",
    "period": "string",
    "row": "int64",
    "col": "int64",
    "status": "string",
    "attempts": "int64",
    "error": "string",
    "scenes": "int64",
    "skipped": "int64",
    "seconds": "double",
    "record": "string",
    # Further columns of plain records, whose documents then need not be parsed. Null for others.
    "plain": "bool",
    "inputs": "uint64",
    "started": "string",
    "host": "string",
    "attempt_seconds": "double",
    "scene_ids": "string",
}
_OF_PLAIN = ("period", "row", "col", "status", "plain", "inputs", "started", "host", "attempt_seconds", "scene_ids")
Entry = tuple[ChunkRecord, str]
"""A record and its document."""

logger = logging.getLogger(__name__)


def record_or_none(content: bytes | str) -> ChunkRecord | None:
    """Parse a record, or log a warning and return None; its chunk is then built again."""
    try:
        return ChunkRecord.from_json(content)
    except StoreError as error:
        logger.warning("ignored %s", error)
        return None


def entries(contents: Iterable[bytes | str]) -> Iterator[Entry]:
    """Yield each record that can be parsed, with its document."""
    for content in contents:
        record = record_or_none(content)
        if record is None:
            continue
        bounded = record.bounded()  # earlier versions kept all attempts
        text = content if bounded is record else bounded.to_json()
        yield bounded, text if isinstance(text, str) else text.decode()


def newest_of_each(entries: Iterable[Entry]) -> dict[ChunkKey, ChunkRecord]:
    """Return the first record of each key, sorted by key."""
    found: dict[ChunkKey, ChunkRecord] = {}
    for record, _ in entries:
        found.setdefault(record.key, record)
    return dict(sorted(found.items(), key=lambda entry: str(entry[0])))


def row(record: ChunkRecord, text: str) -> dict[str, Any]:
    """Return the table row of a record and its document."""
    plain: dict[str, Any] = {"plain": is_plain(record)}
    if plain["plain"]:
        attempt = record.attempts[0]
        plain |= {"inputs": int(record.inputs, 16), "started": attempt.started, "host": attempt.host}
        plain |= {"attempt_seconds": float(attempt.seconds), "scene_ids": json.dumps(record.scenes)}
    return plain | {
        "key": str(record.key),
        "period": record.key.period,
        "row": record.key.row,
        "col": record.key.col,
        "status": record.status,
        "attempts": record.attempt_count,
        "error": record.error,
        "scenes": len(record.scenes),
        "skipped": len(record.skipped),
        "seconds": float(sum(record.seconds.values())),
        "record": text,
    }


def to_parquet(tables: Iterable[pa.Table]) -> bytes:
    """Encode tables of rows as Parquet, one after another."""
    import pyarrow as pa  # slow to import, and not needed to check a request
    from pyarrow import parquet

    buffer = pa.BufferOutputStream()
    with parquet.ParquetWriter(buffer, pa.schema(_COLUMNS), compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
    content: bytes = buffer.getvalue().to_pybytes()
    return content


def tables_of(rows: Iterable[Mapping[str, Any]]) -> Iterator[pa.Table]:
    """Yield rows as tables of some thousand rows."""
    import pyarrow as pa

    from ardcube.ledger.columns import column

    schema, remaining = pa.schema(_COLUMNS), iter(rows)
    while part := list(islice(remaining, _ROWS)):
        columns = [column([one.get(field.name) for one in part], field.type) for field in schema]
        yield pa.Table.from_arrays(columns, schema=schema)


def new_rows(content: bytes, found: BriefBuilder, *, whole: bool) -> Iterator[pa.Table]:
    """Add the records of a table to `found`; yield the rows of the chunks that it did not have.

    Most records are read from columns, because parsing a document takes thirty times as long.

    Parameters
    ----------
    content : bytes
        The table.
    found : BriefBuilder
        Gets the records.
    whole : bool
        Whether rows are yielded. Otherwise documents of plain records are not read.

    Raises
    ------
    StoreError
        If the content is not a table of records.
    """
    from ardcube.ledger.columns import take

    with _damage_as_store_error():
        file = _open(content)
        if not _has_columns(file):
            added = ((record, text) for record, text in entries(records_in(content)) if found.add(record))
            yield from tables_of(row(record, text) for record, text in added if whole)
            return
        for number in range(file.num_row_groups):
            rows = file.read_row_group(number, None if whole else [*_OF_PLAIN], use_threads=False)
            is_plain = np.array(rows["plain"].to_pylist(), bool)  # null is false
            new, others = np.flatnonzero(is_plain), np.flatnonzero(~is_plain)
            if len(new):
                new = new[_add_plain(rows.filter(rows["plain"]), found)]
            if len(others):
                texts = rows if whole else file.read_row_group(number, ["record"], use_threads=False)
                documents = zip(others.tolist(), take(texts["record"], others).to_pylist(), strict=True)
                read = [(place, record_or_none(text or "")) for place, text in documents]
                added_others = [place for place, record in read if record is not None and found.add(record)]
                new = np.sort(np.concatenate([new, np.array(added_others, np.int64)]))
            if whole and len(new):
                yield take(rows, new)


def _add_plain(rows: pa.Table, found: BriefBuilder) -> NDArray[np.int64]:
    """Add plain rows; return the positions of those that are the first of their chunk."""
    from ardcube.ledger.columns import numbers_of

    texts: dict[str, tuple[list[Any], NDArray[np.int64]]] = {}
    for name in ("period", "status", "started", "host", "scene_ids"):
        coded = rows[name].combine_chunks().dictionary_encode()
        texts[name] = coded.dictionary.to_pylist(), numbers_of(coded.indices, np.int32).astype(np.int64)
    ids, places = texts.pop("scene_ids")
    texts["scenes"] = [tuple(json.loads(some)) for some in ids], places
    kinds = {"row": np.int64, "col": np.int64, "inputs": np.uint64, "attempt_seconds": np.float64}
    numbers = {name: numbers_of(rows[name], kind) for name, kind in kinds.items()}
    return found.add_plain(numbers | {"seconds": numbers.pop("attempt_seconds")}, texts)


def records_in(content: bytes) -> Iterator[str]:
    """Yield the document of each record in a table.

    Raises
    ------
    StoreError
        If the content is not a table of records.
    """
    with _damage_as_store_error():
        file = _open(content)
        # Large strings in tables that earlier versions wrote through pandas.
        if str(file.schema_arrow.field("record").type) not in ("string", "large_string"):
            raise ValueError("records are not strings")
        for batch in file.iter_batches(_ROWS, columns=["record"], use_threads=False):
            yield from (text for text in batch.column(0).to_pylist() if text is not None)


def _open(content: bytes) -> parquet.ParquetFile:
    import pyarrow as pa
    from pyarrow import parquet

    # Arrow's own buffer and no threads, because threads that hold a Python file abort a process that exits
    # meanwhile (https://github.com/apache/arrow/issues/33975).
    return parquet.ParquetFile(pa.BufferReader(content))


def _has_columns(file: parquet.ParquetFile) -> bool:
    """Return whether a table has the columns of this version, in parts that may be in memory."""
    schema, groups = file.schema_arrow, range(file.num_row_groups)
    has = all(name in schema.names and str(schema.field(name).type) == kind for name, kind in _COLUMNS.items())
    return has and all(file.metadata.row_group(number).num_rows <= 2 * _ROWS for number in groups)


@contextmanager
def _damage_as_store_error() -> Iterator[None]:
    """Raise the errors of a damaged table as StoreError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise StoreError(f"not a table of records: {' '.join(str(error).split())[:200]}") from error
