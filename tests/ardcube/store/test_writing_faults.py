"""Faults while a cube is written, each injected at a counted place: to S3, and to a disk.

Promised: what is read is fill or a whole chunk, never a part; pixels come before their record; what passes is retried,
and the cube is that of an undisturbed build, bit for bit; what does not pass stops the run at once, with one line that
says what to do, and a further run goes on from there.
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
from ardcube.plan.jobs import ChunkKey
from ardcube.plan.plan import CubePlan
from ardcube.prepare.check import check_request
from ardcube.prepare.initialize import initialize
from ardcube.prepare.planning import make_plan, search_scenes
from ardcube.storage.place import Place
from tests.flows.jobs import Pixels, pixels, sample_cube
from tests.servers.faulty_proxy import FaultyProxy, Kind
from tests.servers.processes import ROOT, S3, environment
from tests.servers.radosgw import Radosgw, missing, radosgw
from tests.wait_for import until

CUBE: dict[str, Any] = {"end_date": "2023-05-31", "bands": ("red",), "cloud_mask": "none"}
CHUNKS = 8
SILENCE = 0.5
"""Seconds that a store may say nothing; a call then takes four at most."""
TRIES = 3
"""Of one request, by botocore."""
ATTEMPTS = 3
"""At a chunk."""
PIXELS, RECORDS = "*/rgb_median/c/*", "*/chunks/*.json"


def prepare(cube: CubeConfig, uri: str, options: Mapping[str, Any] | None = None) -> CubePlan:
    """Plan a cube and create its store."""
    run = RunConfig(fsspec_uri=uri).model_copy(update={"storage_options": dict(options or {})})
    request = check_request(cube, run, DefaultCloudMaskHook())
    plan = make_plan(request, search_scenes(request))
    initialize(request, plan)
    return plan


def build(plan: CubePlan) -> list[ChunkRecord]:
    """Build as a task run does: a batch is repeated while that may help."""
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
    """A real S3 store for the tests that are `deep`."""
    if why := missing():
        pytest.skip(why)
    with radosgw(tmp_path_factory.mktemp("radosgw")) as store:
        yield store


@dataclass(frozen=True, slots=True)
class Stage:
    """A cube that stands ready on an S3 store, to be built through a proxy."""

    proxy: FaultyProxy
    plan: CubePlan
    s3: S3

    @property
    def uri(self) -> str:
        return self.plan.spec.store_uri

    def pixels(self) -> Pixels:
        """As others see it, past the proxy."""
        return pixels(self.uri, self.s3.storage_options)

    @contextmanager
    def watched(self, expected: Pixels) -> Iterator[None]:
        """Read the cube all the time: whatever is seen of a chunk is fill or the whole of it."""
        over, seen, wrong = threading.Event(), [0], []
        group = zarr.open_group(self.uri, mode="r", storage_options=self.s3.storage_options)

        def look() -> None:
            turns = cycle(
                (group[name], whole, job)
                for name, whole in (("rgb_median", expected.values), ("observation_count", expected.count))
                for job in self.plan.jobs
            )
            while not over.wait(0.02):  # leaves some of the processor to the build
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
    """A stage for tests that count requests: however slow the store, nothing is asked again for its silence."""
    with stage_on(s3, sample_archive, silence=60.0) as stage:
        yield stage


# ---- what passes ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Struck:
    """What happens to the first writes of one object of a chunk."""

    kind: Kind
    path: str
    times: int
    attempts: int
    """Of the chunk, as its record tells."""
    code: str = ""


PASSING = (
    Struck("status", "*/rgb_median/c/0/0/0/0", 2, 1, "SlowDown"),  # botocore tries again by itself
    Struck("reset", "*/observation_count/c/0/0/1", 2, 1),
    Struck("lost", "*/rgb_median/c/0/0/2/0", 2, 1),  # applied, and the answer lost
    Struck("mute", "*/observation_count/c/0/0/3", 1, 1),  # applied, and never answered
    Struck("hang", "*/rgb_median/c/0/1/0/0", 1, 2),  # s3fs would wait for ever; we give it up
    Struck("lost", "*/chunks/2023-05/y0001_x0001.json", 2, 1),
    Struck("status", "*/chunks/2023-05/y0001_x0002.json", 1, 1, "InternalError"),
    Struck("hang", "*/chunks/2023-05/y0001_x0003.json", 1, 1),  # of its first attempt nothing could be recorded
)


def test_a_store_that_has_bad_moments_gets_the_cube_of_an_undisturbed_build(stage: Stage, undisturbed: Pixels) -> None:
    strikes = [
        (struck, stage.proxy.fail(struck.kind, path=struck.path, times=struck.times, code=struck.code))
        for struck in PASSING
    ]
    with stage.watched(undisturbed):
        built = build(stage.plan)
    assert [strike.fired for _, strike in strikes] == [struck.times for struck in PASSING]
    assert [len(record.attempts) for record in built] == [struck.attempts for struck in PASSING]
    assert {record.status for record in built} == {"written"}
    assert records_of(stage.plan) == {record.key: record for record in built}
    assert stage.pixels() == undisturbed
    for struck in PASSING:
        again = struck.times if struck.path != "*/chunks/2023-05/y0001_x0003.json" else 1
        assert len(stage.proxy.requests("PUT", struck.path)) >= 1 + again


def test_a_chunk_has_no_record_of_being_written_until_all_its_pixels_stand_and_the_others_go_on(
    patient: Stage, undisturbed: Pixels
) -> None:
    broken = "*/observation_count/c/0/0/1"
    strike = patient.proxy.fail("status", path=broken, times=None, status=500, code="InternalError")
    with (
        patient.watched(undisturbed),
        pytest.raises(
            TransientError,
            match=r"y0000_x0001: .* temporary storage error \(OSError: .*InternalError, says the proxy\)",
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
    assert len(patient.proxy.requests("PUT", PIXELS)) == before + 1, "just what was missing"
    assert patient.pixels() == undisturbed


# ---- what does not pass --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("ExpiredToken", 400, "does not accept the credentials .* renew the credentials and run again"),
        ("InvalidAccessKeyId", 403, "does not accept the credentials .* renew the credentials and run again"),
        ("QuotaExceeded", 403, "has no space left .* free space, or raise the quota, and run again"),
        ("AccessDenied", 403, "refuses access .* allow this run to read and write there and run again"),
    ],
)
def test_what_a_store_says_for_good_is_one_line_that_says_what_to_do(
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
        assert strike.fired == 1, "it is not tried again"


def test_a_store_that_takes_nothing_more_stops_the_run_at_once_and_a_further_run_goes_on(
    patient: Stage, undisturbed: Pixels
) -> None:
    patient.proxy.fail("status", path=PIXELS, skip=3, times=None, status=403, code="QuotaExceeded")
    patient.proxy.fail("status", path=RECORDS, skip=3, times=None, status=403, code="QuotaExceeded")
    with pytest.raises(UnwritableError, match=r"has no space left .QuotaExceeded;"):
        build(patient.plan)
    assert len(patient.proxy.requests("PUT", PIXELS)) == 4, "no further chunk is built in vain"
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
told = {}
try:
    build(plan)
except ArdcubeError as error:
    told = {"kind": type(error).__name__, "says": str(error)}
told["litter"] = [str(path) for path in Path(folder).rglob("*") if path.suffix in (".part", ".partial")]
told["before"] = [record.status for record in records_of(plan).values()]
if what == "full":
    filler.unlink()
elif what == "read-only":
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
build(plan)
told["after"] = [record.status for record in records_of(plan).values()]
told["attempts"] = [len(record.attempts) for record in records_of(plan).values()]
found, right = pixels(folder + "/cube.zarr"), np.load(expected)
told["equal"] = bool(np.array_equal(found.values, right["values"]) and np.array_equal(found.count, right["count"]))
print(json.dumps(told))
"""
"""Builds a cube on a small disk, or under a limit, until it is full or read-only; then, with that ended, the rest."""

_NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
"""Where a disk may be mounted that nobody else sees, and that is gone with its process."""


def on_a_disk(what: str, archive: Path, folder: Path, undisturbed: Pixels) -> dict[str, Any]:
    if what != "limit" and subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no disk may be mounted here, not even in a namespace of its own")
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
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("full", r"has no space left .*\[Errno 28\] No space left on device.*; free space, or raise the quota"),
        ("read-only", r"refuses access .*\[Errno 30\] Read-only file system.*; allow this run to read and write there"),
        ("limit", r"has no space left .*\[Errno 27\] File too large.*; free space, or raise the quota"),
    ],
)
def test_a_disk_that_takes_nothing_more_stops_the_run_and_a_further_one_goes_on(
    what: str, says: str, sample_archive: Path, tmp_path: Path, undisturbed: Pixels
) -> None:
    told = on_a_disk(what, sample_archive, tmp_path, undisturbed)
    assert told["kind"] == "UnwritableError"
    assert re.search(says + ".*run again: finished chunks are kept", told["says"]), told["says"]
    assert told["litter"] == []
    done = told["before"].count("written")
    assert 0 < done < CHUNKS or what == "limit"
    assert set(told["before"][done:]) <= {"failed"}
    assert told["after"] == ["written"] * CHUNKS
    assert sorted(told["attempts"])[:done] == [1] * done, "what was built is not built again"
    assert told["equal"]


def test_pixels_lie_on_the_disk_before_their_record_and_the_record_before_it_gets_its_name(
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


def test_a_disk_that_is_full_before_a_run_begins_is_told_so_and_nothing_is_written(tmp_path: Path) -> None:
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
        pytest.skip("no disk may be mounted here, not even in a namespace of its own")
    done = subprocess.run(
        [*_NAMESPACE, sys.executable, "-c", script, str(tmp_path)],
        env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert "has no space left" in done.stdout, done.stderr
    assert done.stdout.endswith("['filler']\n")


# ---- what only a real store does -----------------------------------------------------------------


@pytest.fixture
def user(ceph: Radosgw) -> str:
    """A user of its own, whose keys and quota may be changed."""
    name = uuid.uuid4().hex[:12]
    ceph.admin("user", "create", f"--uid={name}", f"--display-name={name}", f"--access-key={name}", "--secret-key=S")
    return name


@pytest.mark.deep
def test_a_real_quota_stops_the_run_and_a_larger_one_lets_the_next_go_on(
    ceph: Radosgw, user: str, sample_archive: Path, undisturbed: Pixels
) -> None:
    with stage_on(ceph.bucket(), sample_archive) as without:
        empty = len(Place.at(f"s3://{without.s3.bucket}", without.s3.storage_options).list())
    # Set before the user's first write: what the gateway knows of a user is else minutes old.
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
        until(lambda: not _refused(s3), "the gateway learns of the new quota")
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
def test_a_key_that_is_taken_away_stops_the_run_and_a_new_one_lets_the_next_go_on(
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
def test_a_store_whose_disk_stands_still_is_given_up_within_a_bound_and_the_cube_is_finished_later(
    ceph: Radosgw, sample_archive: Path, undisturbed: Pixels
) -> None:
    with stage_on(ceph.bucket(), sample_archive) as stage:
        process_batch(stage.plan.spec, list(stage.plan.jobs[:3]))
        began = time.monotonic()
        with ceph.disk_hangs(), pytest.raises(TransientError, match="temporary storage error"):
            process_batch(stage.plan.spec, list(stage.plan.jobs[3:4]))
        assert time.monotonic() - began < 60, "s3fs asks five times, botocore three times each, with pauses"
        build(stage.plan)
        assert stage.pixels() == undisturbed
