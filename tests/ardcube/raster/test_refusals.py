"""Refused requests: no access to an archive, or one missing file."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ardcube.config import Reader
from ardcube.errors import AccessError, RunStopsError, SceneError
from ardcube.raster import bad_files, refusals
from ardcube.raster.bad_files import forget_bad_files, open_unless_bad
from ardcube.raster.open import open_raster
from ardcube.raster.refusals import explain_refusal, is_readable, note_readable
from tests.rasters import pixels, write_cog
from tests.servers.range_server import RangeServer

Serve = Callable[[Path], RangeServer]
READERS: tuple[Reader, ...] = ("auto", "gdal")
FILE = "https://host/scenes/a/red.tif"


@pytest.fixture(autouse=True)
def _unknown_hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(refusals, "_refused", {})
    forget_bad_files()
    yield
    forget_bad_files()


# ---- access or a missing file ----------------------------------------------------------------------


def test_a_refusal_of_an_unknown_host_concerns_access_and_names_what_to_set() -> None:
    error = explain_refusal("s3://bucket/a.tif", "HTTP response code: 403")
    assert isinstance(error, RunStopsError)
    assert str(error) == (
        "s3://bucket/a.tif cannot be read: access is refused (HTTP 403); set asset-access to signed or requester-pays, "
        "and AWS credentials in the environment"
    )
    assert error.may_be_missing


def test_a_refusal_of_a_host_whose_files_were_read_is_a_missing_file() -> None:
    note_readable("https://host/scenes/b/red.tif")
    error = explain_refusal(FILE, "Server returned non-2xx status code: 403 Forbidden: Forbidden")
    assert type(error) is SceneError
    assert str(error) == f"{FILE} cannot be read: access to this file is refused (HTTP 403), as for a missing file"
    assert isinstance(explain_refusal("https://other/red.tif", "code: 403"), AccessError)


@pytest.mark.parametrize(
    "reason", ["response code: 401", "ExpiredToken: The provided token has expired", "InvalidAccessKeyId"]
)
def test_answers_about_credentials_concern_access_even_of_a_known_host(reason: str) -> None:
    note_readable(FILE)
    error = explain_refusal(FILE, reason)
    assert isinstance(error, AccessError)
    assert not error.may_be_missing


@pytest.mark.parametrize("query", ["sv=2020&sig=abc", "X-Amz-Signature=abc", "token=abc"])
def test_a_refused_signed_address_may_have_expired(query: str) -> None:
    note_readable(FILE)
    error = explain_refusal(f"{FILE}?{query}", "code: 403")
    assert isinstance(error, AccessError)
    assert str(error) == (
        f"{FILE}?{query} cannot be read: access is refused (HTTP 403), the address may have expired; run ardcube build "
        "with the same options: it fetches new addresses, and ardcube retry uses those of the last search"
    )


@pytest.mark.parametrize(
    "query",
    [
        "sv=2023&se=2024-05-01T10%3A00%3A00Z&sig=abc",
        "X-Amz-Date=20240501T090000Z&X-Amz-Expires=3600&X-Amz-Signature=abc",
        "X-Goog-Date=20240501T090000Z&X-Goog-Expires=3600&X-Goog-Signature=abc",
        "Expires=1714557600&Signature=abc",
    ],
)
def test_the_message_states_when_a_signed_address_expired(query: str) -> None:
    assert "the address expired at 2024-05-01 10:00 UTC; run" in str(explain_refusal(f"{FILE}?{query}", "code: 403"))
    later = query.replace("2024", "2924").replace("1714557600", "32714557600")
    assert "the address may have expired; run" in str(explain_refusal(f"{FILE}?{later}", "code: 403"))


@pytest.mark.parametrize("query", ["se=soon&sig=abc", "Expires=9999999999999999&Signature=abc"])
def test_an_unreadable_time_of_expiry_is_not_stated(query: str) -> None:
    assert "the address may have expired; run" in str(explain_refusal(f"{FILE}?{query}", "code: 403"))


def test_many_refusals_in_succession_concern_access() -> None:
    """As if credentials expired in the middle of a run."""
    note_readable(FILE)
    errors = [explain_refusal(f"https://host/{n}.tif", "code: 403") for n in range(52)]
    assert [type(error) for error in errors] == [SceneError] * 50 + [AccessError] * 2
    assert not is_readable(FILE)
    note_readable(FILE)
    assert isinstance(explain_refusal(FILE, "code: 403"), SceneError)


def test_an_access_error_keeps_its_fields_on_its_way_from_a_worker() -> None:
    error = explain_refusal(FILE, "code: 403")
    error.scene = "a"
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), copied.scene, copied.may_be_missing) == (str(error), "a", True)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("status", [401, 403])
def test_both_readers_refuse_with_the_same_words(
    tmp_path: Path, range_server: Serve, reader: Reader, status: int
) -> None:
    write_cog(tmp_path / "red.tif", pixels())
    write_cog(tmp_path / "green.tif", pixels())
    server = range_server(tmp_path)
    href = f"{server.url}/red.tif"
    server.fail("red.tif", times=None, status=status)
    with pytest.raises(AccessError, match=rf"red.tif cannot be read: access is refused \(HTTP {status}\); choose a"):
        open_raster(href, "", "unsigned", reader)
    open_raster(f"{server.url}/green.tif", "", "unsigned", reader)
    kind = SceneError if status == 403 else AccessError
    with pytest.raises(kind, match=rf"\(HTTP {status}\)"):
        open_raster(href, "", "unsigned", reader)


# ---- files known to be bad -------------------------------------------------------------------------


def test_a_bad_file_is_opened_once_per_revision_until_a_new_run() -> None:
    calls: list[str] = []

    def bad() -> None:
        calls.append("opened")
        raise SceneError("a.tif cannot be read: it does not exist")

    for _ in range(3):
        with pytest.raises(SceneError, match="it does not exist"):
            open_unless_bad("a.tif", "one", bad)
    assert len(calls) == 1
    with pytest.raises(SceneError):
        open_unless_bad("a.tif", "two", bad)
    assert len(calls) == 2
    forget_bad_files()
    assert open_unless_bad("a.tif", "one", lambda: "raster") == "raster"


def test_other_errors_are_not_remembered() -> None:
    def transient() -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - without a message
        open_unless_bad("a.tif", "", transient)
    assert open_unless_bad("a.tif", "", lambda: 1) == 1


def test_the_number_of_remembered_files_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_files, "_MOST", 3)

    def bad() -> None:
        raise SceneError("bad")

    for name in "abcde":
        with pytest.raises(SceneError):
            open_unless_bad(name, "", bad)
    assert [name for name, _ in bad_files._bad] == ["c", "d", "e"]
