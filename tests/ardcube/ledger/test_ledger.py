"""The ledger: one small record per chunk, merged and compacted without loss."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from itertools import count
from pathlib import Path

import pandas
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardcube.errors import StoreError, TransientError
from ardcube.extent.window import Window
from ardcube.ledger import ledger as module
from ardcube.ledger.ledger import Ledger, stored_inputs
from ardcube.ledger.record import Attempt, ChunkRecord, Status
from ardcube.planning.jobs import ChunkJob, ChunkKey
from ardcube.storage.compare_and_swap import Version
from ardcube.storage.place import Place
from tests.servers.processes import S3
from tests.strategies import JANUARY, MANY


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.of_store(Place.at(str(tmp_path / "cube.zarr")))


def record(col: int, status: Status = "written", inputs: str = "a1", period: str = "2023-01") -> ChunkRecord:
    error = "TransientError: reset" if status == "failed" else None
    return ChunkRecord(
        ChunkKey(period, 0, col),
        status,
        inputs,
        (Attempt("2024-01-01T00:00:00+00:00", "here", 1.5, error),),
        scenes=("S2A", "S2B") if status == "written" else (),
        statistics={"days": 2, "mean_clear_days": 1.25},
        seconds={"bands": 0.5, "write": 0.25},
        byte_counts={"read": 1000, "written": 2000},
    )


def job(of: ChunkRecord, inputs: str | None = None) -> ChunkJob:
    return ChunkJob(of.key, 0, Window(0, 1, 0, 1), "items/a.parquet", inputs or of.inputs, 1, JANUARY)


def files(ledger: Ledger) -> list[str]:
    return sorted(ledger.place.list())


def merged(ledger: Ledger) -> list[str]:
    return [name for name in files(ledger) if "gathered" in name]


def brief(records: dict[ChunkKey, ChunkRecord]) -> dict[ChunkKey, ChunkRecord]:
    return {key: replace(one, statistics={}, seconds={}, byte_counts={}) for key, one in records.items()}


_text = st.text(max_size=20)
_seconds = st.floats(0, 1e6)


@MANY
@given(
    st.builds(
        ChunkRecord,
        key=st.builds(
            ChunkKey,
            period=st.dates(date(2015, 1, 1)).map(lambda day: f"{day:%Y-%m}"),
            row=st.integers(0, 20_000),
            col=st.integers(0, 20_000),
        ),
        status=st.sampled_from(["written", "empty", "failed"]),
        inputs=_text,
        attempts=st.lists(st.builds(Attempt, _text, _text, _seconds, st.none() | _text), max_size=3).map(tuple),
        scenes=st.lists(_text, max_size=3).map(tuple),
        statistics=st.dictionaries(_text, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
        seconds=st.dictionaries(_text, _seconds, max_size=3),
        byte_counts=st.dictionaries(_text, st.integers(0, 2**60), max_size=3),
    )
)
def test_a_record_is_read_unchanged(record: ChunkRecord) -> None:
    assert ChunkRecord.from_json(record.to_json()) == record


def test_each_chunk_has_one_record_which_is_replaced(ledger: Ledger) -> None:
    assert ledger.records() == {}
    assert ledger.read(record(0).key) is None
    ledger.write(record(0, "failed"))
    ledger.write(record(1))
    ledger.write(record(0))
    assert ledger.read(record(0).key) == record(0)
    assert list(ledger.records().values()) == [record(0), record(1)]
    assert files(ledger) == ["chunks/2023-01/y0000_x0000.json", "chunks/2023-01/y0000_x0001.json"]


@pytest.mark.parametrize(
    ("status", "inputs", "done"),
    [("written", "a1", True), ("empty", "a1", True), ("failed", "a1", False), ("written", "b2", False)],
)
def test_a_chunk_is_done_only_if_it_was_built_from_the_inputs_of_the_job(
    status: Status, inputs: str, done: bool
) -> None:
    assert record(0, status).is_done(job(record(0), inputs)) is done


def _edited(**fields: object) -> bytes:
    return json.dumps(json.loads(record(0).to_json()) | fields).encode()


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"null", b"[]", b"5", b'"x"', b"{}", b"\xff\xfe", b'{"key": {"period": "2023-01"}}'),
        *(_edited(key={"period": "2023-01", "row": "0", "col": 0}), _edited(key={"period": [], "row": 0, "col": 0})),
        *(_edited(status="perhaps"), _edited(status=["written"]), _edited(scenes=[{}]), _edited(scenes=None)),
        *(_edited(seconds=[]), _edited(seconds={"bands": "long"}), _edited(attempts=[{"started": 1}]), _edited(more=1)),
        json.dumps({}).encode("utf-16"),
    ],
)
def test_a_damaged_record_is_ignored_and_its_chunk_is_pending(
    ledger: Ledger, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.write(record(1))
    ledger.place.write(record(0).key.path, content)
    with caplog.at_level(logging.WARNING):
        assert ledger.read(record(0).key) is None
        assert ledger.records() == {record(1).key: record(1)}
        assert ledger.compact() == brief({record(1).key: record(1)})
        assert ledger.compact() == brief({record(1).key: record(1)})
    assert "not a chunk record" in caplog.text


def test_a_document_with_other_fields_is_not_a_record() -> None:
    with pytest.raises(StoreError, match="not a chunk record"):
        ChunkRecord.from_json(b'{"surprise": 1}')


def test_a_chunk_with_skipped_scenes_is_done_for_a_run_that_allows_as_many(ledger: Ledger) -> None:
    bad = replace(record(0), skipped={"S2C": "S2C/red.tif cannot be read: 404", "S2D": "it is empty"})
    for one in (bad, record(1)):
        ledger.write(one)
    assert ledger.read(bad.key) == bad
    assert [bad.is_done(job(bad), most) for most in (0, 1, 2, 3)] == [False, False, True, True]
    for _ in range(2):
        assert list(stored_inputs(ledger.records(), 1)) == [(bad.key, ""), (record(1).key, "a1")]
        assert list(stored_inputs(ledger.records(brief=True), 2)) == [(bad.key, "a1"), (record(1).key, "a1")]
        assert ledger.compact()[bad.key].skipped == bad.skipped


def test_a_failed_chunk_has_pixels_only_if_those_of_an_earlier_build_are_kept(ledger: Ledger) -> None:
    kept = replace(record(0, "failed"), kept=True)
    for one in (kept, record(1, "failed")):
        ledger.write(one)
    for _ in range(2):
        assert list(stored_inputs(ledger.records(brief=True))) == [(kept.key, "")]
        assert ledger.compact()[kept.key].kept


def test_records_without_skipped_scenes_have_the_form_of_earlier_versions() -> None:
    values = json.loads(record(0).to_json())
    assert "skipped" not in values
    assert ChunkRecord.from_json(json.dumps(values)).skipped == {}


# ---- compaction ----------------------------------------------------------------------------------


def test_compaction_changes_no_record_and_keeps_the_files_of_failed_chunks(ledger: Ledger) -> None:
    for one in (record(0), record(1, "empty"), record(2, "failed"), record(0, period="2023-02")):
        ledger.write(one)
    before = ledger.records()
    assert ledger.compact() == brief(before)
    assert ledger.records() == before
    assert list(before) == sorted(before, key=str)
    assert files(ledger) == ["chunks/2023-01/y0000_x0002.json", "ledger.parquet"]
    # The next attempt reads the earlier ones there.
    assert ledger.read(record(2).key) == record(2, "failed")
    assert ledger.compact() == brief(before)
    assert ledger.records() == before


def test_a_crash_between_writing_the_table_and_removing_files_loses_no_record(ledger: Ledger) -> None:
    records = [record(0), record(1, "empty"), record(2, "failed")]
    for one in records:
        ledger.write(one)
    contents = ledger.place.read_many(files(ledger))
    before = ledger.records()
    ledger.compact()
    for name, content in contents.items():
        ledger.place.write(name, content)
    assert ledger.records() == before
    assert ledger.compact() == brief(before)
    assert ledger.records() == before
    assert files(ledger) == ["chunks/2023-01/y0000_x0002.json", "ledger.parquet"]


def test_a_file_newer_than_the_table_replaces_its_record(ledger: Ledger) -> None:
    """A scene was published later, and the chunk was built again."""
    ledger.write(record(0, inputs="old"))
    ledger.write(record(1))
    ledger.compact()
    ledger.write(record(0, inputs="new"))
    assert ledger.records()[record(0).key].inputs == "new"
    assert ledger.compact()[record(0).key].inputs == "new"
    assert ledger.records() == {record(0).key: record(0, inputs="new"), record(1).key: record(1)}


def test_the_table_has_columns_for_queries(ledger: Ledger) -> None:
    ledger.write(record(0))
    ledger.write(record(3, "failed"))
    ledger.compact()
    content = ledger.place.read("ledger.parquet")
    assert content is not None
    frame = pandas.read_parquet(io.BytesIO(content)).set_index("key")
    assert frame.index.tolist() == ["2023-01_y0000_x0000", "2023-01_y0000_x0003"]
    assert frame["status"].tolist() == ["written", "failed"]
    assert frame["seconds"].tolist() == [0.75, 0.75]
    assert frame["scenes"].tolist() == [2, 0]
    assert frame["error"].iloc[1] == "TransientError: reset"


def test_a_table_that_pandas_wrote_is_read(ledger: Ledger) -> None:
    """Earlier versions wrote it with pandas."""
    ledger.write(record(0))
    ledger.compact()
    content = ledger.place.read("ledger.parquet")
    assert content is not None
    frame, written = pandas.read_parquet(io.BytesIO(content)), io.BytesIO()
    frame.astype({"record": "string"}).to_parquet(written, index=False)
    assert pyarrow.parquet.read_schema(written).field("record").type == pyarrow.large_string()
    ledger.place.write("ledger.parquet", written.getvalue())
    assert ledger.records() == {record(0).key: record(0)}


def test_compacting_an_empty_ledger_writes_no_file(ledger: Ledger) -> None:
    assert ledger.compact() == {}
    assert files(ledger) == []


def test_brief_records_lack_statistics_and_share_equal_values(ledger: Ledger) -> None:
    ledger.write(record(0))
    ledger.write(record(1))
    first, second = ledger.records(brief=True).values()
    assert [first, second] == list(brief(ledger.records()).values())
    assert first.scenes is second.scenes
    assert first.key.period is second.key.period


# ---- merging while a run continues ---------------------------------------------------------------


def test_merged_records_are_one_file_and_failed_chunks_keep_theirs(ledger: Ledger) -> None:
    records = [record(0), record(1, "empty"), record(2, "failed"), record(3)]
    for one in records:
        ledger.write(one)
    before = ledger.records()
    ledger.merge(records[:3])
    (name,) = merged(ledger)
    assert files(ledger) == ["chunks/2023-01/y0000_x0002.json", "chunks/2023-01/y0000_x0003.json", name]
    assert ledger.records() == before
    assert ledger.read(record(2).key) == record(2, "failed")
    assert ledger.compact() == brief(before)
    assert files(ledger) == ["chunks/2023-01/y0000_x0002.json", "ledger.parquet"]
    assert ledger.records() == before


def test_merging_without_a_finished_chunk_writes_no_file(ledger: Ledger) -> None:
    ledger.merge([])
    ledger.merge([record(0, "failed")])
    assert files(ledger) == []


def test_the_newest_of_table_merged_files_and_single_file_is_read(ledger: Ledger) -> None:
    for oldest, inputs in enumerate(("table", "first", "second", "single")):
        records = [record(col, inputs=inputs) for col in range(oldest, 4)]
        for one in records:
            ledger.write(one)
        if inputs == "table":
            ledger.compact()
        elif inputs != "single":
            ledger.merge(records)
    assert len(merged(ledger)) == 2
    newest = {one.key.col: one.inputs for one in ledger.records().values()}
    assert {one.key.col: one.inputs for one in ledger.each()} == newest
    assert newest == {0: "table", 1: "first", 2: "second", 3: "single"}
    assert {one.key.col: one.inputs for one in ledger.compact().values()} == newest
    assert {one.key.col: one.inputs for one in ledger.records().values()} == newest
    assert files(ledger) == ["ledger.parquet"]


@pytest.mark.parametrize("stage", ["merge", "compact"])
def test_a_kill_before_or_during_the_removal_of_files_loses_no_record(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    records = [record(col) for col in range(4)]
    for one in records:
        ledger.write(one)
    ledger.merge(records[:2])
    before = ledger.records()
    remove = Place.remove

    def killed(place: Place, names: Iterable[str]) -> None:
        remove(place, list(names)[:1])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Place, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            ledger.merge(records[2:]) if stage == "merge" else ledger.compact()
    assert ledger.records() == before
    assert ledger.compact() == brief(before)
    assert ledger.records() == before
    assert files(ledger) == ["ledger.parquet"]


def test_two_processes_that_merge_at_once_keep_each_others_records(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.write(record(0))
    ledger.write(record(1))
    write = Place.write

    def with_a_rival(place: Place, name: str, content: bytes) -> None:
        monkeypatch.setattr(Place, "write", write)
        Ledger(place).merge([record(1)])
        write(place, name, content)

    monkeypatch.setattr(Place, "write", with_a_rival)
    ledger.merge([record(0)])
    assert len(merged(ledger)) == 2
    assert set(ledger.records()) == {record(0).key, record(1).key}


def test_a_record_written_during_compaction_is_kept(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.write(record(0))
    write = Place.write

    def with_a_rival(place: Place, name: str, content: bytes) -> None:
        write(place, name, content)
        write(place, record(1).key.path, record(1).to_json())

    with monkeypatch.context() as patch:
        patch.setattr(Place, "write", with_a_rival)
        ledger.compact()
    assert ledger.records() == {record(0).key: record(0), record(1).key: record(1)}


@pytest.mark.parametrize("kind", ["disk", "S3"])
def test_of_two_processes_that_compact_at_once_the_second_includes_the_records_of_the_first(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place.at(str(tmp_path / "cube.zarr.ardcube"))
    if kind == "S3":
        s3: S3 = request.getfixturevalue("moto_s3")
        place = Place.at(s3.uri("cube.zarr.ardcube"), s3.storage_options)
    ledger = Ledger(place)
    ledger.write(record(0))
    swap = module.swap

    def with_a_rival(place: Place, name: str, old: Version, new: bytes) -> Version | None:
        monkeypatch.setattr(module, "swap", swap)
        ledger.write(record(1))
        Ledger(place).compact()
        return swap(place, name, old, new)

    monkeypatch.setattr(module, "swap", with_a_rival)
    assert set(ledger.compact()) == {record(1).key, record(0).key}
    assert ledger.records() == {record(0).key: record(0), record(1).key: record(1)}
    assert files(ledger) == ["ledger.parquet"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_record_that_is_moved_during_reading_is_found(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    for col in (0, 1):
        ledger.write(record(col))
    listed = Place.list

    def then_moved(place: Place, folder: str = "") -> list[str]:
        monkeypatch.setattr(Place, "list", listed)
        names = listed(place, folder)
        ledger.merge([record(0)])
        return names

    monkeypatch.setattr(Place, "list", then_moved)
    read = list(ledger.each()) if streamed else list(ledger.records().values())
    assert {one.key for one in read} == {record(0).key, record(1).key}
    assert len(read) == 2


def test_reading_records_that_move_during_every_attempt_is_a_transient_error(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.write(record(0))
    assert len(ledger.records()) == 1
    seen = count()
    monkeypatch.setattr(Ledger, "_moved", lambda _: next(seen))
    with pytest.raises(TransientError, match="is changed all the time; run again"):
        ledger.records()


def test_many_records_are_read_from_an_object_store(moto_s3: S3) -> None:
    ledger = Ledger.of_store(Place.at(moto_s3.uri("cube.zarr"), moto_s3.storage_options))
    records = [record(col) for col in range(30)]
    for one in records:
        ledger.write(one)
    assert list(ledger.read_each([one.key for one in records[:3]] + [record(99).key]).values()) == records[:3]
    ledger.merge(records[:20])
    assert len(files(ledger)) == 11
    assert list(ledger.records().values()) == records
    assert list(ledger.compact().values()) == list(brief({one.key: one for one in records}).values())
    assert files(ledger) == ["ledger.parquet"]


# ---- cube.json -----------------------------------------------------------------------------------


def test_the_description_of_a_cube_is_next_to_its_store(ledger: Ledger) -> None:
    assert ledger.read_cube() is None
    ledger.write_cube({"identity": {"varname": "a"}, "end": "2023-02", "offset": 0.0})
    assert ledger.read_cube() == {"identity": {"varname": "a"}, "end": "2023-02", "offset": 0.0}
    assert ledger.place.uri.endswith("cube.zarr.ardcube")


NO_OFFSET = b'{"identity": {"varname": "a"}, "end": "2023-02"}'


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b'{"identity": 3}', b"\xff", NO_OFFSET])
def test_a_damaged_description_is_an_error_and_not_a_missing_cube(ledger: Ledger, content: bytes) -> None:
    ledger.place.write("cube.json", content)
    with pytest.raises(StoreError, match=r"cube.json is damaged .*restore it"):
        ledger.read_cube()


# ---- attempts ---------------------------------------------------------------------------------------


def attempt(number: int, **scenes: str) -> Attempt:
    return Attempt(f"2024-01-01T00:00:{number % 60:02d}+00:00", "here", 1.0, f"SceneError: {number}", True, scenes)


def test_a_record_keeps_the_first_and_last_attempts_and_counts_the_others() -> None:
    failed = replace(record(0, "failed"), attempts=())
    after: ChunkRecord | None = None
    for number in range(500):
        after = failed.after(after, attempt(number))
        assert after.attempt_count == number + 1
    assert after is not None
    kept = [int(one.problem) for one in after.attempts]
    assert kept == [0, 1, 2, *range(479, 500)]
    assert after.omitted_attempts == 500 - len(kept)
    assert ChunkRecord.from_json(after.to_json()) == after
    assert len(after.to_json()) < 5_000


def test_a_table_shortens_the_attempts_of_earlier_versions(ledger: Ledger) -> None:
    long = replace(record(0), attempts=tuple(attempt(number) for number in range(1_000)))
    ledger.write(long)
    found = ledger.compact()[long.key]
    assert found.attempt_count == 1_000
    (text,) = pandas.read_parquet(io.BytesIO(ledger.place.read("ledger.parquet") or b""))["record"]
    assert len(json.loads(text)["attempts"]) == len(found.attempts) < 30
    assert Ledger.at(ledger.place.uri).records()[long.key].attempt_count == 1_000


def test_scenes_that_caused_an_error_are_recorded_and_read_again(ledger: Ledger) -> None:
    bad = replace(record(0, "failed"), attempts=(attempt(0, S2A_1="/a.tif: truncated"),))
    ledger.write(bad)
    assert ledger.records()[bad.key] == bad
    assert ledger.records(brief=True)[bad.key].attempts == bad.attempts
    assert (bad.attempts[0].kind, bad.attempts[0].problem) == ("SceneError", "0")


def test_fields_that_are_empty_are_left_out_for_earlier_versions() -> None:
    written = json.loads(record(0).to_json())
    assert not {"skipped", "omitted_attempts"} & written.keys()
    assert "bad_scenes" not in written["attempts"][0]


@pytest.mark.parametrize("change", [{"omitted_attempts": -1}, {"omitted_attempts": "3"}, {"omitted_attempts": True}])
def test_a_record_with_an_invalid_number_of_attempts_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(StoreError, match="attempts are omitted"):
        ChunkRecord.from_json(json.dumps(json.loads(record(0).to_json()) | change))


@pytest.mark.parametrize("scenes", [["S2A"], {"S2A": 1}, "S2A", None])
def test_a_record_with_invalid_scenes_is_refused(scenes: object) -> None:
    values = json.loads(record(0).to_json())
    values["attempts"][0]["bad_scenes"] = scenes
    with pytest.raises(StoreError, match="not a chunk record"):
        ChunkRecord.from_json(json.dumps(values))
