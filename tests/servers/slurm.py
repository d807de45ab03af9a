"""Start a real SLURM of one node: munged, slurmctld and slurmd, with free ports and their files in one folder."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.servers import processes

_CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=regular Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
_PATH = f"{os.environ['PATH']}:/usr/sbin"


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Run SLURM with an idle node; yield the environment of its commands.

    Parameters
    ----------
    folder : Path
        A folder whose path has at most 80 characters, because it gets a socket.
    """
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    key = folder / "key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(1024))
    host = socket.gethostname().partition(".")[0]
    ports = (processes.free_port(), processes.free_port())
    names = {"host": host, "user": getpass.getuser(), "ports": ports, "folder": folder}
    (folder / "slurm.conf").write_text(_CONFIG.format(**names, cpus=os.cpu_count(), memory=_memory()))
    environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _PATH}
    files = {"socket": "munge.sock", "pid-file": "munge.pid", "log-file": "munge.log", "seed-file": "munge.seed"}
    munge = [f"--key-file={key}", *(f"--{option}={folder / name}" for option, name in files.items())]
    commands = {
        "munged": ["munged", "--foreground", "--force", *munge],
        "slurmctld": ["slurmctld", "-D"],
        "slurmd": ["slurmd", "-D"],
    }
    ready = {
        "munged": (folder / files["socket"]).exists,
        "slurmctld": lambda: _answers(["scontrol", "ping"], environment, "is UP"),
        "slurmd": lambda: _answers(["sinfo", "--noheader", "--format=%t"], environment, "idle"),
    }
    with ExitStack() as stack:
        for name, command in commands.items():
            log = folder / f"{name}.out"
            process = stack.enter_context(processes.running(command, log, env=environment))
            processes.wait_until(ready[name], name, seconds=60, process=process, log=log)
        yield environment


def _memory() -> int:
    """Return half of this machine's memory in MiB; a node with less than its configuration is drained."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**21


def _answers(command: list[str], environment: dict[str, str], expected: str) -> bool:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    return expected in done.stdout
