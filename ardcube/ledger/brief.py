"""Records of very many chunks without statistics, in arrays; a record is created on access."""

from __future__ import annotations

from collections.abc import Hashable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from dataclasses import replace
from heapq import merge
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ardcube.ledger.record import DONE, NO_VALUES, Attempt, ChunkRecord, is_period
from ardcube.planning.jobs import ChunkKey

_COL_BITS, _ROW_BITS = 20, 28
"""Bits of columns and rows in the key of a record. 15 remain for the period, which is enough for 89 years of days."""
_ROW = np.dtype([
    ("key", "i8"), ("inputs", "u8"), ("seconds", "f8"), ("started", "i4"), ("host", "i4"), ("scenes", "i4"),
    ("status", "i1"),
])  # fmt: skip
"""A plain record: period, row and column of its chunk in one number, its inputs, and numbers of its texts."""
_AT_ONCE = 4096
"""Records that iteration creates at a time."""
_T = TypeVar("_T", bound=Hashable)


def is_plain(record: ChunkRecord) -> bool:
    """Return whether a chunk was built at the first attempt from all of its scenes, as nearly all chunks are."""
    if not (record.status in DONE and len(record.attempts) == 1 and not record.omitted_attempts):
        return False
    (attempt,) = record.attempts
    failed = attempt.error is not None or attempt.permanent or attempt.bad_scenes
    return not (failed or record.skipped or record.kept) and _is_hash(record.inputs)


def _is_hash(inputs: str) -> bool:
    """Return whether inputs are a number of 64 bits in the form that jobs have."""
    try:
        return len(inputs) == 16 and f"{int(inputs, 16):016x}" == inputs
    except ValueError:
        return False


class BriefRecords(Mapping[ChunkKey, ChunkRecord]):
    """Records by chunk, ordered by period, row and column; `BriefBuilder` makes them.

    A plain record takes 37 bytes. Records that are not plain are kept as objects.
    """

    def __init__(
        self,
        rows: NDArray[Any],
        periods: Sequence[str],
        texts: Mapping[str, Sequence[Any]],
        others: Mapping[ChunkKey, ChunkRecord],
    ) -> None:
        self._rows = rows
        self._periods = periods
        self._numbers = {period: number for number, period in enumerate(periods)}
        self._texts = texts
        self._others = others

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._rows) + len(self._others)

    def __getitem__(self, key: ChunkKey) -> ChunkRecord:
        """Return the record of a chunk."""
        if (other := self._others.get(key)) is not None:
            return other
        period = self._numbers.get(key.period)
        if period is not None and 0 <= key.row < 1 << _ROW_BITS and 0 <= key.col < 1 << _COL_BITS:
            wanted = _packed(period, key.row, key.col)
            place = int(np.searchsorted(self._rows["key"], wanted))
            if place < len(self._rows) and self._rows["key"][place] == wanted:
                return self._made(self._rows[place].item())
        raise KeyError(key)

    def __iter__(self) -> Iterator[ChunkKey]:
        """Yield the chunks."""
        return (record.key for record in self._each())

    def values(self) -> ValuesView[ChunkRecord]:
        """Return the records; each is created when it is asked for, and none is kept."""
        return _Values(self)

    def items(self) -> ItemsView[ChunkKey, ChunkRecord]:
        """Return the chunks with their records, as `values`."""
        return _Items(self)

    def _each(self) -> Iterator[ChunkRecord]:
        plain = (
            self._made(row)
            for start in range(0, len(self._rows), _AT_ONCE)
            for row in self._rows[start : start + _AT_ONCE].tolist()
        )
        return merge(plain, self._others.values(), key=_order) if self._others else plain

    def _made(self, row: tuple[Any, ...]) -> ChunkRecord:
        key, inputs, seconds, started, host, scenes, status = row
        period, place = key >> (_ROW_BITS + _COL_BITS), key & ((1 << (_ROW_BITS + _COL_BITS)) - 1)
        texts = self._texts
        attempt = Attempt(texts["started"][started], texts["host"][host], seconds, None, False, NO_VALUES)
        return ChunkRecord(
            ChunkKey(self._periods[period], place >> _COL_BITS, place & ((1 << _COL_BITS) - 1)),
            DONE[status],
            f"{inputs:016x}",
            (attempt,),
            texts["scenes"][scenes],
            NO_VALUES,
            NO_VALUES,
            NO_VALUES,
            NO_VALUES,
        )


class _Values(ValuesView[ChunkRecord]):
    """Records in order, without a search for each."""

    _mapping: BriefRecords

    def __iter__(self) -> Iterator[ChunkRecord]:
        return self._mapping._each()


class _Items(ItemsView[ChunkKey, ChunkRecord]):
    """Chunks with their records in order, without a search for each."""

    _mapping: BriefRecords

    def __iter__(self) -> Iterator[tuple[ChunkKey, ChunkRecord]]:
        return ((record.key, record) for record in self._mapping._each())


def _order(record: ChunkRecord) -> tuple[str, int, int]:
    return record.key.period, record.key.row, record.key.col


def _packed(period: int, row: int, col: int) -> int:
    return (((period << _ROW_BITS) | row) << _COL_BITS) | col


class BriefBuilder:
    """Collects records, of which the first of each chunk counts."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[Any, int]] = {name: {} for name in ("period", "started", "host", "scenes")}
        self._parts: list[NDArray[Any]] = []
        self._rows: list[tuple[Any, ...]] = []
        self._others: dict[ChunkKey, ChunkRecord] = {}
        self._seen: dict[int, int] = {}
        """A bit for each column of a period and row."""
        self._shared = _Shared()

    def add(self, record: ChunkRecord) -> bool:
        """Add a record; return whether it is the first of its chunk."""
        key = record.key
        if key.row >= 1 << _ROW_BITS or key.col >= 1 << _COL_BITS:
            is_new = key not in self._others
            self._others.setdefault(key, self._shared.brief(record))
            return is_new
        packed = _packed(self._number("period", key.period), key.row, key.col)
        if not self._is_new(packed):
            return False
        if not is_plain(record):
            self._others[key] = self._shared.brief(record)
            return True
        (attempt,) = record.attempts
        texts = {
            "started": attempt.started,
            "host": attempt.host,
            "scenes": tuple(map(self._shared.one, record.scenes)),
        }
        numbers = (self._number(name, text) for name, text in texts.items())
        row = (packed, int(record.inputs, 16), attempt.seconds, *numbers, DONE.index(record.status))
        self._rows.append(row)
        if len(self._rows) >= _AT_ONCE:
            self._flush()
        return True

    def add_plain(
        self, numbers: Mapping[str, NDArray[Any]], texts: Mapping[str, tuple[Sequence[Any], NDArray[np.int64]]]
    ) -> NDArray[np.int64]:
        """Add plain records; return the positions of those that are the first of their chunk.

        Parameters
        ----------
        numbers : mapping
            `row`, `col`, `inputs`, `seconds` (record,).
        texts : mapping
            `period`, `status`, `started`, `host`, `scenes`: distinct values, and the number of each record's value.

        Raises
        ------
        ValueError
            If a value is none that a record can have.
        """
        rows, cols, seconds = numbers["row"], numbers["col"], numbers["seconds"]
        inside = (rows >= 0) & (rows < 1 << _ROW_BITS) & (cols >= 0) & (cols < 1 << _COL_BITS)
        if not (inside.all() and np.isfinite(seconds).all() and all(map(is_period, texts["period"][0]))):
            raise ValueError("a key or a time that no chunk has")
        added = np.empty(len(rows), _ROW)
        added["key"] = _packed(self._coded("period", texts), rows, cols)  # type: ignore[arg-type]
        added["inputs"], added["seconds"] = numbers["inputs"], seconds
        added["status"] = np.array([DONE.index(text) for text in texts["status"][0]], np.int8)[texts["status"][1]]
        for name in ("started", "host", "scenes"):
            added[name] = self._coded(name, texts)
        new = np.array([place for place, key in enumerate(added["key"].tolist()) if self._is_new(key)], np.int64)
        self._parts.append(added[new])
        return new

    def finish(self) -> BriefRecords:
        """Return the records."""
        self._flush()
        rows, filled = np.empty(sum(map(len, self._parts)), _ROW), 0
        self._parts.reverse()
        while self._parts:  # each part is released when it is copied
            part = self._parts.pop()
            rows[filled : filled + len(part)] = part
            filled += len(part)
        labels = sorted(self._numbers["period"])
        rank = np.array([labels.index(label) for label in self._numbers["period"]], np.int64)
        bits = _ROW_BITS + _COL_BITS
        if len(rows):
            rows["key"] = (rank[rows["key"] >> bits] << bits) | (rows["key"] & ((1 << bits) - 1))
            order = np.argsort(rows["key"], kind="stable")
            for name in _ROW.names or ():  # field by field, because a sorted copy of a million rows takes 37 MB
                rows[name] = rows[name][order]
        texts = {name: tuple(self._numbers[name]) for name in ("started", "host", "scenes")}
        others = dict(sorted(self._others.items(), key=lambda entry: _order(entry[1])))
        return BriefRecords(rows, labels, texts, others)

    def _flush(self) -> None:
        if self._rows:
            self._parts.append(np.array(self._rows, _ROW))
            self._rows = []

    def _number(self, name: str, value: Any) -> int:
        numbers = self._numbers[name]
        return numbers.setdefault(value, len(numbers))

    def _coded(self, name: str, texts: Mapping[str, tuple[Sequence[Any], NDArray[np.int64]]]) -> NDArray[np.int64]:
        values, places = texts[name]
        if name == "scenes":
            values = [tuple(map(self._shared.one, some)) for some in values]
        return np.array([self._number(name, value) for value in values], np.int64)[places]

    def _is_new(self, packed: int) -> bool:
        """Note a record; return whether it is the first of its chunk."""
        row, bit = packed >> _COL_BITS, 1 << (packed & ((1 << _COL_BITS) - 1))
        before = self._seen.get(row, 0)
        if before & bit:
            return False
        self._seen[row] = before | bit
        return True


class _Shared:
    """Keep one object of equal strings and tuples, because records of one cube share scenes and hosts."""

    def __init__(self) -> None:
        self._seen: dict[Any, Any] = {}

    def one(self, value: _T) -> _T:
        """Return the first value that equals this one."""
        found: _T = self._seen.setdefault(value, value)
        return found

    def brief(self, record: ChunkRecord) -> ChunkRecord:
        """Return a record without statistics, seconds and bytes."""
        one = self.one
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
            scenes=one(tuple(map(one, record.scenes))),
            statistics=NO_VALUES,
            seconds=NO_VALUES,
            byte_counts=NO_VALUES,
            skipped=self._texts(record.skipped),
        )

    def _texts(self, texts: Mapping[str, str]) -> Mapping[str, str]:
        return {self.one(name): self.one(text) for name, text in texts.items()} if texts else NO_VALUES
