"""The number of CPUs that this process may use: affinity and the quotas of control groups (cgroups).

A container or a service of systemd with a quota of two CPUs sees all CPUs of its machine. As many threads as that would
be throttled most of the time, and each of them needs memory.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath


@cache
def cpu_count() -> int:
    """Return the number of CPUs that this process may use, at least 1; counted once per process."""
    return max(1, math.ceil(min([_affinity(), *_quotas(Path("/"))])))


def _affinity() -> int:
    """Return the number of CPUs that the process is scheduled on (taskset, cpusets)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas in CPUs of the process's control groups and of all groups above them.

    Parameters
    ----------
    root : Path
        Folder of `proc` and of the mounted groups: `/`, except in tests.

    References
    ----------
    `cpu.max` of cgroup v2 and `cpu.cfs_quota_us` of v1: Linux kernel, Documentation/admin-guide/cgroup-v2.rst and
    Documentation/scheduler/sched-bwc.rst. Formats: proc(5), cgroups(7).
    """
    with suppress(OSError, ValueError):  # no Linux, or no control groups
        groups = dict(_groups(root / "proc/self/cgroup"))
        for kind, mounted, at in _mounts(root / "proc/self/mountinfo"):
            if kind not in groups:
                continue
            # In a container the mount shows the container's own group, whose path may be known to its machine only.
            group = PurePosixPath(groups[kind])
            inside = group.relative_to(mounted) if group.is_relative_to(mounted) else PurePosixPath()
            folder = root / at.lstrip("/") / inside
            for level in (folder, *folder.parents[: len(inside.parts)]):
                with suppress(OSError, ValueError, ZeroDivisionError):  # the root group has no quota
                    yield _read_quota(level, kind)


def _groups(file: Path) -> Iterator[tuple[str, str]]:
    """Yield version (`v1`, `v2`) and path of the groups that limit the CPUs of the process."""
    for line in file.read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield "v2", group
        elif "cpu" in controllers.split(","):
            yield "v1", group


def _mounts(file: Path) -> Iterator[tuple[str, str, str]]:
    """Yield version, root and mount point of each mounted hierarchy that limits CPUs."""
    for line in file.read_text().splitlines():
        before, _, after = line.partition(" - ")
        filesystem, *_, options = after.split()
        root, point = before.split()[3:5]
        if filesystem == "cgroup2":
            yield "v2", root, point
        elif filesystem == "cgroup" and "cpu" in options.split(","):
            yield "v1", root, point


def _read_quota(group: Path, version: str) -> float:
    """Return the quota of one group in CPUs; infinite without a quota."""
    if version == "v2":
        quota, period = (group / "cpu.max").read_text().split()
    else:
        quota, period = ((group / name).read_text().strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
    return math.inf if quota in ("max", "-1") else int(quota) / int(period)
