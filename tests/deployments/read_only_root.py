"""Run a command as in a container of the image, without an engine: read-only root, unknown user, no capability.

Run in separate mount and process namespaces: `python -m tests.deployments.read_only_root REQUEST`, a JSON object.
The whole machine is the image: nothing of it can be written to but a new /tmp and the folders that are bound into it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.processes import ROOT

NOBODY = 4711
"""User id without an entry in the user database."""
_KEPT = {"nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime"}
"""Mount options that a user namespace must not remove."""


def run(
    command: Sequence[str], variables: Mapping[str, str], bound: Mapping[str, Path], seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a command on a read-only root.

    Parameters
    ----------
    command
        Words of it, the first an absolute path.
    variables
        All of its environment.
    bound
        Folders by their place below /tmp; they can be written to where their modes say so.
    seconds
        After which all that it has started is killed.
    """
    request = {"command": [*command], "variables": {**variables}, "bound": {at: str(of) for at, of in bound.items()}}
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    apart = ["unshare", *user, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with tempfile.TemporaryDirectory(prefix="ardcube-root-") as place:
        return subprocess.run(
            [*apart, sys.executable, "-m", __name__, json.dumps({**request, "place": place})],
            cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip


def can_run() -> bool:
    """Return whether this user may create namespaces on this machine; root always may."""
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        return False
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return subprocess.run(["unshare", *user, "--mount", "true"], capture_output=True, check=False).returncode == 0


def _mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def _open_way(root: Path) -> None:
    """Let an unknown user read the interpreter, as all users can in the image."""
    base = Path(sys.base_prefix)
    closed = next((folder for folder in reversed(base.parents) if not folder.stat().st_mode & 0o001), None)
    if closed is None:
        return
    inside = root / closed.relative_to("/")
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", inside)
    place = root / base.relative_to("/")
    place.mkdir(parents=True)
    _mount("--bind", base, place)


def main() -> None:
    """Create the root, then execute the command."""
    request = json.loads(sys.argv[1])
    all_users = Path("/proc/self/uid_map").read_text().split()[2] != "1"  # else there is just one: who runs this
    _mount("--make-rprivate", "/")
    root = Path(request["place"])
    _mount("-t", "tmpfs", "tmpfs", root)
    inner = root / "root"
    inner.mkdir()
    _mount("--rbind", "/", inner)
    if all_users:
        _open_way(inner)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place, options = line.split()[4:6]
        if place.startswith(str(inner)):
            kept = [option for option in options.split(",") if option in _KEPT]
            _mount("-o", ",".join(("remount", "bind", "ro", *kept)), place)
    _mount("-t", "tmpfs", "-o", "mode=1777,nosuid,nodev,noexec", "tmpfs", inner / "tmp")  # as Docker mounts it
    for needed in sorted({ROOT, Path(sys.prefix)}):  # the environment may lie in the repository
        if needed.is_relative_to("/tmp"):  # the mount has just hidden the folder of the program
            (inner / needed.relative_to("/")).mkdir(parents=True, exist_ok=True)
            _mount("--bind", needed, inner / needed.relative_to("/"))
            _mount("-o", "remount,bind,ro", inner / needed.relative_to("/"))
    for at, of in request["bound"].items():
        (inner / "tmp" / at).mkdir()
        _mount("--bind", of, inner / "tmp" / at)
    os.chroot(inner)
    os.chdir("/")
    who = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"] if all_users else []
    without = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    os.execve(shutil.which("setpriv") or "", ["setpriv", *who, *without, *request["command"]], request["variables"])


if __name__ == "__main__":
    main()
