"""Many chunk records at once: the newest of each chunk, without statistics, and as a Parquet table."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from ardcube.errors import StoreError
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey

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
}

_NONE: Mapping[str, Any] = {}
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


def by_name(entry: tuple[ChunkKey, ChunkRecord]) -> str:
    """Return the key by which records are sorted."""
    return str(entry[0])


def newest_of_each(entries: Iterable[Entry], *, brief: bool) -> dict[ChunkKey, ChunkRecord]:
    """Return the first record of each key, sorted by key; with `brief` without statistics, seconds and bytes."""
    found: dict[ChunkKey, ChunkRecord] = {}
    shared = _Shared()
    for record, _ in entries:
        if record.key not in found:
            found[record.key] = shared.brief(record) if brief else record
    return dict(sorted(found.items(), key=by_name))


def rows_of_newest(entries: Iterable[Entry], found: dict[ChunkKey, ChunkRecord]) -> Iterator[dict[str, Any]]:
    """Yield the table row of the first record of each key, and add the record without statistics to `found`."""
    shared = _Shared()
    for record, text in entries:
        if record.key not in found:
            found[record.key] = shared.brief(record)
            yield row(record, text)


def row(record: ChunkRecord, text: str) -> dict[str, Any]:
    """Return the table row of a record and its document."""
    return {
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


def to_parquet(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Encode rows as Parquet, a part at a time."""
    import pyarrow as pa  # slow to import, and not needed to check a request
    from pyarrow import parquet

    schema = pa.schema(_COLUMNS)
    buffer = pa.BufferOutputStream()
    remaining = iter(rows)
    with parquet.ParquetWriter(buffer, schema, compression="zstd") as writer:
        while part := list(islice(remaining, _ROWS)):
            writer.write_table(pa.Table.from_pylist(part, schema))
    content: bytes = buffer.getvalue().to_pybytes()
    return content


def records_in(content: bytes) -> Iterator[str]:
    """Yield the document of each record in a table.

    Raises
    ------
    StoreError
        If the content is not a table of records.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # Arrow's own buffer and no threads, because threads that hold a Python file abort a process that exits
        # meanwhile (https://github.com/apache/arrow/issues/33975).
        file = parquet.ParquetFile(pa.BufferReader(content))
        # Large strings in tables that earlier versions wrote through pandas.
        if file.schema_arrow.field("record").type not in (pa.string(), pa.large_string()):
            raise ValueError("records are not strings")
        for batch in file.iter_batches(_ROWS, columns=["record"], use_threads=False):
            yield from (text for text in batch.column(0).to_pylist() if text is not None)
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        raise StoreError(f"not a table of records: {' '.join(str(error).split())[:200]}") from error


class _Shared:
    """Keep one object of equal strings and tuples, because records of one cube share scenes and hosts."""

    def __init__(self) -> None:
        self._seen: dict[Any, Any] = {}

    def brief(self, record: ChunkRecord) -> ChunkRecord:
        """Return a record without statistics, seconds and bytes."""
        one = self._one
        key = ChunkKey(one(record.key.period), record.key.row, record.key.col)
        attempts = tuple(
            replace(
                attempt,
                started=one(attempt.started),
                host=one(attempt.host),
                error=one(attempt.error),
                bad_scenes=self._texts(attempt.bad_scenes),
            )
            for attempt in record.attempts
        )
        return replace(
            record,
            key=key,
            status=one(record.status),
            attempts=attempts,
            scenes=one(record.scenes),
            statistics=_NONE,
            seconds=_NONE,
            byte_counts=_NONE,
            skipped=self._texts(record.skipped),
        )

    def _texts(self, texts: Mapping[str, str]) -> Mapping[str, str]:
        return {self._one(name): self._one(text) for name, text in texts.items()} if texts else _NONE

    def _one(self, value: Any) -> Any:
        return self._seen.setdefault(value, value)
