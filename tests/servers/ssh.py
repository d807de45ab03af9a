"""Start a real SSH server whose user is that of the tests."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import processes

_CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
SetEnv {environment}
"""
_EMPTY_FOLDER = Path("/run/sshd")
"""Folder that sshd of root needs; Debian creates it when the service starts."""


@dataclass(frozen=True, slots=True)
class SSHServer:
    """An SSH server of 127.0.0.1, and the key of its user."""

    port: int
    folder: Path

    @property
    def connect_options(self) -> dict[str, Any]:
        """Arguments of `asyncssh.connect` that ask for the key of the host, and use no file of the user."""
        return {
            "port": self.port,
            "username": getpass.getuser(),
            "known_hosts": str(self.folder / "known_hosts"),
            "client_keys": [str(self.folder / "user")],
            "agent_path": None,
            "config": [],
        }


def sshd_path() -> str | None:
    """Return the path of sshd, which Debian does not put on the path of ordinary users, or None."""
    return shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def ssh_server(folder: Path, environment: dict[str, str]) -> Iterator[SSHServer]:
    """Run sshd with its keys and log in `folder`.

    Parameters
    ----------
    folder : Path
        An empty folder.
    environment : dict
        Variables that a login has.
    """
    sshd = sshd_path()
    assert sshd is not None, "sshd is missing; install openssh-server"
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    server = SSHServer(processes.free_port(), folder)
    key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {key}\n")
    variables = " ".join(f"{name}={value}" for name, value in environment.items())
    (folder / "config").write_text(_CONFIG.format(port=server.port, folder=folder, environment=variables))
    if os.getuid() == 0:
        _EMPTY_FOLDER.mkdir(exist_ok=True)
    log = folder / "sshd.log"
    with processes.running([sshd, "-D", "-e", "-f", folder / "config"], log) as process:
        processes.wait_until(lambda: _answers(server.port), "sshd", seconds=30, process=process, log=log)
        yield server


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
