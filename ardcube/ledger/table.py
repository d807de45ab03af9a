"""Many chunk records at once: the newest of each chunk, in brief, and as Parquet, written and read a part at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from ardcube.errors import StoreError
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.plan.jobs import ChunkKey

_ROWS = 5_000
"""Records held at once, whatever the number of chunks: some megabytes."""
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
"""A record, and its JSON."""

logger = logging.getLogger(__name__)


def lenient(content: bytes | str) -> ChunkRecord | None:
    """A record, or None for one that cannot be read: its chunk is then simply built again."""
    try:
        return ChunkRecord.from_json(content)
    except StoreError as error:
        logger.warning("ignored %s", error)
        return None


def entries(contents: Iterable[bytes | str]) -> Iterator[Entry]:
    """Records that can be read, each with its text."""
    for content in contents:
        record = lenient(content)
        if record is not None:
            yield record, content if isinstance(content, str) else content.decode()


def by_name(entry: tuple[ChunkKey, ChunkRecord]) -> str:
    """What records are sorted by."""
    return str(entry[0])


def newest_of_each(entries: Iterable[Entry], *, brief: bool) -> dict[ChunkKey, ChunkRecord]:
    """The first record of each key, in the order of keys."""
    found: dict[ChunkKey, ChunkRecord] = {}
    shared = _Shared()
    for record, _ in entries:
        if record.key not in found:
            found[record.key] = shared.brief(record) if brief else record
    return dict(sorted(found.items(), key=by_name))


def rows_of_newest(entries: Iterable[Entry], found: dict[ChunkKey, ChunkRecord]) -> Iterator[dict[str, Any]]:
    """Rows of the first record of each key; `found` keeps it in brief."""
    shared = _Shared()
    for record, text in entries:
        if record.key not in found:
            found[record.key] = shared.brief(record)
            yield row(record, text)


def row(record: ChunkRecord, text: str) -> dict[str, Any]:
    """As the table holds it."""
    return {
        "key": str(record.key),
        "period": record.key.period,
        "row": record.key.row,
        "col": record.key.col,
        "status": record.status,
        "attempts": len(record.attempts),
        "error": record.error,
        "scenes": len(record.scenes),
        "skipped": len(record.skipped),
        "seconds": float(sum(record.seconds.values())),
        "record": text,
    }


def to_parquet(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Write rows of the columns above; `record` is a record's JSON."""
    import pyarrow as pa  # (slow to import, and a request is checked without it)
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
    """The JSON of each record in a table.

    Raises
    ------
    StoreError
        If it is no table of records.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # Not through a Python file, nor with threads: arrow's hold the file longer than the reading takes, and abort a
        # process that ends meanwhile (https://github.com/apache/arrow/issues/33975).
        file = parquet.ParquetFile(pa.BufferReader(content))
        # Large ones in tables that pandas wrote, as earlier versions of this program had it do.
        if file.schema_arrow.field("record").type not in (pa.string(), pa.large_string()):
            raise ValueError("records are no texts")
        for batch in file.iter_batches(_ROWS, columns=["record"], use_threads=False):
            yield from (text for text in batch.column(0).to_pylist() if text is not None)
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        raise StoreError(f"not a table of records: {' '.join(str(error).split())[:200]}") from error


class _Shared:
    """Keeps one of equal strings and tuples: neighbouring chunks have the same scenes, and all the same hosts."""

    def __init__(self) -> None:
        self._seen: dict[Any, Any] = {}

    def brief(self, record: ChunkRecord) -> ChunkRecord:
        """A record in brief."""
        one = self._one
        key = ChunkKey(one(record.key.period), record.key.row, record.key.col)
        attempts = tuple(
            Attempt(one(attempt.started), one(attempt.host), attempt.seconds, one(attempt.error), attempt.permanent)
            for attempt in record.attempts
        )
        skipped = {one(scene): one(reason) for scene, reason in record.skipped.items()} or _NONE
        scenes = one(record.scenes)
        return ChunkRecord(key, one(record.status), record.inputs, attempts, scenes, _NONE, _NONE, _NONE, skipped)

    def _one(self, value: Any) -> Any:
        return self._seen.setdefault(value, value)
