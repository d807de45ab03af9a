"""Run nginx in front of files as the archives of NASA do: a header is checked, and requests are redirected."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import processes

_CONFIGURATION = """
daemon off; pid {home}/nginx.pid; error_log {home}/error.log; worker_processes 1; {user}
events {{ worker_connections 128; }}
http {{
    client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
    log_format one '$server_port $status $request_uri [$http_authorization] [$http_referer]';
    access_log {home}/access.log one;
    server {{
        listen 127.0.0.1:{archive};
        if ($http_authorization != "{authorization}") {{ return 401; }}
        location /direct/ {{ alias {root}/; }}
        location /moved/ {{ rewrite ^/moved/(.*)$ http://127.0.0.1:{store}/$1?Signature=s redirect; }}
    }}
    server {{
        listen 127.0.0.1:{store};
        if ($http_authorization != "") {{ return 400; }}  # S3 refuses two kinds of credentials, too
        location / {{ root {root}; }}
    }}
}}
"""
_LINE = re.compile(r"(\d+) (\d+) (\S+) \[(.*)\] \[(.*)\]")


@dataclass(frozen=True, slots=True)
class Logged:
    """A request of the log."""

    port: int
    status: int
    path: str
    authorization: str
    referer: str


@dataclass(frozen=True, slots=True)
class Nginx:
    """A server of an archive, and a store to which it redirects."""

    archive: int
    store: int
    """Ports."""
    home: Path

    def url(self, kind: str) -> str:
        """Return the URL of the files, which are `direct` or `moved` to the store."""
        return f"http://127.0.0.1:{self.archive}/{kind}"

    def requests(self) -> list[Logged]:
        """Return the requests so far."""
        time.sleep(0.05)  # nginx logs a request after its last byte
        lines = [_LINE.fullmatch(line) for line in (self.home / "access.log").read_text().splitlines()]
        return [Logged(int(one[1]), int(one[2]), one[3], one[4], one[5]) for one in lines if one]


def nginx_path() -> str | None:
    """Return the path of nginx, which Debian does not put on the path of ordinary users, or None."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def nginx(root: Path, home: Path, authorization: str) -> Iterator[Nginx]:
    """Serve the files of a folder while the block runs; `home` gets the logs."""
    home.mkdir()
    server = Nginx(processes.free_port(), processes.free_port(), home)
    user = "user root;" if os.geteuid() == 0 else ""  # otherwise its workers cannot read a folder of root
    configuration = _CONFIGURATION.format(
        home=home, root=root, archive=server.archive, store=server.store, authorization=authorization, user=user
    )
    (home / "nginx.conf").write_text(configuration)
    log = home / "nginx.log"
    command = [nginx_path(), "-p", home, "-c", home / "nginx.conf", "-e", home / "error.log"]
    with processes.running(command, log) as process:
        # A server that refuses answers too, and the log of the first test must be empty.
        processes.wait_until((home / "nginx.pid").exists, "nginx", seconds=20, process=process, log=log)
        yield server
