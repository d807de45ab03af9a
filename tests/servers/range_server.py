"""Serve files over HTTP with byte ranges from a child process, as object stores do.

A thread of the test process would block: rasterio holds the interpreter lock while GDAL requests sidecar files over
the network.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from tests.servers import processes
from tests.servers.faults import Fault, LoopbackServer, Reply, Request

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class RangeServer:
    """Serve the files of a folder while its context is active; `url` is the folder, without a final slash.

    Folders are not listed (404), as on S3. A request for several ranges gets the whole file, as RFC 9110 permits.
    """

    _served: ClassVar[set[str]] = set()
    """URLs that this process has used. GDAL caches files by URL, and the kernel may reuse a port."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.url: str = self._start()
        while self.url in self._served:
            self._stop()
            self.url = self._start()
        self._served.add(self.url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> str:
        """Start the child process; return its URL."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=processes.environment(),
            cwd=processes.ROOT,
            text=True,
        )
        url: str = self._call("url")
        return url

    def _stop(self) -> None:
        # The child ends when its standard input is closed, so it also ends if this process is killed.
        processes.close_and_wait(self._process)

    @property
    def _command(self) -> list[str]:
        """Module and arguments of the child process."""
        return [__name__, str(self.folder)]

    @property
    def requests(self) -> list[Request]:
        """Requests since the start or the last `reset`, in the order of the responses."""
        return [Request(**request) for request in self._call("requests")]

    def reset(self) -> None:
        """Clear the list of requests. Faults and their counts remain; `heal` removes them."""
        self._call("reset")

    def fail(self, path: str = "*", **rule: Any) -> FileFault:
        """Let requests fail from now on, with the parameters of `LoopbackServer.fail`."""
        return FileFault(self, self._call("fail", path=path, **rule))

    def heal(self) -> None:
        """Remove every fault."""
        self._call("heal")

    def _call(self, name: str, **arguments: Any) -> Any:
        """Call the child process, with one line of JSON in each direction."""
        asking, answering = self._process.stdin, self._process.stdout
        assert asking is not None
        assert answering is not None
        with self._lock:
            asking.write(json.dumps([name, arguments]) + "\n")
            asking.flush()
            line = answering.readline()
        if not line:
            raise RuntimeError(f"range server of {self.folder}: its process has ended")
        return json.loads(line)


@dataclass(frozen=True, slots=True)
class FileFault:
    """A fault of a RangeServer."""

    server: RangeServer
    number: int

    @property
    def fired(self) -> int:
        """Number of requests that the fault has struck."""
        count: int = self.server._call("fired", number=self.number)
        return count


class Files(LoopbackServer):
    """The server in the child process."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder.resolve()

    def answer(self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: Any) -> Reply:
        """Answer GET and HEAD of a file."""
        if method == "POST":
            return Reply(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"})
        file = (self.folder / path).resolve()
        if not file.is_relative_to(self.folder) or not file.is_file():
            return Reply(HTTPStatus.NOT_FOUND, b"not found\n", {"Content-Type": "text/plain"})
        stat = file.stat()
        size = stat.st_size
        common = {
            "Accept-Ranges": "bytes",
            "Content-Type": "image/tiff" if file.suffix == ".tif" else "application/octet-stream",
            "ETag": f'"{stat.st_mtime_ns:x}-{size:x}"',
        }
        requested = _RANGE.fullmatch(headers.get("Range") or "")
        if requested is None or requested.groups() == ("", ""):
            return Reply(HTTPStatus.OK, file.read_bytes(), common)
        first, last = _span(*requested.groups(), size=size)
        if first >= size or last < first:
            return Reply(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                b"",
                {**common, "Content-Range": f"bytes */{size}"},
            )
        with file.open("rb") as stream:
            stream.seek(first)
            content = stream.read(last - first + 1)
        return Reply(HTTPStatus.PARTIAL_CONTENT, content, {**common, "Content-Range": f"bytes {first}-{last}/{size}"})


def _span(first: str, last: str, *, size: int) -> tuple[int, int]:
    """Return the first and last byte of a range; `-500` means the last 500 bytes."""
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


def execute(server: Files) -> None:
    """Execute the commands of the standard input, one per line, until it ends."""
    faults: list[Fault] = []
    for line in sys.stdin:
        name, arguments = json.loads(line)
        answer: Any = None
        match name:
            case "url":
                answer = server.origin
            case "requests":
                answer = [asdict(request) for request in server.requests]
            case "fail":
                answer = len(faults)
                faults.append(server.fail(**arguments))
            case "fired":
                answer = faults[arguments["number"]].fired
            case "reset":
                server.reset()
            case "heal":
                server.heal()
            case _:
                answer = getattr(server, name)(**arguments)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    with Files(Path(sys.argv[1])) as files:
        execute(files)
