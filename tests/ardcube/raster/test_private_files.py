"""Files that need a token or a header: both readers, renewal, redirects, and secrets that reach no other host."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ardcube.config import AccessByHost, HeaderAccess, HostAccess, Reader, TokenAccess
from ardcube.errors import AccessError, ArdcubeError, SceneError, TransientError
from ardcube.raster import gdal_open, http, redirects, refusals, tokens
from ardcube.raster.open import open_raster
from ardcube.raster.signing import sign
from ardcube.raster.tokens import ContainerToken
from tests.rasters import pixels, read, write, write_cog, write_jpeg_2000
from tests.servers.nginx import nginx, nginx_path
from tests.servers.private_files import HeaderServer, TokenServer
from tests.servers.range_server import RangeServer

READERS: tuple[Reader, ...] = ("auto", "gdal")
BEARER = "Bearer eyJ0eXAiOiJKV1Qi.wNq3-x_9"
NAMES = ["red.tif", "lzw.tif", "red.jp2"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "RETRY", {"max_retries": 2, "retry_timeout": timedelta(seconds=20)})
    monkeypatch.setattr(tokens, "_SHORTEST", 0.0)
    monkeypatch.setattr(refusals, "_refused", {})
    monkeypatch.setitem(gdal_open._HTTP_OPTIONS, "GDAL_HTTP_MAX_RETRY", 1)
    monkeypatch.setitem(gdal_open._HTTP_OPTIONS, "GDAL_HTTP_RETRY_DELAY", 0.01)
    monkeypatch.setenv("CPL_VSIL_CURL_NON_CACHED", "/vsicurl/")  # or GDAL would answer from its memory
    monkeypatch.setenv("EARTHDATA_TOKEN", BEARER.removeprefix("Bearer "))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a folder with a container of three files: of the block reader, and of GDAL."""
    container = tmp_path / "archive" / "scenes"
    container.mkdir(parents=True)
    write_cog(container / "red.tif", pixels(), nodata=0)
    write(container / "lzw.tif", pixels(), compress="lzw", nodata=0)
    write_jpeg_2000(container / "red.jp2", pixels())
    return container.parent


@pytest.fixture
def serve() -> Iterator[Callable[[RangeServer], Any]]:
    with ExitStack() as stack:
        yield stack.enter_context


def by_token(server: TokenServer) -> AccessByHost:
    return AccessByHost((HostAccess(server.host, TokenAccess(server.token_url)),))


def by_header(*servers: RangeServer) -> AccessByHost:
    hosts = tuple(server.url.removeprefix("http://") for server in servers)
    access = HeaderAccess("Authorization", "Bearer {EARTHDATA_TOKEN}", hosts)
    return AccessByHost(tuple(HostAccess(host, access) for host in hosts))


def values(href: str, access: AccessByHost, reader: Reader) -> Any:
    raster = open_raster(href, "", access, reader)
    return read(raster, raster.header.levels[0])


# ---- tokens --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_with_one_token_and_again_after_the_token_was_revoked(
    archive: Path, serve: Callable[[Any], TokenServer], name: str, reader: Reader
) -> None:
    server = serve(TokenServer(archive, 3600))
    href = f"{server.url}/scenes/{name}"
    raster = open_raster(href, "", by_token(server), reader)
    np.testing.assert_array_equal(read(raster, raster.header.levels[0]), pixels())
    assert server.count("token/127/scenes", 200) == len(server.tokens) == 1
    assert server.count("scenes/", 403) == 0
    server.revoke()
    np.testing.assert_array_equal(read(raster, raster.header.levels[0]), pixels())
    assert len(server.tokens) == 2
    assert server.count("scenes/", 403) >= 1


@pytest.mark.parametrize("reader", READERS)
def test_threads_share_a_token_and_one_of_them_renews_it(
    archive: Path, serve: Callable[[Any], TokenServer], reader: Reader
) -> None:
    server = serve(TokenServer(archive, 3600))
    access, href = by_token(server), f"{server.url}/scenes/red.tif"
    together = threading.Barrier(8)

    def one(_: int) -> Any:
        together.wait()
        raster = open_raster(href, "", access, reader)
        return read(raster, raster.header.levels[0])

    with ThreadPoolExecutor(8) as threads:
        for rounds in (1, 2):
            for found in threads.map(one, range(8)):
                np.testing.assert_array_equal(found, pixels())
            assert len(server.tokens) == rounds
            server.revoke()


@pytest.mark.parametrize("reader", READERS)
def test_a_mask_file_is_not_overlooked_after_a_token_was_revoked(
    archive: Path, serve: Callable[[Any], TokenServer], reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused mask file would otherwise count as missing, and masked pixels as valid."""
    write_cog(archive / "scenes" / "open.tif", pixels())
    mask = np.where(pixels() > 5000, 255, 0).astype(np.uint8)
    write(archive / "scenes" / "open.tif.msk", mask, overviews=False, crs=None)
    server = serve(TokenServer(archive, 3600))
    access = by_token(server)
    href = f"{server.url}/scenes/open.tif"
    sign(href, TokenAccess(server.token_url))
    fault = server.fail("scenes/open.tif.msk", times=1, status=403)
    monkeypatch.setattr(tokens, "_SHORTEST", 0.0)
    raster = open_raster(href, "", access, reader)
    assert fault.fired == 1
    assert raster.header.masked
    np.testing.assert_array_equal(read(raster, raster.header.levels[0]), np.where(mask, pixels(), 0))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", NAMES)
def test_errors_of_private_files_contain_no_token(
    archive: Path, serve: Callable[[Any], TokenServer], name: str, reader: Reader
) -> None:
    server = serve(TokenServer(archive, 3600))
    access = by_token(server)
    caught: list[ArdcubeError] = []
    for status in (403, 503, 404):
        server.fail(f"scenes/{name}", times=None, status=status)
        with pytest.raises((AccessError, SceneError, TransientError)) as failed:
            open_raster(f"{server.url}/scenes/{name}", str(status), access, reader)
        caught.append(failed.value)
        server.heal()
    assert [type(error) for error in caught] == [AccessError, TransientError, SceneError]
    assert str(caught[0]) == (
        f"{server.url}/scenes/{name} cannot be read: access is refused (HTTP 403) with a new token of {server.host}; "
        "check the access of the collection's definition"
    )
    said = "".join(str(error) for error in caught)
    assert server.tokens
    assert not [token for token in server.tokens if token in said]


def test_a_token_service_that_fails_now_and_then_is_asked_again(
    archive: Path, serve: Callable[[Any], TokenServer]
) -> None:
    server = serve(TokenServer(archive, 3600))
    fault = server.fail("token/*", times=2, status=503)
    np.testing.assert_array_equal(values(f"{server.url}/scenes/red.tif", by_token(server), "auto"), pixels())
    assert fault.fired == 2


def test_threads_that_wait_for_a_token_fail_with_the_request_that_failed(
    archive: Path, serve: Callable[[Any], TokenServer]
) -> None:
    """Otherwise each thread would wait for a service that hangs, one after another."""
    server = serve(TokenServer(archive, 3600))
    fault = server.fail("token/*", times=None, status=503)
    access, together = by_token(server), threading.Barrier(8)

    def one(number: int) -> str:
        together.wait()
        with pytest.raises(TransientError) as failed:
            open_raster(f"{server.url}/scenes/red.tif", str(number), access)
        return str(failed.value)

    with ThreadPoolExecutor(8) as threads:
        assert {said.partition(" (")[0] for said in threads.map(one, range(8))} == {
            f"{server.url}/token/127/scenes: returns no token"
        }
    assert fault.fired <= 2 * 3, "each request is sent three times"


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (503, TransientError, "returns no token"),
        (429, TransientError, "returns no token"),
        (404, AccessError, "returns no token .* correct token_url and hosts in the definition"),
        (401, AccessError, "returns no token .* correct token_url and hosts in the definition"),
        (400, AccessError, "returns no token .* correct token_url and hosts in the definition"),
    ],
)
def test_a_token_service_without_a_token_is_named(
    archive: Path, serve: Callable[[Any], TokenServer], status: int, kind: type[ArdcubeError], text: str
) -> None:
    server = serve(TokenServer(archive, 3600))
    server.fail("token/*", times=None, status=status)
    with pytest.raises(kind, match=f"^{re.escape(server.url)}/token/127/scenes: {text}"):
        open_raster(f"{server.url}/scenes/red.tif", "", by_token(server))
    assert server.count("scenes/", 200) == server.count("scenes/", 206) == 0


@pytest.mark.parametrize(
    "path", ["..%2f..%2fadmin/red.tif", "red.tif", "Scenes/red.tif", "a_b/red.tif", "%73cenes/red.tif"]
)
def test_an_address_cannot_lead_to_another_path_of_the_token_service(
    archive: Path, serve: Callable[[Any], TokenServer], path: str
) -> None:
    server = serve(TokenServer(archive, 3600))
    with pytest.raises(AccessError, match="it is no address of a file in a container"):
        open_raster(f"{server.url}/{path}", "", by_token(server))
    assert server.requests == []


def test_an_address_with_a_signature_gets_no_token(archive: Path, serve: Callable[[Any], TokenServer]) -> None:
    server = serve(TokenServer(archive, 3600))
    with pytest.raises(AccessError, match="the address may have expired"):
        open_raster(f"{server.url}/scenes/red.tif?sig=old", "", by_token(server))
    assert server.tokens == []


class Clock(SimpleNamespace):
    """Replaces the module `time`."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_a_token_is_renewed_before_it_expires_and_kept_while_its_service_fails(
    archive: Path, serve: Callable[[Any], TokenServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(tokens, "time", clock)
    server = serve(TokenServer(archive, 3600))
    token = ContainerToken(f"{server.url}/token/127/scenes")
    first = token.get()
    clock.now = 3290.0
    assert token.get() == first
    clock.now = 3310.0  # less than 300 s before the expiry
    second = token.get()
    assert second != first
    clock.now += 3400.0
    fault = server.fail("token/*", times=None, status=503)
    assert token.get() == second
    asked = fault.fired
    assert asked >= 1
    assert token.get() == second, "not asked again at once"
    assert fault.fired == asked
    clock.now += 201.0  # expired
    with pytest.raises(TransientError, match="returns no token"):
        token.get()
    server.heal()
    assert token.get() not in (first, second)


def test_a_fresh_token_that_is_refused_is_not_renewed_for_each_file(
    archive: Path, serve: Callable[[Any], TokenServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_SHORTEST", 60.0)
    server = serve(TokenServer(archive, 3600))
    server.fail("scenes/*", times=None, status=403)
    for number in range(5):
        with pytest.raises(AccessError):
            open_raster(f"{server.url}/scenes/red.tif", str(number), by_token(server))
    assert len(server.tokens) == 1


# ---- headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_header_is_sent_to_its_host(
    archive: Path, serve: Callable[[Any], HeaderServer], name: str, reader: Reader
) -> None:
    server = serve(HeaderServer(archive, BEARER))
    np.testing.assert_array_equal(values(f"{server.url}/scenes/{name}", by_header(server), reader), pixels())
    assert {request.status for request in server.requests} <= {200, 206, 404}  # 404 of a mask file


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_header_does_not_follow_a_redirect_to_another_host(
    archive: Path, serve: Callable[[Any], Any], name: str, reader: Reader
) -> None:
    other = serve(RangeServer(archive))
    server = serve(HeaderServer(archive, BEARER, other.url))
    np.testing.assert_array_equal(values(f"{server.url}/scenes/{name}", by_header(server), reader), pixels())
    assert len([request for request in server.requests if request.path == f"scenes/{name}"]) == 1, "kept afterwards"
    assert other.requests
    assert not [one for one in other.requests if "Authorization" in one.headers or "Referer" in one.headers]


@pytest.mark.parametrize("reader", READERS)
def test_a_redirect_that_expired_is_requested_again(archive: Path, serve: Callable[[Any], Any], reader: Reader) -> None:
    other = serve(RangeServer(archive))
    server = serve(HeaderServer(archive, BEARER, other.url))
    access = by_header(server)
    raster = open_raster(f"{server.url}/scenes/red.tif", "", access, reader)
    other.fail("*", times=1 if reader == "auto" else 2, status=403, method="GET")  # GDAL does not report the first
    np.testing.assert_array_equal(read(raster, raster.header.levels[0]), pixels())
    assert len([request for request in server.requests if request.path == "scenes/red.tif"]) == 2


@pytest.mark.parametrize("reader", READERS)
def test_a_header_is_not_sent_to_other_hosts(archive: Path, serve: Callable[[Any], Any], reader: Reader) -> None:
    server, other = serve(HeaderServer(archive, BEARER)), serve(RangeServer(archive))
    np.testing.assert_array_equal(values(f"{other.url}/scenes/red.tif", by_header(server), reader), pixels())
    assert other.requests
    assert not [one for one in other.requests if "Authorization" in one.headers]


@pytest.mark.parametrize("reader", READERS)
def test_other_threads_do_not_send_the_header_of_the_main_thread(
    archive: Path, serve: Callable[[Any], Any], reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rasterio sets options of GDAL in the main thread for all threads."""
    server, other = serve(HeaderServer(archive, BEARER)), serve(RangeServer(archive))
    access, opened = by_header(server), gdal_open._dataset

    def while_another_file_is_open(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith(server.url):
            with ThreadPoolExecutor(1) as thread:
                thread.submit(values, f"{other.url}/scenes/lzw.tif", access, "gdal").result()
        return opened(name, *args, **options)

    monkeypatch.setattr(gdal_open, "_dataset", while_another_file_is_open)
    np.testing.assert_array_equal(values(f"{server.url}/scenes/lzw.tif", access, reader), pixels())
    assert other.requests
    assert not [one for one in other.requests if "Authorization" in one.headers]


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_variable_is_named_before_a_request(
    archive: Path, serve: Callable[[Any], HeaderServer], reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EARTHDATA_TOKEN")
    server = serve(HeaderServer(archive, BEARER))
    with pytest.raises(AccessError) as refused:
        open_raster(f"{server.url}/scenes/red.tif", "", by_header(server), reader)
    assert str(refused.value) == (
        f"{server.url}: the header Authorization needs the environment variable EARTHDATA_TOKEN, which is not set; set "
        "it to the token of the provider, on each worker"
    )
    assert server.requests == []


@pytest.mark.parametrize("reader", READERS)
def test_a_token_that_is_refused_is_an_access_error_without_the_token(
    archive: Path, serve: Callable[[Any], HeaderServer], reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", "0ld-t0ken-9Zq")
    server = serve(HeaderServer(archive, BEARER))
    with pytest.raises(
        AccessError, match=r"\(HTTP 401\); renew the token in the environment variable EARTHDATA_TOKEN"
    ) as e:
        open_raster(f"{server.url}/scenes/red.tif", "", by_header(server), reader)
    assert "0ld" not in str(e.value)
    monkeypatch.setenv("EARTHDATA_TOKEN", "two\nlines")
    with pytest.raises(AccessError, match="EARTHDATA_TOKEN contains characters that no header can have") as e:
        open_raster(f"{server.url}/scenes/red.tif", "", by_header(server), reader)
    assert "lines" not in str(e.value)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("target", "kind", "text"),
    [
        ("http://127.0.0.1:1/oauth/authorize?client_id=", AccessError, "HTTP 401.*renew the token"),
        ("http://169.254.169.254/latest", SceneError, "redirected to http://169.254.169.254/latest/.*not allowed"),
        ("file:///etc", SceneError, "redirected to file:///etc/scenes.*not allowed"),
    ],
)
def test_redirects_lead_neither_to_a_login_nor_to_forbidden_addresses(
    archive: Path,
    serve: Callable[[Any], HeaderServer],
    reader: Reader,
    target: str,
    kind: type[ArdcubeError],
    text: str,
) -> None:
    server = serve(HeaderServer(archive, BEARER, target))
    with pytest.raises(kind, match=text):
        open_raster(f"{server.url}/scenes/red.tif", "", by_header(server), reader)


def test_a_missing_file_behind_a_header_is_a_scene_error(archive: Path, serve: Callable[[Any], HeaderServer]) -> None:
    server = serve(HeaderServer(archive, BEARER))
    for reader in READERS:
        with pytest.raises(SceneError, match="it does not exist"):
            open_raster(f"{server.url}/scenes/blue.tif", reader, by_header(server), reader)


def test_a_server_that_fails_behind_a_header_is_a_transient_error(
    archive: Path, serve: Callable[[Any], HeaderServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redirects, "_RETRIES", 1)
    redirects._session.cache_clear()
    server = serve(HeaderServer(archive, BEARER))
    fault = server.fail("*", times=None, status=503)
    with pytest.raises(TransientError, match="HTTP status code: 503"):
        open_raster(f"{server.url}/scenes/red.tif", "", by_header(server))
    assert fault.fired == 2
    redirects._session.cache_clear()


def test_a_user_file_of_passwords_does_not_replace_the_header(
    archive: Path, serve: Callable[[Any], HeaderServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve(HeaderServer(archive, BEARER))
    np.testing.assert_array_equal(values(f"{server.url}/scenes/red.tif", by_header(server), "auto"), pixels())
    assert {request.headers.get("Authorization") for request in server.requests} == {BEARER}


@pytest.mark.skipif(nginx_path() is None, reason="nginx is missing; install it (Debian: apt-get install nginx-light)")
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["direct", "moved"])
@pytest.mark.parametrize("name", NAMES)
def test_nginx_gets_the_header_and_the_store_behind_it_does_not(
    archive: Path, tmp_path: Path, name: str, kind: str, reader: Reader
) -> None:
    with nginx(archive, tmp_path / "nginx", BEARER) as server:
        access = HeaderAccess("Authorization", "Bearer {EARTHDATA_TOKEN}", (f"127.0.0.1:{server.archive}",))
        by_host = AccessByHost((HostAccess(access.hosts[0], access),))
        found = values(f"{server.url(kind)}/scenes/{name}", by_host, reader)
        np.testing.assert_array_equal(found, pixels())
        logged = server.requests()
    assert {one.authorization for one in logged if one.port == server.archive} == {BEARER}
    assert {(one.authorization, one.referer) for one in logged if one.port == server.store} <= {("-", "-")}
    assert {one.port for one in logged if one.status in (200, 206)} == {
        server.archive if kind == "direct" else server.store
    }
