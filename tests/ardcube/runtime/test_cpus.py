"""The number of CPUs: affinity of the process, and quotas of control groups of both versions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ardcube.runtime import cpus

V2 = "31 23 0:27 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "36 32 0:33 {root} /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:16 - cgroup cgroup rw,cpu,cpuacct\n"


def machine(root: Path, groups: str, mounts: str, files: dict[str, str]) -> Path:
    """Write the files of a machine's control groups below a folder."""
    for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def v1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    """Return the files of one group of version 1."""
    place = f"sys/fs/cgroup/cpu,cpuacct{folder}"
    return {f"{place}/cpu.cfs_quota_us": f"{quota}\n", f"{place}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "expected"),
    [
        # A container with its own namespace: its group looks like the root.
        ("0::/\n", V2.format(root="/"), {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", V2.format(root="/"), {"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ("0::/\n", V2.format(root="/"), {}, None),
        # A service of systemd within a slice: the smaller quota of the two counts.
        (
            "0::/build.slice/ardcube.service\n",
            V2.format(root="/"),
            {
                "sys/fs/cgroup/build.slice/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/build.slice/ardcube.service/cpu.max": "600000 100000\n",
            },
            2.0,
        ),
        # A container of version 1, whose group is known by its path on the machine.
        ("4:cpu,cpuacct:/docker/0a1b\n1:name=systemd:/x\n", V1.format(root="/docker/0a1b"), v1("", 250_000), 2.5),
        ("4:cpu,cpuacct:/docker/0a1b\n", V1.format(root="/"), v1("/docker/0a1b", 50_000, 25_000), 2.0),
        ("4:cpu,cpuacct:/kubepods/x\n", V1.format(root="/kubepods/y"), v1("", 300_000), 3.0),
        ("4:cpu,cpuacct:/\n", V1.format(root="/"), v1("", -1), None),
        # Both versions are mounted; version 1 controls the CPUs.
        (
            "0::/\n4:cpu,cpuacct:/\n",
            V2.format(root="/").replace("cgroup rw", "cgroup/unified rw") + V1.format(root="/"),
            v1("", 400_000),
            4.0,
        ),
        ("0:nonsense\n", V2.format(root="/"), {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, None),
    ],
    ids=[
        "v2-container", "v2-max", "v2-root", "v2-nested", "v1-container", "v1-machine", "v1-elsewhere", "v1-none",
        "hybrid", "malformed",
    ],
)  # fmt: skip
def test_the_smallest_quota_of_a_group_and_those_above_counts(
    tmp_path: Path, groups: str, mounts: str, files: dict[str, str], expected: float | None
) -> None:
    quotas = list(cpus._quotas(machine(tmp_path, groups, mounts, files)))
    assert min([*quotas, float("inf")]) == (expected or float("inf"))


@pytest.mark.parametrize(
    ("affinity", "quotas", "expected"),
    [(8, [1.5, 6.0], 2), (2, [6.0], 2), (4, [], 4), (4, [0.2], 1), (4, [float("inf")], 4)],
)
def test_the_count_is_the_smaller_of_affinity_and_quota_rounded_up(
    monkeypatch: pytest.MonkeyPatch, affinity: int, quotas: list[float], expected: int
) -> None:
    monkeypatch.setattr(cpus, "_affinity", lambda: affinity)
    monkeypatch.setattr(cpus, "_quotas", lambda _: iter(quotas))
    assert cpus.cpu_count.__wrapped__() == expected


def test_a_machine_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert list(cpus._quotas(tmp_path)) == []


def test_a_process_that_is_bound_to_one_cpu_uses_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from ardcube.config import RunConfig; from ardcube.runtime.cpus import cpu_count\n"
        "print(cpu_count(), RunConfig(fsspec_uri='cube').local_threads)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.split() == ["1", "1"]
