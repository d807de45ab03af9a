"""Hosts in network namespaces of this machine: a head, and others with separate disks, each on a cable."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_NETWORK = "10.77.0"


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace whose only cable ends at the head."""

    namespace: str
    address: str
    plug: str
    """Device of the head at which the cable ends; empty for the head itself."""

    def command(self, command: Sequence[object], disk: Path | None = None) -> list[str]:
        """Return the command that runs another one on this host, whose disk is mounted at the empty folder `disk`."""
        inside = ["ip", "netns", "exec", self.namespace]
        if disk is not None:
            inside += ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(disk)]
        return [*inside, *map(str, command)]

    def cut(self, head: Host) -> None:
        """Cut the cable: packets are lost without an error at either end."""
        _ip("-n", head.namespace, "link", "set", self.plug, "down")

    def repair(self, head: Host) -> None:
        """Repair the cable."""
        _ip("-n", head.namespace, "link", "set", self.plug, "up")


def reason_without_hosts() -> str:
    """Return why this machine cannot have such hosts; empty if it can."""
    if os.getuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "unshare", "mount") if shutil.which(name) is None]
    return f"{', '.join(missing)} is missing" if missing else ""


@contextmanager
def hosts(count: int) -> Iterator[tuple[Host, list[Host]]]:
    """Yield the head and `count` other hosts; remove them when the block ends."""
    mark = uuid.uuid4().hex[:6]
    head = Host(f"cube-{mark}", f"{_NETWORK}.1", "")
    others = [Host(f"cube-{mark}-{n}", f"{_NETWORK}.{n + 1}", f"plug{n}") for n in range(1, count + 1)]
    with ExitStack() as stack:
        for host in (head, *others):
            _ip("netns", "add", host.namespace)
            stack.callback(_ip, "netns", "delete", host.namespace)
            _ip("-n", host.namespace, "link", "set", "lo", "up")
        _ip("-n", head.namespace, "link", "add", "bridge", "type", "bridge")
        _ip("-n", head.namespace, "address", "add", f"{head.address}/24", "dev", "bridge")
        _ip("-n", head.namespace, "link", "set", "bridge", "up")
        for host in others:
            ends = ("netns", head.namespace, "type", "veth", "peer", "name", "cable", "netns", host.namespace)
            _ip("link", "add", host.plug, *ends)
            _ip("-n", head.namespace, "link", "set", host.plug, "master", "bridge", "up")
            _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "cable")
            _ip("-n", host.namespace, "link", "set", "cable", "up")
        yield head, others


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
