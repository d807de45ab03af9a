"""Arrow columns: equal to those of pyarrow, without importing pandas."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ardcube.ledger.columns import column, numbers_of, take, time_of

NOON = datetime(2023, 6, 1, 12, 5, 39, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", None, "\u00e9", ""], pa.string()),
        ([b"a", None, b"\0x", b""], pa.binary()),
        ([1, None, -(2**63)], pa.int64()),
        ([2**64 - 1, None], pa.uint64()),
        ([0.1, None, float("inf")], pa.float64()),
        ([True, None, False] * 5, pa.bool_()),
        ([NOON, None], pa.timestamp("us", tz="UTC")),
        ([(1, 2), (), None, [3]], pa.list_(pa.int64())),
        ([None, None], pa.string()),
        ([], pa.list_(pa.int64())),
    ],
)
def test_columns_equal_those_of_pyarrow(values: list[Any], kind: pa.DataType) -> None:
    made = column(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, kind))


@pytest.mark.parametrize(("values", "kind"), [([2**63], pa.int64()), ([-1], pa.uint64())])
def test_a_number_that_does_not_fit_is_refused(values: list[int], kind: pa.DataType) -> None:
    with pytest.raises(OverflowError):
        column(values, kind)


def test_numbers_are_read_from_parts_of_a_column() -> None:
    parts = pa.chunked_array([column([1, 2, 3], pa.int64()).slice(1), column([4], pa.int64())])
    assert numbers_of(parts, np.int64).tolist() == [2, 3, 4]
    assert numbers_of(take(parts, np.array([2, 0])), np.int64).tolist() == [4, 2]


def test_a_null_is_no_number() -> None:
    with pytest.raises(ValueError, match="1 numbers are null"):
        numbers_of(column([1, None], pa.int64()), np.int64)


def test_a_time_is_read_unchanged() -> None:
    (stamp,) = column([NOON], pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
    assert time_of(stamp) == NOON


def test_scenes_and_records_are_written_and_read_without_pandas() -> None:
    """It would take 45 MB and half a second of each flow and each worker."""
    program = """
import sys
from datetime import UTC, date, datetime
import shapely
from ardcube.catalog.scene import Scene
from ardcube.extent.periods import Period
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.manifest import read_manifest, write_manifest
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.storage.place import Place

place = Place.at("memory://without-pandas")
scene = Scene(
    id="a", datetime=datetime(2023, 8, 2, tzinfo=UTC), footprint=shapely.box(0, 0, 1, 1), solar_hours=0,
    acquisition="", baseline=(5,), generated="", revision="r", bands={},
)
name = write_manifest(place, Period(0, date(2023, 8, 1), date(2023, 9, 1)), [scene])
assert list(read_manifest(place.uri, name).scenes) == [scene]
ledger, attempt = Ledger(place), Attempt("2023-01-01T00:00:00+00:00", "host", 1.0)
records = [
    ChunkRecord(ChunkKey("2023-08", 0, col), status, "0123456789abcdef", (attempt,))
    for col, status in enumerate(["written", "empty", "failed"])
]
for record in records:
    ledger.write(record)
ledger.merge(records)
assert len(ledger.compact()) == 3
assert len(ledger.records(brief=True)) == 3
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
