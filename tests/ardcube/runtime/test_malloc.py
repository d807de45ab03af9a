"""Heaps that threads share, and that keep what was freed: looked at in processes of their own."""

from __future__ import annotations

import platform
import subprocess
import sys
from textwrap import dedent

import pytest

from tests.servers.processes import environment

HEAPS = """
    import ctypes
    import sys
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    from ardcube.runtime.malloc import share_arenas

    if sys.argv[1] != "0":
        assert share_arenas(int(sys.argv[1]))
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    together = Barrier(8)

    def arena(_):
        together.wait()
        return libc.malloc(4096) >> 26  # heaps of threads begin at multiples of 64 MiB

    with ThreadPoolExecutor(8) as pool:
        print(len(set(pool.map(arena, range(8)))))
"""


FAULTS = """
    import ctypes
    import resource
    import sys

    import numpy as np

    from ardcube.runtime.malloc import keep_freed

    PR_SET_THP_DISABLE = 41
    assert ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0  # a huge page is one fault for 512 pages
    if sys.argv[1] != "None":
        assert keep_freed(int(sys.argv[1]))

    def blocks():
        for block in [np.empty(2_000_000, np.uint8) for _ in range(int(sys.argv[2]))]:
            block[:] = 1

    blocks()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        blocks()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")


def test_blocks_that_come_and_go_are_not_cleared_each_time() -> None:
    def faults(spare: int | None, blocks: int) -> int:
        return _said(FAULTS, spare, blocks)

    assert faults(None, blocks=12) > 10_000
    assert faults(0, blocks=12) < 1000
    assert faults(0, blocks=20) > 10_000
    assert faults(256_000_000, blocks=20) < 1000


def test_eight_threads_share_one_heap_where_they_would_have_had_eight() -> None:
    def heaps(arenas: int) -> int:
        return _said(HEAPS, arenas)

    assert heaps(1) <= 2
    assert heaps(0) >= 4


def _said(script: str, *arguments: int | None) -> int:
    command = [sys.executable, "-c", dedent(script), *map(str, arguments)]
    return int(subprocess.run(command, env=environment(), check=True, capture_output=True, text=True).stdout)
