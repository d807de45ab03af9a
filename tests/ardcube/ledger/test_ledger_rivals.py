"""Two processes with several threads write, merge, compact and read one ledger at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.planning.jobs import ChunkKey
from tests.servers.processes import ROOT, S3, environment

RIVAL = """
import json, logging, sys, threading
import ardcube.ledger.ledger
from ardcube.ledger.ledger import Ledger
from tests.ardcube.ledger.test_ledger_rivals import record_of

uri, options, rival, threads, each = sys.argv[1], json.loads(sys.argv[2]), *map(int, sys.argv[3:])
written, problems = set(), []
ardcube.ledger.ledger._READ_ATTEMPTS = 1000  # here records move without a pause

class Listener(logging.Handler):
    def emit(self, line):
        problems.append(line.getMessage())  # a record that cannot be read is ignored with a warning

logging.getLogger("ardcube").addHandler(Listener())

def write(thread):
    ledger, mine = Ledger.at(uri, options), []
    for number in range(each):
        record = record_of(rival, thread, number)
        ledger.write(record)
        mine.append(record)
        written.add(record.key)
        if len(mine) == 4:
            ledger.merge(mine)
            mine = []

def compact():
    ledger = Ledger.at(uri, options)
    while writers_live():
        ledger.compact()

def read():
    ledger = Ledger.at(uri, options)
    while writers_live():
        before = set(written)
        missing = before - set(ledger.records(brief=True))
        if missing:
            problems.append(f"not found: {sorted(map(str, missing))}")

def guarded(work, *args):
    try:
        work(*args)
    except BaseException as error:
        problems.append(f"{work.__name__}: {type(error).__name__}: {error}")

def writers_live():
    return any(writer.is_alive() for writer in writers)

writers = [threading.Thread(target=guarded, args=(write, number)) for number in range(threads)]
others = [threading.Thread(target=guarded, args=(work,)) for work in (compact, read)]
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
for thread in (*writers, *others):
    thread.start()
for thread in (*writers, *others):
    thread.join()
sys.stdout.write(json.dumps(problems) + "\\n")
"""


def record_of(rival: int, thread: int, number: int) -> ChunkRecord:
    """Return the record of a chunk that only this thread writes, of varying length."""
    key = ChunkKey(f"2023-{1 + thread:02d}", rival, number)
    attempts = tuple(Attempt("2023-01-01T00:00:00+00:00", "host", 0.5) for _ in range(1 + number % 7))
    return ChunkRecord(key, "written", f"{rival}-{thread}-{number}", attempts, ("scene",) * (number % 50))


@pytest.mark.parametrize(
    ("kind", "threads", "each"), [("disk", 2, 24), pytest.param("S3", 2, 12, marks=pytest.mark.deep)]
)
def test_every_record_is_complete_and_found_at_every_moment(
    kind: str, threads: int, each: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    uri, options = str(tmp_path / "cube.zarr.ardcube"), {}
    if kind == "S3":
        s3: S3 = request.getfixturevalue("moto_s3")
        uri, options = s3.uri("cube.zarr.ardcube"), s3.storage_options
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", RIVAL, uri, json.dumps(options), str(rival), str(threads), str(each)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT,
        )
        for rival in range(2)
    ]  # fmt: skip
    for rival in rivals:
        assert rival.stdout is not None
        assert rival.stdout.readline() == "ready\n"
    problems = []
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("\n")
        rival.stdin.flush()
    for rival in rivals:
        output, _ = rival.communicate(timeout=120)
        assert rival.returncode == 0
        problems += json.loads(output)
    assert problems == []
    expected = {
        record.key: record
        for rival in range(2)
        for thread in range(threads)
        for number in range(each)
        for record in [record_of(rival, thread, number)]
    }
    ledger = Ledger.at(uri, options)
    assert ledger.records() == expected
    ledger.compact()
    assert ledger.records() == expected
    assert ledger.place.list() == ["ledger.parquet"]
