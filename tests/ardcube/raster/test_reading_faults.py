"""Faults of a scene's file while a chunk is built: transient faults are retried, permanent faults fail at once."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from ardcube.chunk.batch import process_batch
from ardcube.chunk.build import process_chunk
from ardcube.chunk.open_cube import open_cube
from ardcube.config import CubeConfig, Reader, RunConfig
from ardcube.errors import PermanentError, SceneError, TransientError
from ardcube.ledger.ledger import Ledger
from ardcube.pixels.masks import CloudMaskHook, DefaultCloudMaskHook, SCLCloudMaskHook
from ardcube.planning import memory
from ardcube.planning.jobs import ChunkJob
from ardcube.planning.plan import CubePlan
from ardcube.prepare.check import check_request
from ardcube.prepare.initialize import initialize
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.raster import gdal_open, http
from ardcube.raster.bad_files import forget_bad_files
from tests.rasters import ORIGIN, damage, pixels, write, write_cog
from tests.servers.range_server import RangeServer
from tests.strategies import raster_band, stac_collection, stac_item

pytestmark = pytest.mark.slow

READERS: tuple[Reader, ...] = ("auto", "gdal")
HEIGHT, WIDTH = 601, 399
SCENES = {"a": "2023-08-05", "b": "2023-08-10", "c": "2023-08-15", "d": "2023-09-10"}
BAD = "b"
"""The scene whose file has a fault; it is a scene of August."""
REQUEST: dict[str, Any] = {
    "bbox": (15.005, 46.005, 15.035, 46.04),
    "start_date": "2023-08-01",
    "end_date": "2023-09-30",
    "resolution": 0.0004,
    "bands": ("red",),
    "chunk_size": 100,
}


@dataclass(frozen=True, slots=True)
class Archive:
    """Scenes on a server and their catalogue, with addresses that no other test has read."""

    server: RangeServer
    folder: Path
    catalogue: Path

    @property
    def name(self) -> str:
        """Path of the file with the fault, on the server."""
        return f"{self.folder.name}/{BAD}.tif"

    @property
    def file(self) -> Path:
        return self.folder / f"{BAD}.tif"

    @property
    def requests(self) -> int:
        """Number of requests for the file with the fault."""
        return sum(request.path == self.name for request in self.server.requests)

    def replace(self, make: Callable[[Path], object]) -> None:
        """Replace the file of the fault, in this archive only."""
        self.file.unlink()
        make(self.file)

    def plan(self, uri: Path, reader: Reader, mask: CloudMaskHook | None = None, **run: Any) -> CubePlan:
        """Plan a cube and create its store."""
        mask = mask or DefaultCloudMaskHook()
        cube = CubeConfig(**REQUEST, stac_url=str(self.catalogue), cloud_mask=mask.name)
        request = check_request(cube, RunConfig(fsspec_uri=str(uri), reader=reader, **run), mask)
        plan = make_plan(request, search_scenes(request))
        initialize(request, plan)
        return plan


def noise(name: str) -> NDArray[np.uint16]:
    return np.random.default_rng(list(name.encode())).integers(1, 10_000, (HEIGHT, WIDTH)).astype(np.uint16)


def item(name: str, href: str) -> dict[str, Any]:
    """Return an item that states the shape, CRS and data type of its file."""
    back = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    corners = [ORIGIN @ corner for corner in ((0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT))]
    outline = shapely.Polygon([back.transform(*corner) for corner in corners])
    red = {"href": href, "raster:bands": raster_band(), "proj:shape": [HEIGHT, WIDTH]}
    scl = {"href": href.replace(".tif", "-scl.tif"), "raster:bands": [{"data_type": "uint8", "nodata": 0}]}
    return stac_item(
        name,
        f"{SCENES[name]}T10:00:00Z",
        geometry=shapely.geometry.mapping(outline),
        assets={"red": red, "scl": scl},
        **{"proj:code": "EPSG:32633"},
    )


@pytest.fixture(scope="module")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RangeServer, Path]]:
    root = tmp_path_factory.mktemp("served")
    (root / "original").mkdir()
    for name in SCENES:
        write_cog(root / "original" / f"{name}.tif", noise(name), nodata=0)
        write_cog(root / "original" / f"{name}-scl.tif", np.where(noise(name) > 2000, 4, 9).astype(np.uint8), nodata=0)
    with RangeServer(root) as server:
        yield server, root


_numbers = itertools.count()


@pytest.fixture
def archive(_served: tuple[RangeServer, Path], tmp_path: Path) -> Iterator[Archive]:
    server, root = _served
    folder = root / str(next(_numbers))
    shutil.copytree(root / "original", folder, copy_function=os.link)
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir()
    for name in SCENES:
        document = item(name, f"{server.url}/{folder.name}/{name}.tif")
        (catalogue / f"{name}.json").write_text(json.dumps(document))
    (catalogue / "collection.json").write_text(json.dumps(stac_collection()))
    server.reset()
    with ExitStack() as stack:
        stack.callback(server.heal)
        yield Archive(server, folder, catalogue)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits between attempts. The tests below count the attempts."""
    backoff = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2), "base": 2}
    retry = {"max_retries": 2, "retry_timeout": timedelta(seconds=20), "backoff": backoff}
    monkeypatch.setattr(http, "RETRY", retry)
    monkeypatch.setitem(http.CLIENT, "read_timeout", "1s")
    http.http_store.cache_clear()
    for name, value in {"MAX_RETRY": 2, "RETRY_DELAY": 0.01, "LOW_SPEED_TIME": 1}.items():
        monkeypatch.setitem(gdal_open._HTTP_OPTIONS, f"GDAL_HTTP_{name}", value)


@pytest.fixture(scope="module")
def undisturbed(_served: tuple[RangeServer, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the pixels of each month, built from local files."""
    root = tmp_path_factory.mktemp("undisturbed")
    for name in SCENES:
        (root / f"{name}.json").write_text(json.dumps(item(name, str(_served[1] / "original" / f"{name}.tif"))))
    (root / "collection.json").write_text(json.dumps(stac_collection()))
    plan = Archive(_served[0], root, root).plan(root / "cube.zarr", "gdal", allow_asset_roots=(str(_served[1]),))
    for job in plan.jobs:
        process_chunk(open_cube(plan.spec), job)
    return {job.key.period: stored(plan, job) for job in plan.jobs}


def stored(plan: CubePlan, job: ChunkJob) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the composite and the observation count of a chunk in the store."""
    import zarr

    group = zarr.open_group(plan.spec.store_uri, mode="r")
    y, x = job.window.slices
    return np.asarray(group["rgb_median"][job.time_index, y, x]), np.asarray(
        group["observation_count"][job.time_index, y, x]
    )


def check_equal(plan: CubePlan, undisturbed: dict[str, Any]) -> None:
    assert {period: pair[1].max() for period, pair in undisturbed.items()} == {"2023-08": 3, "2023-09": 1}
    for job in plan.jobs:
        for ours, theirs in zip(stored(plan, job), undisturbed[job.key.period], strict=True):
            np.testing.assert_array_equal(ours, theirs)


# ---- transient faults ----------------------------------------------------------------------------

TRANSIENT: dict[str, dict[str, Any]] = {
    "429": {"status": 429},
    "429, Retry-After": {"status": 429, "retry_after": 1},
    "500": {"status": 500},
    "503": {"status": 503},
    "503, Retry-After": {"status": 503, "retry_after": 1},
    "reset": {"kind": "reset"},
    "cut short": {"kind": "truncate"},
    "hangs": {"kind": "delay", "seconds": 60.0},
}


@pytest.mark.parametrize("passed", [0, 1], ids=["first request", "second request"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_single_fault_changes_no_pixel(
    archive: Archive, undisturbed: dict[str, Any], tmp_path: Path, fault: str, reader: Reader, passed: int
) -> None:
    """The first request reads a header, the second pixels; with GDAL they read the file's size and a header."""
    plan = archive.plan(tmp_path / "cube.zarr", reader)
    ordered = archive.server.fail(archive.name, times=1, skip=passed, **TRANSIENT[fault])
    for again in (False, True, True):
        try:
            records = process_batch(plan.spec, plan.jobs, again=again)
        except TransientError:
            continue
        break
    assert ordered.fired == 1
    august, september = records
    assert (august.status, september.status) == ("written", "written")
    assert len(august.attempts) <= 2
    assert len(september.attempts) == 1
    check_equal(plan, undisturbed)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("fault", ["429, Retry-After", "500", "503", "reset", "cut short", "hangs"])
def test_a_permanent_fault_of_a_server_ends_in_a_transient_error_and_other_chunks_are_built(
    archive: Archive, undisturbed: dict[str, Any], tmp_path: Path, fault: str, reader: Reader
) -> None:
    plan = archive.plan(tmp_path / "cube.zarr", reader)
    ordered = archive.server.fail(archive.name, times=None, **TRANSIENT[fault])
    with pytest.raises(TransientError, match=rf"2023-08.*{archive.name} cannot be read"):
        process_batch(plan.spec, plan.jobs)
    records = Ledger.at(plan.spec.ledger_uri).records()
    assert [record.status for record in records.values()] == ["failed", "written"]
    assert not any(record.failed_permanently for record in records.values())
    # Two retries of a header. GDAL requests the size first, and does not retry a truncated body.
    assert 1 <= ordered.fired <= (3 if reader == "auto" else 7)

    archive.server.heal()
    process_batch(plan.spec, plan.jobs, again=True)
    check_equal(plan, undisturbed)


@pytest.mark.parametrize("reader", READERS)
def test_a_slow_server_is_no_fault(
    archive: Archive, undisturbed: dict[str, Any], tmp_path: Path, reader: Reader
) -> None:
    """The read timeout applies to the time without a byte, not to the whole request."""
    plan = archive.plan(tmp_path / "cube.zarr", reader)
    slow = archive.server.fail(archive.name, times=2, kind="slow", seconds=1.5)
    records = process_batch(plan.spec, plan.jobs)
    assert slow.fired == 2
    assert [len(record.attempts) for record in records] == [1, 1]
    check_equal(plan, undisturbed)


def test_a_request_to_a_hanging_server_ends_within_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert http.RETRY["retry_timeout"] == timedelta(seconds=90)
    assert http.CLIENT["read_timeout"] == "20s"
    attempts = 1 + gdal_open._HTTP_OPTIONS["GDAL_HTTP_MAX_RETRY"]
    assert attempts * gdal_open._HTTP_OPTIONS["GDAL_HTTP_LOW_SPEED_TIME"] <= 120


# ---- permanent faults ----------------------------------------------------------------------------


def other_crs(file: Path) -> None:
    write(file, noise(BAD), crs="EPSG:32632")


def damaged(file: Path) -> None:
    write_cog(file, noise(BAD), nodata=0)
    for block in np.ndindex(-(-HEIGHT // 128), -(-WIDTH // 128)):
        damage(file, 0, block)
    for level in (1, 2):
        damage(file, level)


def truncated(file: Path) -> None:
    write_cog(file, noise(BAD), nodata=0)
    os.truncate(file, file.stat().st_size // 2)


PERMANENT: dict[str, tuple[Callable[[Archive], object], str]] = {
    "404": (lambda archive: archive.server.fail(archive.name, times=None, status=404), "does not exist"),
    "403": (lambda archive: archive.server.fail(archive.name, times=None, status=403), "403"),
    "removed": (lambda archive: archive.file.unlink(), "does not exist"),
    "truncated": (lambda archive: archive.replace(truncated), r"it is truncated, with \d+ of at least \d+ bytes"),
    "bad tile": (lambda archive: archive.replace(damaged), "damaged"),
    "zeros": (lambda archive: archive.replace(lambda file: file.write_bytes(bytes(200_000))), "not recognized"),
    "empty": (lambda archive: archive.replace(Path.touch), "empty|not recognized"),
    "a web page": (lambda archive: archive.replace(lambda file: file.write_text("<html>")), "not recognized"),
    "a file that names others": (
        lambda archive: archive.replace(
            lambda file: file.write_text(
                '<VRTDataset rasterXSize="399" rasterYSize="601"><VRTRasterBand dataType="UInt16" band="1">'
                "<SimpleSource><SourceFilename>/etc/passwd</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
            )
        ),
        "not recognized",
    ),
    "other shape": (
        lambda archive: archive.replace(lambda file: write_cog(file, pixels(301, 255), nodata=0)),
        "is 301 x 255 pixels, and its item says 601 x 399",
    ),
    "other CRS": (lambda archive: archive.replace(other_crs), "is in EPSG:32632, and its item says EPSG:32633"),
    "other data type": (
        lambda archive: archive.replace(lambda file: write_cog(file, (noise(BAD) // 50).astype(np.uint8), nodata=0)),
        "holds uint8, and its item says uint16",
    ),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("fault", PERMANENT)
def test_a_wrong_file_fails_its_chunk_at_once_and_is_not_requested_again(
    archive: Archive, undisturbed: dict[str, Any], tmp_path: Path, fault: str, reader: Reader
) -> None:
    plan = archive.plan(tmp_path / "cube.zarr", reader)
    apply, message = PERMANENT[fault]
    apply(archive)
    with pytest.raises(PermanentError, match=rf"2023-08_y0000_x0000: .*{archive.name}.*({message})") as caught:
        process_batch(plan.spec, plan.jobs)
    assert "\n" not in str(caught.value)
    records = Ledger.at(plan.spec.ledger_uri).records()
    assert [(record.status, record.failed_permanently) for record in records.values()] == [
        ("failed", True),
        ("written", False),
    ]
    # A header and the pixels, and damaged pixels twice. GDAL requests a size, and smaller ranges.
    most = 4 if fault == "bad tile" and reader == "auto" else 30 if fault == "bad tile" else 5
    assert archive.requests <= most
    archive.server.reset()
    with pytest.raises(PermanentError):
        process_batch(plan.spec, plan.jobs, again=True)
    assert archive.requests == 0

    archive.server.heal()
    archive.file.unlink(missing_ok=True)
    os.link(archive.folder.parent / "original" / f"{BAD}.tif", archive.file)
    forget_bad_files()  # as another run does
    process_batch(plan.spec, plan.jobs)
    check_equal(plan, undisturbed)


# ---- skipped scenes ------------------------------------------------------------------------------


def without(
    archive: Archive, names: str, tmp_path: Path, reader: Reader, mask: CloudMaskHook | None = None
) -> CubePlan:
    """Build the cube of a catalogue without some scenes."""
    lacking = tmp_path / "lacking"
    shutil.copytree(
        archive.catalogue, lacking, ignore=lambda _, found: [n for n in found if n[0] in names and n[1:] == ".json"]
    )
    plan = replace(archive, catalogue=lacking).plan(tmp_path / "lacking.zarr", reader, mask)
    process_batch(plan.spec, plan.jobs)
    return plan


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("fault", ["404", "bad tile", "other shape"])
def test_a_chunk_that_skips_a_bad_scene_equals_that_of_a_catalogue_without_it(
    archive: Archive, tmp_path: Path, fault: str, reader: Reader
) -> None:
    expected = without(archive, BAD, tmp_path, reader)
    plan = archive.plan(tmp_path / "cube.zarr", reader, skip_bad_scenes=1)
    PERMANENT[fault][0](archive)
    august, september = process_batch(plan.spec, plan.jobs)
    assert (august.status, august.scenes, list(august.skipped), len(august.attempts)) == (
        "written",
        ("a", "c"),
        [BAD],
        1,
    )
    assert archive.name in august.skipped[BAD]
    assert (september.scenes, september.skipped) == (("d",), {})
    for job, other in zip(plan.jobs, expected.jobs, strict=True):
        for ours, theirs in zip(stored(plan, job), stored(expected, other), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_scene_with_an_unreadable_classification_is_skipped_in_all_bands(archive: Archive, tmp_path: Path) -> None:
    mask = SCLCloudMaskHook(closing=1, opening=1)
    expected = without(archive, BAD, tmp_path, "auto", mask)
    plan = archive.plan(tmp_path / "cube.zarr", "auto", mask, skip_bad_scenes=1)
    (archive.folder / f"{BAD}-scl.tif").unlink()
    august, _ = process_batch(plan.spec, plan.jobs)
    assert (list(august.skipped), august.statistics["days"]) == ([BAD], 2)
    for ours, theirs in zip(stored(plan, plan.jobs[0]), stored(expected, expected.jobs[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert np.count_nonzero(ours) > 0


def test_a_scene_with_a_transient_fault_is_skipped_only_in_the_last_attempt(archive: Archive, tmp_path: Path) -> None:
    plan = archive.plan(tmp_path / "cube.zarr", "auto", skip_bad_scenes=1)
    archive.server.fail(archive.name, times=None, status=503)
    with pytest.raises(TransientError):
        process_batch(plan.spec, plan.jobs)
    with pytest.raises(TransientError):
        process_batch(plan.spec, plan.jobs, again=True)
    august, _ = process_batch(plan.spec, plan.jobs, again=True, last=True)
    assert (list(august.skipped), len(august.attempts)) == ([BAD], 3)


def test_an_unavailable_server_fails_the_chunk_instead_of_skipping_all_scenes(archive: Archive, tmp_path: Path) -> None:
    plan = archive.plan(tmp_path / "cube.zarr", "auto", skip_bad_scenes=100)
    archive.server.fail(f"{archive.folder.name}/*", times=None, status=503)
    with pytest.raises(TransientError, match=r"3 scenes cannot be read, all scenes of the chunk: a .*; b .*; c "):
        process_chunk(open_cube(plan.spec), plan.jobs[0], last=True)


def test_more_bad_scenes_than_allowed_fail_the_chunk_and_are_named(archive: Archive, tmp_path: Path) -> None:
    plan = archive.plan(tmp_path / "cube.zarr", "auto", skip_bad_scenes=1)
    for name in "ab":
        (archive.folder / f"{name}.tif").unlink()
    message = (
        "2 scenes cannot be read, more than skip-bad-scenes 1: a .*a.tif cannot be read.*; b .*b.tif cannot be read"
    )
    with pytest.raises(SceneError, match=message):
        process_chunk(open_cube(plan.spec), plan.jobs[0])


def test_a_run_that_allows_fewer_bad_scenes_builds_these_chunks_again(
    archive: Archive, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    plan = archive.plan(tmp_path / "cube.zarr", "auto", skip_bad_scenes=1)
    archive.server.fail(archive.name, times=None, status=404)
    process_batch(plan.spec, plan.jobs)
    archive.server.reset()
    process_batch(plan.spec, plan.jobs)  # the same number is allowed, so nothing is built
    assert archive.server.requests == []
    archive.server.heal()
    august, september = process_batch(replace(plan.spec, skip_bad_scenes=0), plan.jobs)
    assert (len(august.attempts), len(september.attempts), august.skipped) == (2, 1, {})
    check_equal(plan, undisturbed)


@pytest.mark.parametrize("side", [20, 64])
def test_a_scene_that_is_bad_in_one_part_is_skipped_in_the_whole_chunk(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    """For any division of the chunk that fits into memory."""
    expected = without(archive, BAD, tmp_path, "auto")
    archive.replace(lambda file: damage(write_cog(file, noise(BAD), nodata=0), 1, (2, 1)))
    plan = archive.plan(tmp_path / "cube.zarr", "auto", skip_bad_scenes=1)
    monkeypatch.setattr(memory, "PART_SIDE", side)
    august, _ = process_batch(plan.spec, plan.jobs)
    assert list(august.skipped) == [BAD]
    for ours, theirs in zip(stored(plan, plan.jobs[0]), stored(expected, expected.jobs[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
