"""A real S3 store on loopback: Ceph with its gateway, in memory. The script that starts it is not part of the project.

Unlike moto it checks signatures, has quotas and expiring keys, and its disk can hang.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import boto3

from tests.servers.processes import ROOT, S3, environment, free_port

SCRIPT = ROOT.parent / "shared" / "tools" / "radosgw.sh"
_NEEDED = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin")


@dataclass(frozen=True, slots=True)
class Radosgw:
    """A running store."""

    endpoint_url: str
    folder: Path
    """Folder of its configuration and process ids."""

    def bucket(self, key: str = "KEY1", secret: str = "SECRET1") -> S3:
        """Create a bucket with a unique name for a user."""
        name = f"cube-{uuid.uuid4().hex[:12]}"
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )
        client.create_bucket(Bucket=name)
        client.close()
        return S3(self.endpoint_url, name, key, secret)

    def admin(self, *arguments: str) -> None:
        """Run a command of `radosgw-admin`."""
        subprocess.run(
            ["radosgw-admin", *arguments],
            env=environment({"CEPH_CONF": str(self.folder / "ceph.conf")}),
            check=True,
            capture_output=True,
            timeout=60,
        )

    @contextmanager
    def disk_hangs(self) -> Iterator[None]:
        """Pause the storage process: the gateway accepts requests and does not answer them."""
        pid = int((self.folder / "osd.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


def missing() -> str | None:
    """Return why the store cannot be started here, or None."""
    if not SCRIPT.is_file():
        return f"no radosgw: {SCRIPT} does not exist"
    absent = [name for name in _NEEDED if shutil.which(name) is None]
    return f"no radosgw: {', '.join(absent)} not installed" if absent else None


@contextmanager
def radosgw(folder: Path) -> Iterator[Radosgw]:
    """Start the store; end its processes when the block ends."""
    port = free_port()
    try:
        with (folder / "start.log").open("wb") as log:
            subprocess.run(
                [SCRIPT, folder / "ceph", str(port)], env=environment(), stdout=log, stderr=log, check=True, timeout=120
            )
        yield Radosgw(f"http://127.0.0.1:{port}", folder / "ceph")
    finally:
        for name in ("rgw", "osd", "mon"):
            with suppress(OSError, ValueError):
                os.kill(int((folder / "ceph" / f"{name}.pid").read_text()), signal.SIGKILL)
