"""Builds from files that need a token or a header: expiry, workers, retries, and secrets that are stored nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from ardcube.config import Reader
from ardcube.errors import AccessError
from ardcube.prepare.check import check_request
from ardcube.report.summary import ChunksFailedError
from flows.build_cube import build_cube
from flows.checked import already_checked
from flows.retry_cube import retry_cube
from tests.flows import jobs
from tests.flows.jobs import Pixels, options, pixels, records, run_config, sample_cube
from tests.flows.remote import EACH_READ_IS_A_REQUEST, QUICK_RETRIES
from tests.private_archive import definition_text, write_catalogue
from tests.servers import processes
from tests.servers.private_files import HeaderServer, TokenServer
from tests.servers.processes import PrefectServer
from tests.servers.range_server import RangeServer

SIX_CHUNKS = {"chunk_size": 80, "bands": ("red",)}
LIFETIME = 1.5
"""Seconds for which a token is valid."""
DELAY = {"auto": 0.15, "gdal": 0.02}
"""Seconds that the server waits before each answer, so that a build outlasts several tokens, by reader."""
BEARER = "Bearer eyJ0eXAiOiJKV1Qi.wNq3-x_9"
HEADER = '{ kind = "header", header = "Authorization", value = "Bearer {EARTHDATA_TOKEN}" }'
WITH_LOGS = {"PREFECT_LOGGING_TO_API_ENABLED": "true"}


@pytest.fixture(scope="module")
def undisturbed(sample_archive: Path, prefect_server: object, tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    """Pixels of a build from public files."""
    uri = tmp_path_factory.mktemp("undisturbed") / "cube.zarr"
    build_cube(sample_cube(sample_archive, **SIX_CHUNKS), run_config(uri))
    return pixels(uri)


@pytest.fixture
def serve() -> Iterator[Callable[[RangeServer], Any]]:
    with ExitStack() as stack:
        yield stack.enter_context


def private_cube(folder: Path, archive: Path, host: str, access: str) -> dict[str, Any]:
    """Write a catalogue of the sample at a host and a definition of its access; return the changes of a cube."""
    catalogue = write_catalogue(folder / "catalogue", archive, f"http://{host}/{archive.name}")
    definition = folder / "private.toml"
    definition.write_text(definition_text("private", host, access))
    return {**SIX_CHUNKS, "stac_url": str(catalogue), "collection_file": str(definition)}


def files_with(secrets: Iterable[str], folder: Path) -> list[str]:
    """Return the files of a folder that contain a secret; of tables, the content of their columns."""
    held = []
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            if file.suffix == ".parquet":
                content = str(parquet.read_table(pyarrow.BufferReader(content)).to_pylist()).encode()
            held += [file.name for secret in secrets if secret.encode() in content]
    return held


@pytest.mark.parametrize("reader", ["auto", "gdal"])
def test_a_build_outlasts_its_tokens_and_stores_none(
    sample_archive: Path,
    undisturbed: Pixels,
    prefect_server: PrefectServer,
    serve: Callable[[TokenServer], TokenServer],
    tmp_path: Path,
    reader: Reader,
) -> None:
    server = serve(TokenServer(sample_archive.parent, LIFETIME))
    cube = sample_cube(sample_archive, **private_cube(tmp_path, sample_archive, server.host, server.access))
    server.fail(f"{sample_archive.name}/*", times=None, kind="delay", seconds=DELAY[reader])
    run = run_config(tmp_path / "cube.zarr", reader=reader, requests=4, debug=True)
    began = time.monotonic()
    ended = jobs.run(["build", *options(cube, run)], {**WITH_LOGS, **EACH_READ_IS_A_REQUEST}, seconds=600)
    seconds = time.monotonic() - began
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said[-3000:]
    assert pixels(run.fsspec_uri) == undisturbed
    signed, files = server.count("token/", 200), len(server.requests)
    refused = server.count(sample_archive.name, 403)
    print(f"{reader}: {seconds:.1f} s, {files} requests, {signed} tokens, {refused} refused")
    assert signed == len(server.tokens)
    assert 3 <= signed <= 2 + seconds / (LIFETIME / 2)
    assert signed < files / 10
    held = [token for token in server.tokens if token in said]
    assert held == []
    assert files_with(server.tokens, tmp_path) == []
    assert files_with(server.tokens, prefect_server.home) == []
    assert not [token for token in server.tokens if token in prefect_server.log.read_text()]


@pytest.mark.parametrize("reader", ["auto", "gdal"])
def test_a_build_whose_tokens_are_refused_reveals_none(
    sample_archive: Path,
    prefect_server: PrefectServer,
    serve: Callable[[TokenServer], TokenServer],
    tmp_path: Path,
    reader: Reader,
) -> None:
    """Errors of both libraries contain the address that was requested."""
    server = serve(TokenServer(sample_archive.parent, 3600))
    cube = sample_cube(sample_archive, **private_cube(tmp_path, sample_archive, server.host, server.access))
    server.fail(f"{sample_archive.name}/*/B04.tif", times=None, status=403)
    run = run_config(tmp_path / "cube.zarr", reader=reader, retries=0, debug=True)
    ended = jobs.run(["build", *options(cube, run)], {**WITH_LOGS, **QUICK_RETRIES}, seconds=600)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said[-3000:]
    assert f"access is refused (HTTP 403) with a new token of {server.host}" in said
    assert "Traceback" in said
    assert server.tokens
    assert [line for line in said.splitlines() if any(token in line for token in server.tokens)] == []
    assert files_with(server.tokens, tmp_path) == []
    assert files_with(server.tokens, prefect_server.home) == []


def test_a_retry_reads_private_files_by_the_definitions_of_the_plan(
    sample_archive: Path, undisturbed: Pixels, serve: Callable[[TokenServer], TokenServer], tmp_path: Path
) -> None:
    server = serve(TokenServer(sample_archive.parent, 3600))
    cube = sample_cube(sample_archive, **private_cube(tmp_path, sample_archive, server.host, server.access))
    run = run_config(tmp_path / "cube.zarr", retries=0)
    server.fail("*33TTM_20230503*/B04.tif", times=None, status=404)
    with pytest.raises(ChunksFailedError):
        build_cube(cube, run)
    server.heal()
    assert retry_cube(run).failed == 0
    assert pixels(run.fsspec_uri) == undisturbed


def test_a_retry_sends_no_header_because_of_a_file_that_the_ledger_names(
    sample_archive: Path,
    serve: Callable[[HeaderServer], HeaderServer],
    prefect_server: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", BEARER.removeprefix("Bearer "))
    server = serve(HeaderServer(sample_archive.parent, BEARER))
    cube = sample_cube(sample_archive, **private_cube(tmp_path, sample_archive, server.host, HEADER))
    run = run_config(tmp_path / "cube.zarr", retries=0)
    server.fail("*33TTM_20230503*/B04.tif", times=None, status=404)
    with pytest.raises(ChunksFailedError):
        build_cube(cube, run)
    server.heal()
    server.reset()
    with pytest.raises(AccessError):
        retry_cube(run)
    assert server.requests
    assert not [request for request in server.requests if "Authorization" in request.headers]


def test_workers_fill_in_the_header_and_need_no_file_of_the_definition(
    sample_archive: Path,
    undisturbed: Pixels,
    serve: Callable[[RangeServer], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("EARTHDATA_TOKEN", raising=False)
    store = serve(RangeServer(sample_archive.parent))
    server = serve(HeaderServer(sample_archive.parent, BEARER, store.url))
    changes = private_cube(tmp_path, sample_archive, server.host, HEADER)
    cube = sample_cube(sample_archive, **changes)
    token = {"EARTHDATA_TOKEN": BEARER.removeprefix("Bearer ")}
    for environment in ({}, token):
        with processes.dask_cluster(tmp_path, workers=1, env=environment) as cluster:
            run = run_config(
                tmp_path / "cube.zarr", threads=None, serverless_backend="dask", scheduler_address=cluster.address
            )
            request = check_request(cube, run)
            definition = Path(changes["collection_file"])
            text = definition.read_text()
            definition.unlink()
            with already_checked(request):
                if environment:
                    build_cube(cube, run)
                else:
                    with pytest.raises(
                        AccessError, match="needs the environment variable EARTHDATA_TOKEN, which is not"
                    ):
                        build_cube(cube, run)
            definition.write_text(text)
    assert pixels(run.fsspec_uri) == undisturbed
    assert files_with([token["EARTHDATA_TOKEN"]], tmp_path) == []
    assert store.requests
    assert not [one for one in store.requests if "Authorization" in one.headers or "Referer" in one.headers]
    assert all(record.status != "failed" for record in records(run.fsspec_uri).values())


def test_a_missing_variable_is_one_line_before_anything_is_written(
    sample_archive: Path, serve: Callable[[HeaderServer], HeaderServer], tmp_path: Path
) -> None:
    server = serve(HeaderServer(sample_archive.parent, BEARER))
    cube = sample_cube(sample_archive, **private_cube(tmp_path, sample_archive, server.host, HEADER))
    run = run_config(tmp_path / "cube.zarr")
    ended = jobs.run(["build", *options(cube, run)], {"EARTHDATA_TOKEN": ""})
    assert ended.returncode == 2
    (line,) = [line for line in ended.stderr.splitlines() if "EARTHDATA_TOKEN" in line]
    assert line.endswith(
        f"files of {server.host}: the header Authorization needs the environment variable EARTHDATA_TOKEN, which is "
        "not set; set it to the token of the provider, on each worker"
    )
    assert not list(tmp_path.glob("cube.zarr*"))
    assert server.requests == []


def test_a_plan_names_the_access_of_private_files(
    sample_archive: Path, serve: Callable[[TokenServer], TokenServer], tmp_path: Path
) -> None:
    server = serve(TokenServer(sample_archive.parent, 3600))
    cube = sample_cube(sample_archive, **private_cube(tmp_path, sample_archive, server.host, server.access))
    ended = jobs.run(["plan", *options(cube, run_config(tmp_path / "cube.zarr"))])
    assert ended.returncode == 0, ended.stderr
    shown = " ".join(ended.stdout.split())
    assert f"with a token that is fetched when a file is read ({server.host})" in shown
    assert "blocks of 2 scenes" in shown, "the headers are read with the token"
    (token,) = server.tokens
    assert token not in ended.stdout + ended.stderr


def test_a_plan_says_that_the_requester_pays(sample_archive: Path, tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "catalogue", sample_archive, "s3://usgs-landsat/sample")
    definition = tmp_path / "private.toml"
    definition.write_text(definition_text("private", "s3://usgs-landsat", '{ kind = "requester-pays" }'))
    cube = sample_cube(catalogue, **SIX_CHUNKS, collection_file=str(definition))
    run = run_config(tmp_path / "cube.zarr", asset_endpoint_url="http://127.0.0.1:1")
    ended = jobs.run(["plan", *options(cube, run)])
    assert ended.returncode == 0, ended.stderr
    said = " ".join(ended.stdout.split())
    assert "requester pays: requests and transfer are charged to your account (s3://usgs-landsat)" in said
    warned = "files of s3://usgs-landsat: the requester pays for requests and transfer"
    assert warned in ended.stdout + ended.stderr
