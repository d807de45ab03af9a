"""Brief records in arrays are those of the documents, the first of each chunk, in order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardcube.ledger.brief import BriefBuilder, is_plain
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.storage.place import Place
from tests.strategies import FEW

PLAIN = ChunkRecord(
    ChunkKey("2023-01", 3, 2),
    "written",
    "00ab0123456789ff",
    (Attempt("2024-01-01T00:00:00+00:00", "here", 1.5),),
    scenes=("S2A", "S2B"),
    statistics={"days": 2},
)
OTHERS = (
    replace(PLAIN, status="failed", attempts=(Attempt("2024-01-01T00:00:00+00:00", "here", 1.5, "OSError: reset"),)),
    replace(PLAIN, attempts=PLAIN.attempts * 2),
    replace(PLAIN, attempts=()),
    replace(PLAIN, skipped={"S2C": "damaged"}),
    replace(PLAIN, omitted_attempts=3),
    replace(PLAIN, inputs="00AB0123456789FF"),
    replace(PLAIN, inputs="x"),
)


def brief(record: ChunkRecord) -> ChunkRecord:
    return replace(record, statistics={}, seconds={}, byte_counts={})


def moved(record: ChunkRecord, row: int, col: int, period: str = "2023-01") -> ChunkRecord:
    return replace(record, key=ChunkKey(period, row, col))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.of_store(Place.at(str(tmp_path / "cube.zarr")))


def test_a_record_of_one_attempt_with_all_scenes_is_plain() -> None:
    assert is_plain(PLAIN)
    assert is_plain(replace(PLAIN, status="empty", scenes=()))
    assert not any(map(is_plain, OTHERS))


@FEW
@given(
    st.lists(
        st.builds(
            moved,
            st.sampled_from((PLAIN, replace(PLAIN, inputs="ffffffffffffffff", scenes=()), *OTHERS)),
            st.integers(0, 2) | st.sampled_from((2**28 - 1, 2**28)),
            st.integers(0, 2) | st.sampled_from((2**20 - 1, 2**20)),
            st.sampled_from(("2023-02", "2023-01")),
        )
    )
)
def test_the_first_record_of_each_chunk_is_found_in_order(records: list[ChunkRecord]) -> None:
    builder = BriefBuilder()
    first: dict[ChunkKey, ChunkRecord] = {}
    for record in records:
        assert builder.add(record) == (record.key not in first)
        first.setdefault(record.key, brief(record))
    found = builder.finish()
    assert found == first
    assert dict(found.items()) == first
    assert len(found) == len(first)
    ordered = sorted(first, key=lambda key: (key.period, key.row, key.col))
    assert list(found) == [record.key for record in found.values()] == ordered
    assert [found[key] for key in ordered] == list(found.values())
    for key in (ChunkKey("2023-03", 0, 0), ChunkKey("2023-01", 7, 0), ChunkKey("2023-01", -1, 2**20 + 1)):
        assert found.get(key) is None


def test_columns_of_a_table_are_the_records_of_its_documents(ledger: Ledger) -> None:
    records = [moved(one, row, 0) for row, one in enumerate((PLAIN, *OTHERS, replace(PLAIN, status="empty")))]
    for record in records:
        ledger.write(record)
    ledger.compact()
    newer = moved(replace(PLAIN, inputs="1111111111111111"), 0, 0)
    ledger.merge([newer, moved(OTHERS[1], 8, 0), moved(PLAIN, 0, 1, "2022-12")])
    before = ledger.records()
    assert before[newer.key] == newer
    expected = {key: brief(record) for key, record in before.items()}
    assert ledger.records(brief=True) == expected
    assert ledger.compact() == expected
    assert ledger.records() == before
    assert ledger.records(brief=True) == expected


def test_a_million_records_take_little_memory() -> None:
    builder, rows = BriefBuilder(), 1000
    one = np.zeros(1000, np.int64)
    texts = {
        "period": (["2023-01"], one), "status": (["written"], one), "started": (["now"], one),
        "host": (["here"], one), "scenes": ([("S2A",)], one),
    }  # fmt: skip
    for row in range(rows):
        numbers = {"row": one + row, "col": np.arange(1000), "inputs": one.astype(np.uint64), "seconds": one * 1.0}
        assert len(builder.add_plain(numbers, texts)) == 1000
        assert not row or not len(builder.add_plain({**numbers, "row": one + row - 1}, texts))
    found = builder.finish()
    assert len(found) == 1_000_000
    assert found._rows.nbytes < 40e6
    assert found[ChunkKey("2023-01", 999, 5)].key == ChunkKey("2023-01", 999, 5)


@pytest.mark.parametrize("wrong", [{"row": -1}, {"col": 2**20}, {"seconds": np.nan}])
def test_values_that_no_record_has_are_refused(wrong: dict[str, float]) -> None:
    one = np.zeros(1, np.int64)
    texts = {
        "period": (["2023-01"], one), "status": (["written"], one), "started": (["now"], one),
        "host": (["here"], one), "scenes": ([()], one),
    }  # fmt: skip
    numbers = {"row": one, "col": one, "inputs": one.astype(np.uint64), "seconds": one * 1.0}
    changed = {name: np.array([value]) for name, value in wrong.items()}
    with pytest.raises(ValueError, match="no chunk has"):
        BriefBuilder().add_plain(numbers | changed, texts)
    with pytest.raises(ValueError, match="no chunk has"):
        BriefBuilder().add_plain(numbers, texts | {"period": (["../../x"], one)})
