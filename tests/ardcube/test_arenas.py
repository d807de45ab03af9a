"""Threads that share heaps: looked at in a process of its own, where nothing else has one."""

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

    from ardcube.arenas import share_arenas

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_eight_threads_share_one_heap_where_they_would_have_had_eight() -> None:
    def heaps(arenas: int) -> int:
        command = [sys.executable, "-c", dedent(HEAPS), str(arenas)]
        return int(subprocess.run(command, env=environment(), check=True, capture_output=True, text=True).stdout)

    assert heaps(1) <= 2
    assert heaps(0) >= 4
