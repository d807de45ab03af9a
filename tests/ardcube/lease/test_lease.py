"""One run at a time per cube: acquired, refused, renewed, taken over, broken and released by real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ardcube.errors import InputError
from ardcube.lease import fence
from ardcube.lease.acquire import LeaseHeldError, holding
from ardcube.lease.claim import Claim
from ardcube.lease.fence import NAME, LeaseLostError
from ardcube.lease.lease import release
from ardcube.storage.place import Place
from tests.leases import current_claim
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.processes import ROOT, S3, environment
from tests.wait_for import until

HOLDER = """
import json, sys, threading
from ardcube.lease.acquire import LeaseHeldError, holding
from ardcube.lease.fence import LeaseLostError
from ardcube.storage.place import Place

def report(*words):
    sys.stdout.write(" ".join(words) + "\\n")
    sys.stdout.flush()

def hold():
    try:
        with holding(Place.at(uri, options), run="eager-otter", run_id="id-of-the-run"):
            report("held")
            over.wait()
    except LeaseHeldError as error:
        report("refused", str(error))
    except LeaseLostError as error:
        report("lost", str(error))
    except Exception as error:
        report("failed", repr(error))

uri, options, threads = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
over = threading.Event()
report("ready")
sys.stdin.readline()
rivals = [threading.Thread(target=hold) for _ in range(threads)]
for rival in rivals:
    rival.start()
sys.stdin.readline()
over.set()
"""
"""Holds a lease, or tries to, between two lines of input."""


@pytest.fixture(autouse=True)
def _no_wait_for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that takes a lease over does not wait, and each check reads the lease."""
    monkeypatch.setattr("ardcube.lease.acquire.FRESH_SECONDS", 0.0)
    monkeypatch.setattr(fence, "FRESH_SECONDS", 0.0)


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process whose threads acquire a lease after a line of input."""
    with ExitStack() as stack:

        def begin(uri: str, options: Mapping[str, Any] | None = None, threads: int = 1) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", HOLDER, uri, json.dumps(dict(options or {})), str(threads)]
            process = stack.enter_context(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT
                )
            )
            stack.callback(process.kill)
            return process

        yield begin


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def proceed(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture(params=["disk", "S3", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "disk":
        return Place.at(str(tmp_path / "cube.zarr.ardcube"))
    return request.getfixturevalue("on_s3" if request.param == "S3" else "in_memory")


@pytest.fixture
def on_disk(tmp_path: Path) -> Place:
    return Place.at(str(tmp_path / "cube.zarr.ardcube"))


@pytest.fixture
def on_s3(moto_s3: S3) -> Place:
    return Place.at(moto_s3.uri("cube.zarr.ardcube"), moto_s3.storage_options)


@pytest.fixture
def in_memory() -> Place:
    return Place.at(f"memory://{uuid.uuid4().hex}/cube.zarr.ardcube")


def write_claim(ledger: Place, *, renewed_ago: float, **changes: Any) -> Claim:
    """Write the lease of a run on another machine."""
    then = datetime.now(UTC) - timedelta(seconds=renewed_ago)
    claim = Claim(run="eager-otter", run_id="id-of-the-run", expires_seconds=120.0, who="anna@far")
    claim = replace(claim, started=then, renewed=then, **changes)
    ledger.write(NAME, claim.to_json())
    return claim


# ---- held ----------------------------------------------------------------------------------------


def test_a_second_run_is_refused_in_one_line_that_names_the_holder(ledger: Place) -> None:
    with holding(ledger, run="eager-otter") as first, pytest.raises(LeaseHeldError) as caught, holding(ledger):
        raise AssertionError
    line = str(caught.value)
    assert line.startswith(f"another run writes this cube: {first.claim.who}")
    assert f"(process {first.claim.pid}, flow run eager-otter) since 20" in line
    assert f" holds {ledger.uri}/lease.json; wait until it ends, or add --break-lease if" in line
    assert "\n" not in line
    assert isinstance(caught.value, InputError), "exit code 2"


def test_after_a_run_has_ended_the_next_one_begins(ledger: Place) -> None:
    for _ in range(2):
        with holding(ledger) as lease:
            assert current_claim(ledger) is not None
            lease.check()
        assert current_claim(ledger) is None


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_lease_is_released_however_its_run_ends(ledger: Place, ending: type[BaseException]) -> None:
    with pytest.raises(ending), holding(ledger):
        raise ending
    assert current_claim(ledger) is None


def test_a_run_that_wrote_nothing_leaves_no_file_on_a_disk_or_in_the_temporary_folder(
    on_disk: Place, on_s3: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with holding(on_disk), holding(on_s3):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["disk", "S3"])
def test_of_32_rivals_in_two_processes_one_wins_and_the_others_name_it(
    start: Start, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    uri, options = str(tmp_path / "cube.zarr.ardcube"), None
    if kind == "S3":
        s3: S3 = request.getfixturevalue("moto_s3")
        uri, options = s3.uri("cube.zarr.ardcube"), s3.storage_options
    rivals = [start(uri, options, threads=16) for _ in range(2)]
    assert [line_of(rival) for rival in rivals] == ["ready"] * 2
    for rival in rivals:
        proceed(rival)
    lines = [(rival.pid, line_of(rival)) for rival in rivals for _ in range(16)]
    (winner,) = [pid for pid, line in lines if line == "held"]
    refused = [line for _, line in lines if line != "held"]
    if kind == "S3":  # moto checks a condition and writes in two steps, so that two rivals may pass, and one loses
        refused = [line for line in refused if not line.startswith("lost ")]
        assert len(refused) >= 30
    else:
        assert len(refused) == 31
    assert all(f"(process {winner}, flow run eager-otter)" in line for line in refused)
    for rival in rivals:
        proceed(rival)
        assert rival.wait(20) == 0
    assert current_claim(Place.at(uri, options)) is None


# ---- renewed on object stores --------------------------------------------------------------------


def test_a_lease_is_renewed_while_its_run_lives(on_s3: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with holding(on_s3, expires_seconds=2.0) as lease:
        end = lease.claim.renewed + timedelta(seconds=2.5)
        until(lambda: (now := current_claim(on_s3)) and now.renewed > end, "it outlives its first term")
        lease.check()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # another machine does not see the run's process
        with pytest.raises(LeaseHeldError), holding(on_s3):
            raise AssertionError


def test_a_store_that_fails_for_a_while_does_not_cost_the_lease(moto_s3: S3) -> None:
    lines: list[str] = []
    with FaultyProxy(moto_s3.endpoint_url) as proxy:
        options = {**moto_s3.storage_options, "endpoint_url": proxy.endpoint_url}
        ledger = Place.at(moto_s3.uri("cube.zarr.ardcube"), options)
        with holding(ledger, expires_seconds=2.0, warn=lines.append) as lease:
            proxy.fail("status", times=None, status=500, code="InternalError")
            until(lambda: lines, "a renewal fails")
            proxy.heal()
            before = current_claim(ledger)
            until(lambda: current_claim(ledger) != before, "a renewal succeeds")
            lease.check()
    assert "could not be renewed" in lines[0]
    assert "it is tried again" in lines[0]


def test_a_run_stops_if_its_lease_cannot_be_read_for_longer_than_it_lasts(
    on_disk: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [0.0]
    monkeypatch.setattr(fence, "clock", lambda: passed[0])
    with holding(on_disk) as lease:
        ledger, backup = tmp_path / "cube.zarr.ardcube", tmp_path / "backup"
        ledger.rename(backup)
        ledger.write_text("a file where the folder was")
        passed[0] += 100
        lease.check()
        passed[0] += 30
        with pytest.raises(LeaseLostError, match=r"could not be read for 120 s .* another run may hold it; run again"):
            lease.check()
        ledger.unlink()
        backup.rename(ledger)
        lease.check()


# ---- taken over ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["disk", "S3"])
def test_a_killed_run_is_followed_at_once_on_its_machine(
    start: Start, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    ledger: Place = request.getfixturevalue("on_disk" if kind == "disk" else "on_s3")
    process = start(ledger.uri, ledger.fs.storage_options)
    assert line_of(process) == "ready"
    proceed(process)
    assert line_of(process) == "held"
    with pytest.raises(LeaseHeldError, match=f"process {process.pid}"), holding(ledger):
        raise AssertionError
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    lines: list[str] = []
    began = time.monotonic()
    with holding(ledger, warn=lines.append) as lease:
        assert time.monotonic() - began < 10
        lease.check()
    assert len(lines) == 1
    assert "took over the lease of" in lines[0]
    assert f"(process {process.pid}, flow run eager-otter)" in lines[0]


def test_a_paused_run_keeps_its_lease_until_it_is_broken(start: Start, on_disk: Place) -> None:
    process = start(on_disk.uri)
    assert line_of(process) == "ready"
    proceed(process)
    assert line_of(process) == "held"
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(LeaseHeldError, match=f"process {process.pid}.* known to be dead or paused"), holding(on_disk):
        raise AssertionError
    with holding(on_disk, break_lease=True) as lease:
        process.send_signal(signal.SIGCONT)
        proceed(process)
        assert process.wait(20) == 0
        lease.check()
        with pytest.raises(LeaseHeldError), holding(on_disk):
            raise AssertionError


ELSEWHERE = pytest.mark.parametrize("kind", ["on_s3", "in_memory"])


@ELSEWHERE
def test_a_run_of_another_machine_is_followed_after_the_time_of_one_lease(
    kind: str, request: pytest.FixtureRequest
) -> None:
    ledger: Place = request.getfixturevalue(kind)
    write_claim(ledger, renewed_ago=60, expires_seconds=1.0)
    lines: list[str] = []
    began = time.monotonic()
    with holding(ledger, warn=lines.append) as lease:
        assert time.monotonic() - began >= 1.0
        lease.check()
    assert [line.split(" the lease of anna@far")[0] for line in lines] == ["waiting 1 s for a renewal of", "took over"]


def test_a_lease_that_expired_long_ago_is_taken_over_at_once(on_s3: Place) -> None:
    write_claim(on_s3, renewed_ago=3600)
    lines: list[str] = []
    with holding(on_s3, warn=lines.append):
        pass
    assert [line.split(" the lease of anna@far")[0] for line in lines] == ["took over"]


def test_a_lease_of_another_machine_that_was_renewed_lately_is_respected(on_s3: Place) -> None:
    write_claim(on_s3, renewed_ago=60)
    with pytest.raises(LeaseHeldError, match="anna@far"), holding(on_s3):
        raise AssertionError


@pytest.mark.parametrize("renewed_ago", [60, -1000], ids=["clock behind", "clock ahead"])
def test_a_run_whose_clock_is_wrong_is_recognized_by_a_renewal(in_memory: Place, renewed_ago: float) -> None:
    claim = write_claim(in_memory, renewed_ago=renewed_ago, expires_seconds=5.0)
    lines: list[str] = []

    def renew(line: str) -> None:
        lines.append(line)
        in_memory.write(NAME, replace(claim, renewed=claim.renewed + timedelta(seconds=1)).to_json())

    with pytest.raises(LeaseHeldError, match="anna@far"), holding(in_memory, warn=renew):
        raise AssertionError
    assert len(lines) == 1


# ---- broken --------------------------------------------------------------------------------------


def test_a_run_that_breaks_a_lease_holds_it_and_the_run_before_stops(ledger: Place) -> None:
    lines: list[str] = []
    with ExitStack() as ends_last:
        first = ends_last.enter_context(holding(ledger))
        with holding(ledger, run="second", break_lease=True, warn=lines.append) as second:
            with pytest.raises(LeaseLostError, match=r"has lost the lease .*flow run second.* nothing more is written"):
                first.check()
            second.check()
        assert [line.split(" of ")[0] for line in lines] == ["broke the lease"]
        with holding(ledger) as third:
            ends_last.close()
            third.check()  # the end of the first run takes nothing from the third
            with pytest.raises(LeaseHeldError), holding(ledger):
                raise AssertionError


def test_a_run_stops_when_its_lease_was_released_because_another_may_have_changed_the_cube(ledger: Place) -> None:
    with holding(ledger) as first:
        assert release(ledger, first.claim.holder)
        with pytest.raises(LeaseLostError, match="it was released"):
            first.check()
    assert current_claim(ledger) is None


def test_removing_the_file_by_hand_breaks_a_lease(on_disk: Place) -> None:
    with holding(on_disk) as first:
        on_disk.remove([NAME])
        with holding(on_disk) as second:
            with pytest.raises(LeaseLostError, match="holds it"):
                first.check()
            second.check()


def test_a_damaged_lease_is_refused_and_can_be_broken(ledger: Place) -> None:
    ledger.write(NAME, b'{"holder": ')
    with pytest.raises(InputError, match=r"lease\.json is damaged; add --break-lease if no other run"), holding(ledger):
        raise AssertionError
    assert not release(ledger, "anybody")
    with holding(ledger, break_lease=True) as lease:
        lease.check()


# ---- released by other processes -----------------------------------------------------------------


def test_the_lease_of_a_dead_run_is_released_by_the_id_of_its_claim_or_flow_run(ledger: Place) -> None:
    claim = write_claim(ledger, renewed_ago=1)
    assert not release(ledger, "another run")
    assert not release(ledger, "")
    assert current_claim(ledger) == claim
    assert release(ledger, "id-of-the-run")
    assert current_claim(ledger) is None
    assert not release(ledger, "id-of-the-run")
    claim = write_claim(ledger, renewed_ago=1)
    assert release(ledger, claim.holder)


# ---- stores without conditions -------------------------------------------------------------------


def test_a_store_that_ignores_conditions_is_reported_and_later_runs_are_refused(moto_s3: S3) -> None:
    with FaultyProxy(moto_s3.endpoint_url) as proxy:
        proxy.drops_conditions = True
        options = {**moto_s3.storage_options, "endpoint_url": proxy.endpoint_url}
        ledger = Place.at(moto_s3.uri("cube.zarr.ardcube"), options)
        lines: list[str] = []
        with holding(ledger, warn=lines.append), pytest.raises(LeaseHeldError), holding(ledger):
            raise AssertionError
    (line,) = lines
    assert line.startswith(f"{ledger.uri}: it ignores the condition of a PUT; do not start two runs at the same time")
