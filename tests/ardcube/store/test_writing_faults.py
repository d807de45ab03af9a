"""Faults during writing, injected at a counted request or on a disk.

Promises: a reader sees the fill value or the whole chunk. Pixels are written before their record. After transient
errors the cube equals that of a build without faults. A permanent error stops the run with one line that says what to
do, and a further run continues from there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from ardcube.chunk.batch import process_batch
from ardcube.config import CubeConfig, RunConfig
from ardcube.errors import TransientError, UnwritableError
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import DONE, ChunkRecord
from ardcube.pixels.masks import DefaultCloudMaskHook
from ardcube.planning.jobs import ChunkKey
from ardcube.planning.plan import CubePlan
from ardcube.prepare.check import check_request
from ardcube.prepare.initialize import initialize
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.storage.place import Place
from tests.flows.jobs import Pixels, pixels, sample_cube
from tests.servers.faulty_proxy import FaultyProxy, Kind
from tests.servers.processes import ROOT, S3, environment
from tests.servers.radosgw import Radosgw, missing, radosgw
from tests.wait_for import until

CUBE: dict[str, Any] = {"end_date": "2023-05-31", "bands": ("red",), "cloud_mask": "none"}
CHUNKS = 8
SILENCE = 0.5
"""Seconds without an answer after which a request is repeated; a call then takes four at most."""
TRIES = 3
"""Attempts of botocore at one request."""
ATTEMPTS = 3
"""Attempts at a chunk."""
PIXELS, RECORDS = "*/rgb_median/c/*", "*/chunks/*.json"


def prepare(cube: CubeConfig, uri: str, options: Mapping[str, Any] | None = None) -> CubePlan:
    """Plan a cube and create its store."""
    run = RunConfig(fsspec_uri=uri).model_copy(update={"storage_options": dict(options or {})})
    request = check_request(cube, run, DefaultCloudMaskHook())
    plan = make_plan(request, search_scenes(request))
    initialize(request, plan)
    return plan


def build(plan: CubePlan) -> list[ChunkRecord]:
    """Build as a task run does: a batch is repeated after a transient error."""
    for attempt in range(ATTEMPTS):
        try:
            return process_batch(plan.spec, list(plan.jobs), again=attempt > 0)
        except TransientError:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError


def records_of(plan: CubePlan) -> dict[ChunkKey, ChunkRecord]:
    return Ledger.at(plan.spec.ledger_uri, plan.spec.storage_options).records()


@pytest.fixture(scope="module")
def undisturbed(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    uri = str(tmp_path_factory.mktemp("undisturbed") / "cube.zarr")
    build(prepare(sample_cube(sample_archive, **CUBE), uri))
    return pixels(uri)


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radosgw]:
    """Start a real S3 store for the tests marked `deep`."""
    if reason := missing():
        pytest.skip(reason)
    with radosgw(tmp_path_factory.mktemp("radosgw")) as store:
        yield store


@dataclass(frozen=True, slots=True)
class Stage:
    """An initialized cube on an S3 store, to be built through a proxy."""

    proxy: FaultyProxy
    plan: CubePlan
    s3: S3

    @property
    def uri(self) -> str:
        return self.plan.spec.store_uri

    def pixels(self) -> Pixels:
        """Read the cube without the proxy."""
        return pixels(self.uri, self.s3.storage_options)

    @contextmanager
    def watched(self, expected: Pixels) -> Iterator[None]:
        """Read the cube continuously, and check that each chunk is fill or complete."""
        over, seen, wrong = threading.Event(), [0], []
        group = zarr.open_group(self.uri, mode="r", storage_options=self.s3.storage_options)

        def look() -> None:
            turns = cycle(
                (group[name], whole, job)
                for name, whole in (("rgb_median", expected.values), ("observation_count", expected.count))
                for job in self.plan.jobs
            )
            while not over.wait(0.02):  # leaves CPU time to the build
                array, whole, job = next(turns)
                rows, cols = job.window.slices
                part = np.asarray(array[0, rows, cols])
                if part.any() and not np.array_equal(part, whole[0, rows, cols]):
                    wrong.append(f"{array.name} {job.key}")
                seen[0] += 1

        reader = threading.Thread(target=look)
        reader.start()
        try:
            yield
        finally:
            over.set()
            reader.join()
        assert wrong == []
        assert seen[0] > 0


@contextmanager
def stage_on(s3: S3, archive: Path, silence: float = SILENCE) -> Iterator[Stage]:
    with FaultyProxy(s3.endpoint_url) as proxy:
        options = {
            **s3.storage_options,
            "endpoint_url": proxy.endpoint_url,
            "config_kwargs": {"read_timeout": silence, "retries": {"max_attempts": TRIES - 1}},
        }
        yield Stage(proxy, prepare(sample_cube(archive, **CUBE), s3.uri("cube.zarr"), options), s3)


@pytest.fixture(params=["moto", pytest.param("radosgw", marks=pytest.mark.deep)])
def s3(request: pytest.FixtureRequest) -> S3:
    store: S3 = (
        request.getfixturevalue("moto_s3") if request.param == "moto" else request.getfixturevalue("ceph").bucket()
    )
    return store


@pytest.fixture
def stage(s3: S3, sample_archive: Path) -> Iterator[Stage]:
    with stage_on(s3, sample_archive) as stage:
        yield stage


@pytest.fixture
def patient(s3: S3, sample_archive: Path) -> Iterator[Stage]:
    """A stage for tests that count requests: no request is repeated because the store is slow."""
    with stage_on(s3, sample_archive, silence=60.0) as stage:
        yield stage


# ---- transient errors ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the first writes of one object of a chunk."""

    kind: Kind
    path: str
    times: int
    attempts: int
    """Attempts at the chunk, from its record."""
    code: str = ""


TRANSIENT = (
    Fault("status", "*/rgb_median/c/0/0/0/0", 2, 1, "SlowDown"),  # botocore repeats the request
    Fault("reset", "*/observation_count/c/0/0/1", 2, 1),
    Fault("lost", "*/rgb_median/c/0/0/2/0", 2, 1),  # applied, and the answer is lost
    Fault("mute", "*/observation_count/c/0/0/3", 1, 1),  # applied, and not answered
    Fault("hang", "*/rgb_median/c/0/1/0/0", 1, 2),  # s3fs has no time limit; ardcube has one
    Fault("lost", "*/chunks/2023-05/y0001_x0001.json", 2, 1),
    Fault("status", "*/chunks/2023-05/y0001_x0002.json", 1, 1, "InternalError"),
    Fault("hang", "*/chunks/2023-05/y0001_x0003.json", 1, 1),  # the first attempt could not be recorded
)


def test_transient_errors_of_a_store_leave_no_trace_in_the_cube(stage: Stage, undisturbed: Pixels) -> None:
    strikes = [
        (fault, stage.proxy.fail(fault.kind, path=fault.path, times=fault.times, code=fault.code))
        for fault in TRANSIENT
    ]
    with stage.watched(undisturbed):
        built = build(stage.plan)
    assert [strike.fired for _, strike in strikes] == [fault.times for fault in TRANSIENT]
    assert [len(record.attempts) for record in built] == [fault.attempts for fault in TRANSIENT]
    assert {record.status for record in built} == {"written"}
    assert records_of(stage.plan) == {record.key: record for record in built}
    assert stage.pixels() == undisturbed
    for fault in TRANSIENT:
        again = fault.times if fault.path != "*/chunks/2023-05/y0001_x0003.json" else 1
        assert len(stage.proxy.requests("PUT", fault.path)) >= 1 + again


def test_a_chunk_has_no_record_before_all_its_pixels_are_written_and_other_chunks_are_built(
    patient: Stage, undisturbed: Pixels
) -> None:
    broken = "*/observation_count/c/0/0/1"
    strike = patient.proxy.fail("status", path=broken, times=None, status=500, code="InternalError")
    with (
        patient.watched(undisturbed),
        pytest.raises(
            TransientError,
            match=r"y0000_x0001: .* temporary storage error \(OSError: .*InternalError from the proxy\)",
        ),
    ):
        build(patient.plan)
    assert strike.fired == ATTEMPTS * TRIES
    records = records_of(patient.plan)
    assert [len(record.attempts) for record in records.values() if record.status not in DONE] == [ATTEMPTS]
    assert [record.status for record in records.values()].count("written") == CHUNKS - 1
    patient.proxy.heal()
    before = len(patient.proxy.requests("PUT", PIXELS))
    build(patient.plan)
    assert len(patient.proxy.requests("PUT", PIXELS)) == before + 1, "only the missing object"
    assert patient.pixels() == undisturbed


# ---- permanent errors ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("ExpiredToken", 400, "does not accept the credentials .* renew the credentials and run again"),
        ("InvalidAccessKeyId", 403, "does not accept the credentials .* renew the credentials and run again"),
        ("QuotaExceeded", 403, "has no space left .* free space, or raise the quota, and run again"),
        ("AccessDenied", 403, "refuses access .* allow this run to read and write there and run again"),
    ],
)
def test_a_permanent_error_of_a_store_is_one_line_that_says_what_to_do(
    moto_s3: S3, code: str, status: int, says: str
) -> None:
    with FaultyProxy(moto_s3.endpoint_url) as proxy:
        options = {**moto_s3.storage_options, "endpoint_url": proxy.endpoint_url}
        ledger = Ledger.at(moto_s3.uri("cube.zarr.ardcube"), options)
        strike = proxy.fail("status", times=None, status=status, code=code)
        with pytest.raises(UnwritableError, match=f"{ledger.place.uri} {says}: finished chunks are kept") as caught:
            ledger.write(ChunkRecord(ChunkKey("2023-05", 0, 0), "empty", "", ()))
        assert code in str(caught.value)
        assert "\n" not in str(caught.value)
        assert strike.fired == 1, "the request is not repeated"


def test_a_store_that_refuses_writes_stops_the_run_at_once_and_a_further_run_continues(
    patient: Stage, undisturbed: Pixels
) -> None:
    patient.proxy.fail("status", path=PIXELS, skip=3, times=None, status=403, code="QuotaExceeded")
    patient.proxy.fail("status", path=RECORDS, skip=3, times=None, status=403, code="QuotaExceeded")
    with pytest.raises(UnwritableError, match=r"has no space left .QuotaExceeded;"):
        build(patient.plan)
    assert len(patient.proxy.requests("PUT", PIXELS)) == 4, "no further chunk is built"
    patient.proxy.heal()
    assert [record.status for record in records_of(patient.plan).values()] == ["written"] * 3
    build(patient.plan)
    assert len(patient.proxy.requests("PUT", PIXELS)) == 4 + CHUNKS - 3
    assert patient.pixels() == undisturbed


# ---- a disk --------------------------------------------------------------------------------------

ON_A_DISK = """
import json, os, resource, signal, subprocess, sys
from pathlib import Path
from tests.ardcube.store.test_writing_faults import build, prepare, records_of, sample_cube, CUBE
from tests.flows.jobs import pixels
from ardcube.errors import ArdcubeError
import numpy as np

what, archive, folder, expected = sys.argv[1:]
if what != "limit":
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=True)
plan = prepare(sample_cube(archive, **CUBE), folder + "/cube.zarr")
if what == "full":
    filler = Path(folder, "filler")
    room = os.statvfs(folder)
    filler.write_bytes(bytes(room.f_bavail * room.f_frsize - 30_000))
elif what == "read-only":
    build_some = plan.jobs[:3]
    from ardcube.chunk.batch import process_batch
    process_batch(plan.spec, list(build_some))
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
else:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
result = {}
try:
    build(plan)
except ArdcubeError as error:
    result = {"kind": type(error).__name__, "says": str(error)}
result["litter"] = [str(path) for path in Path(folder).rglob("*") if path.suffix in (".part", ".partial")]
result["before"] = [record.status for record in records_of(plan).values()]
if what == "full":
    filler.unlink()
elif what == "read-only":
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
build(plan)
result["after"] = [record.status for record in records_of(plan).values()]
result["attempts"] = [len(record.attempts) for record in records_of(plan).values()]
found, right = pixels(folder + "/cube.zarr"), np.load(expected)
result["equal"] = bool(np.array_equal(found.values, right["values"]) and np.array_equal(found.count, right["count"]))
print(json.dumps(result))
"""
"""Builds a cube until the disk is full, read-only or limited; then removes the fault and builds the rest."""

_NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
"""Command that may mount a disk visible to its process alone, and removed with it."""


def on_a_disk(what: str, archive: Path, folder: Path, undisturbed: Pixels) -> dict[str, Any]:
    if what != "limit" and subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here, not even in a separate namespace")
    expected = folder / "expected.npz"
    np.savez(expected, values=undisturbed.values, count=undisturbed.count)
    disk = folder / "disk"
    disk.mkdir()
    command = [sys.executable, "-c", ON_A_DISK, what, str(archive), str(disk), str(expected)]
    done = subprocess.run(
        command if what == "limit" else [*_NAMESPACE, *command],
        env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("full", r"has no space left .*\[Errno 28\] No space left on device.*; free space, or raise the quota"),
        ("read-only", r"refuses access .*\[Errno 30\] Read-only file system.*; allow this run to read and write there"),
        ("limit", r"has no space left .*\[Errno 27\] File too large.*; free space, or raise the quota"),
    ],
)
def test_a_disk_that_refuses_writes_stops_the_run_and_a_further_run_continues(
    what: str, says: str, sample_archive: Path, tmp_path: Path, undisturbed: Pixels
) -> None:
    result = on_a_disk(what, sample_archive, tmp_path, undisturbed)
    assert result["kind"] == "UnwritableError"
    assert re.search(says + ".*run again: finished chunks are kept", result["says"]), result["says"]
    assert result["litter"] == []
    done = result["before"].count("written")
    assert 0 < done < CHUNKS or what == "limit"
    assert set(result["before"][done:]) <= {"failed"}
    assert result["after"] == ["written"] * CHUNKS
    assert sorted(result["attempts"])[:done] == [1] * done, "finished chunks are not built again"
    assert result["equal"]


def test_pixels_are_flushed_before_their_record_and_the_record_before_its_rename(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = prepare(sample_cube(sample_archive, **CUBE), str(tmp_path / "cube.zarr"))
    flushed: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path)))

    monkeypatch.setattr(os, "fsync", noted)
    process_batch(plan.spec, [plan.jobs[0]])
    pixels, count, record = flushed
    assert (pixels, count) == ("cube.zarr/rgb_median/c/0/0/0/0", "cube.zarr/observation_count/c/0/0/0")
    assert re.fullmatch(r"cube\.zarr\.ardcube/chunks/2023-05/y0000_x0000\.json\.\w+\.part", record)


def test_a_disk_that_is_full_before_the_run_is_an_input_error_and_nothing_is_written(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys\n"
        "from pathlib import Path\n"
        "from ardcube.errors import InputError\n"
        "from ardcube.lease.acquire import holding\n"
        "from ardcube.storage.place import Place\n"
        "subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', sys.argv[1]], check=True)\n"
        "Path(sys.argv[1], 'cube.zarr.ardcube').mkdir()\n"
        "Path(sys.argv[1], 'filler').write_bytes(bytes(64 * 1024))\n"
        "try:\n"
        "    with holding(Place.at(sys.argv[1] + '/cube.zarr.ardcube')):\n"
        "        raise AssertionError\n"
        "except InputError as error:\n"
        "    print(error, [path.name for path in Path(sys.argv[1]).rglob('*') if path.is_file()])\n"
    )
    if subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here, not even in a separate namespace")
    done = subprocess.run(
        [*_NAMESPACE, sys.executable, "-c", script, str(tmp_path)],
        env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert "has no space left" in done.stdout, done.stderr
    assert done.stdout.endswith("['filler']\n")


# ---- a real store --------------------------------------------------------------------------------


@pytest.fixture
def user(ceph: Radosgw) -> str:
    """A new user, whose keys and quota a test changes."""
    name = uuid.uuid4().hex[:12]
    ceph.admin("user", "create", f"--uid={name}", f"--display-name={name}", f"--access-key={name}", "--secret-key=S")
    return name


@pytest.mark.deep
def test_a_real_quota_stops_the_run_and_a_larger_one_lets_the_next_run_continue(
    ceph: Radosgw, user: str, sample_archive: Path, undisturbed: Pixels
) -> None:
    with stage_on(ceph.bucket(), sample_archive) as without:
        empty = len(Place.at(f"s3://{without.s3.bucket}", without.s3.storage_options).list())
    # Before the user's first write, because the gateway caches a user for minutes.
    ceph.admin("quota", "set", "--quota-scope=user", f"--uid={user}", f"--max-objects={empty + 7}")
    ceph.admin("quota", "enable", "--quota-scope=user", f"--uid={user}")
    s3 = ceph.bucket(user, "S")
    with stage_on(s3, sample_archive) as stage:
        with pytest.raises(
            UnwritableError, match=r"has no space left .QuotaExceeded.*run again: finished chunks are kept"
        ):
            build(stage.plan)
        assert [record.status for record in records_of(stage.plan).values()] == ["written"] * 2
        ceph.admin("quota", "disable", "--quota-scope=user", f"--uid={user}")
        until(lambda: not _refused(s3), "the gateway applies the new quota")
        build(stage.plan)
        assert {len(record.attempts) for record in records_of(stage.plan).values()} == {1}
        assert stage.pixels() == undisturbed


def _refused(s3: S3) -> bool:
    try:
        Place.at(f"s3://{s3.bucket}", s3.storage_options).write("probe", b"x")
    except OSError:
        return True
    return False


@pytest.mark.deep
def test_a_removed_key_stops_the_run_and_a_new_one_lets_the_next_run_continue(
    ceph: Radosgw, user: str, sample_archive: Path, undisturbed: Pixels
) -> None:
    with stage_on(ceph.bucket(user, "S"), sample_archive) as stage:
        process_batch(stage.plan.spec, list(stage.plan.jobs[:3]))
        ceph.admin("key", "rm", f"--uid={user}", "--key-type=s3", f"--access-key={user}")
        with pytest.raises(UnwritableError, match="run again: finished chunks are kept"):
            build(stage.plan)
        ceph.admin("key", "create", f"--uid={user}", "--key-type=s3", f"--access-key={user}", "--secret-key=S")
        build(stage.plan)
        assert len(records_of(stage.plan)) == CHUNKS
        assert {len(record.attempts) for record in records_of(stage.plan).values()} == {1}
        assert stage.pixels() == undisturbed


@pytest.mark.deep
def test_a_store_with_a_frozen_disk_is_a_transient_error_within_a_bound(
    ceph: Radosgw, sample_archive: Path, undisturbed: Pixels
) -> None:
    with stage_on(ceph.bucket(), sample_archive) as stage:
        process_batch(stage.plan.spec, list(stage.plan.jobs[:3]))
        began = time.monotonic()
        with ceph.disk_hangs(), pytest.raises(TransientError, match="temporary storage error"):
            process_batch(stage.plan.spec, list(stage.plan.jobs[3:4]))
        assert time.monotonic() - began < 60, "s3fs repeats five times, botocore three times each, with pauses"
        build(stage.plan)
        assert stage.pixels() == undisturbed
