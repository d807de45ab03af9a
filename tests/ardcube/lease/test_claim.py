"""A claim to a cube: what its file says, whose process it is, and when it counts no more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardcube.errors import StoreError
from ardcube.lease.claim import SKEW_SECONDS, Claim
from tests.strategies import MANY

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells when a process started")


def claim(**changes: Any) -> Claim:
    """Of another machine, renewed at noon."""
    values = {
        "holder": "0a", "who": "anna@far", "pid": 7, "machine": "another boot", "born": "1", "run": "eager-otter",
        "run_id": "1b", "started": "2024-05-01T11:00:00+00:00", "renewed": NOW.isoformat(), "expires_seconds": 120.0,
    }  # fmt: skip
    return Claim(**{**values, **changes})


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_claim_comes_back_as_it_was_written() -> None:
    mine = Claim.of_this_process("a run", "an id", 120.0)
    assert Claim.from_json(mine.to_json()) == mine
    assert Claim.from_json(mine.release().to_json()).released


def test_each_claim_is_another_one_and_each_renewal_writes_something_else() -> None:
    mine = [Claim.of_this_process("run", "id", 120.0) for _ in range(5)]
    assert len({one.holder for one in mine}) == 5
    assert mine[0].renew().to_json() != mine[0].to_json()
    assert mine[0].renew().holder == mine[0].holder


def test_a_person_reads_who_where_which_run_and_since_when() -> None:
    assert claim().describe() == (
        "anna@far (process 7, flow run eager-otter) since 2024-05-01 11:00:00 UTC, last renewed 2024-05-01 12:00:00 UTC"
    )
    assert "\x1b" not in claim(who="\x1b[2Janna@far\n").describe()


@pytest.mark.parametrize(
    ("seconds", "presence", "verdict"),
    [
        (0, "unknown", "held"),
        (119, "unknown", "held"),
        (-200, "unknown", "held"),  # the holder's clock is ahead
        (121, "unknown", "unsure"),  # perhaps ours is
        (-SKEW_SECONDS - 1, "unknown", "unsure"),
        (120 + SKEW_SECONDS + 1, "unknown", "free"),
        (0, "gone", "free"),
        (0, "alive", "held"),
        (121, "alive", "unsure"),
        (1_000_000, "alive", "unsure"),  # it may just have woken
    ],
)
def test_a_claim_counts_until_it_is_surely_dead(seconds: float, presence: Any, verdict: str) -> None:
    assert claim().judge(after(seconds), presence) == verdict
    assert claim(released=True).judge(after(seconds), presence) == "free"


@MANY
@given(age=st.floats(0, 120), skew=st.floats(-SKEW_SECONDS, SKEW_SECONDS))
def test_no_clock_that_is_off_by_less_than_the_margin_makes_a_living_holder_dead(age: float, skew: float) -> None:
    assert claim().judge(after(age + skew), "unknown") != "free"


# ---- processes of this machine -------------------------------------------------------------------


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


@LINUX
def test_a_process_that_was_killed_is_gone_even_before_it_is_buried(process: subprocess.Popen[bytes]) -> None:
    from ardcube.lease.claim import _born

    mine = Claim.of_this_process("", "", 120.0)
    child = replace(mine, pid=process.pid, born=_born(process.pid) or "")
    assert child.presence() == "alive"
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but still in the table of processes
    assert child.presence() == "gone"
    process.wait()
    assert child.presence() == "gone"


@LINUX
def test_a_process_id_that_was_used_again_is_another_process() -> None:
    mine = Claim.of_this_process("", "", 120.0)
    assert mine.presence() == "alive"
    assert replace(mine, born="1").presence() == "gone"


@pytest.mark.parametrize("machine", ["", "another boot pid:[1]"])
def test_of_a_process_elsewhere_nothing_is_known(machine: str) -> None:
    mine = Claim.of_this_process("", "", 120.0)
    assert replace(mine, machine=machine, born="1").presence() == "unknown"


# ---- files that somebody edited ------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"holder": None}, {"who": 5}, {"pid": "7"}, {"pid": 0}, {"pid": -1}, {"pid": True}, {"pid": 2**40},
        {"expires_seconds": 0.0}, {"expires_seconds": -1.0}, {"expires_seconds": 1e300}, {"expires_seconds": "120"},
        {"expires_seconds": float("nan")}, {"renewed": "yesterday"}, {"renewed": "2024-05-01T12:00:00"},
        {"started": ""}, {"released": "no"}, {"surprise": 1}, {"renewed": "0001-01-01T00:00:00+14:00"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_claim_is_refused(changes: dict[str, Any]) -> None:
    values = {**json.loads(claim().to_json()), **changes}
    with pytest.raises(StoreError, match="not a lease"):
        Claim.from_json(json.dumps(values).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"5", b"{}", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(StoreError, match="not a lease"):
        Claim.from_json(content)


@MANY
@given(st.dictionaries(st.sampled_from(sorted(json.loads(claim().to_json()))), st.none() | st.text() | st.integers()))
def test_whatever_somebody_wrote_into_it_it_is_a_claim_or_refused(changes: dict[str, Any]) -> None:
    try:
        read = Claim.from_json(json.dumps({**json.loads(claim().to_json()), **changes}).encode())
    except StoreError:
        return
    assert read.describe().isprintable()
    assert read.judge(NOW, read.presence()) in ("free", "held", "unsure")
