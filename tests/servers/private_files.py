"""Serve files that need a token, as Azure and Planetary Computer do, or a header, as the archives of NASA do."""

from __future__ import annotations

import hashlib
import itertools
import re
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.servers.faults import Reply
from tests.servers.range_server import Files, RangeServer, execute

_REFUSED = b"<?xml version='1.0'?><Error><Code>AuthenticationFailed</Code></Error>"
_TOKEN = re.compile(r"token/(\w+)/([\w-]+)")


class TokenServer(RangeServer):
    """Serve the folders of a folder as containers whose files need a token that expires.

    Parameters
    ----------
    folder : Path
        Folder of the containers.
    lifetime : float
        Seconds for which a token is valid.
    """

    def __init__(self, folder: Path, lifetime: float) -> None:
        super().__init__(folder)
        self._lifetime = lifetime

    @property
    def _command(self) -> list[str]:
        return [__name__, "token", str(self.folder), str(self._lifetime)]

    @property
    def host(self) -> str:
        """Host and port of the files."""
        return self.url.removeprefix("http://")

    @property
    def token_url(self) -> str:
        """Address that returns a token."""
        return f"{self.url}/token/{{account}}/{{container}}"

    @property
    def access(self) -> str:
        """Access of a definition, as TOML."""
        return f'{{ kind = "sas", token_url = "{self.token_url}" }}'

    @property
    def tokens(self) -> list[str]:
        """Signatures of all tokens that were given."""
        given: list[str] = self._call("list_tokens")
        return given

    def revoke(self) -> None:
        """Refuse all tokens that were given so far, before they expire."""
        self._call("revoke")

    def count(self, path: str, status: int) -> int:
        """Return the number of requests whose path begins with a text, by status."""
        return sum(one.path.startswith(path) and one.status == status for one in self.requests)


class HeaderServer(RangeServer):
    """Serve files to requests with a header, or redirect such requests to another server.

    Parameters
    ----------
    folder : Path
        Folder of the files.
    authorization : str
        Value of the header.
    target : str
        URL of the server to which requests are redirected; empty for none.
    """

    def __init__(self, folder: Path, authorization: str, target: str = "") -> None:
        super().__init__(folder)
        self._authorization, self._target = authorization, target

    @property
    def _command(self) -> list[str]:
        return [__name__, "header", str(self.folder), self._authorization, self._target]

    @property
    def host(self) -> str:
        """Host and port of the files."""
        return self.url.removeprefix("http://")


class _TokenFiles(Files):
    def __init__(self, folder: Path, lifetime: float) -> None:
        super().__init__(folder)
        self._lifetime = lifetime
        self._given: dict[str, tuple[str, str]] = {}
        """Container and expiry by signature."""
        self._revoked: set[str] = set()
        self._guard = threading.Lock()

    def list_tokens(self) -> list[str]:
        return list(self._given)

    def revoke(self) -> None:
        with self._guard:
            self._revoked |= set(self._given)

    def answer(self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: Any) -> Reply:
        if asked := _TOKEN.fullmatch(path):
            return Reply.json(self._token(asked[2]))
        with self._guard:
            container, expiry = self._given.get(query.get("sig", ""), ("", ""))
            valid = expiry == query.get("se") and query.get("sig") not in self._revoked
        if not valid or container != path.partition("/")[0] or datetime.fromisoformat(expiry) < datetime.now(UTC):
            return Reply(HTTPStatus.FORBIDDEN, _REFUSED, {"Content-Type": "application/xml"})
        return super().answer(method, path, query, headers, body)

    def _token(self, container: str) -> dict[str, str]:
        with self._guard:
            expiry = datetime.fromtimestamp(time.time() + self._lifetime, UTC).isoformat().replace("+00:00", "Z")
            signature = hashlib.sha256(f"{container} {expiry} {len(self._given)}".encode()).hexdigest()
            self._given[signature] = container, expiry
        return {"token": f"sv=2021-06-08&se={expiry}&sr=c&sp=rl&sig={signature}", "msft:expiry": expiry}


class _HeaderFiles(Files):
    def __init__(self, folder: Path, authorization: str, target: str) -> None:
        super().__init__(folder)
        self._authorization, self._target = authorization, target
        self._numbers = itertools.count()

    def answer(self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: Any) -> Reply:
        if headers.get("Authorization") != self._authorization:
            return Reply(HTTPStatus.UNAUTHORIZED, b"no\n", {"Content-Type": "text/plain"})
        if self._target:
            location = f"{self._target}/{path}?A-userid=me&Signature={next(self._numbers)}"
            return Reply(HTTPStatus.SEE_OTHER, b"", {"Location": location})
        return super().answer(method, path, query, headers, body)


def main(kind: str, folder: str, *options: str) -> None:
    """Serve files until the standard input ends."""
    server = _TokenFiles(Path(folder), float(options[0])) if kind == "token" else _HeaderFiles(Path(folder), *options)
    with server:
        execute(server)


if __name__ == "__main__":
    main(*sys.argv[1:])
