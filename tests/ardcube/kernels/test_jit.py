"""The cache of machine code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from ardcube.kernels.jit import _cache_in
from tests.servers.processes import ROOT, environment


@pytest.mark.slow
def test_a_changed_constant_in_another_file_is_compiled_again(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "ardcube", tmp_path / "ardcube", ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "import numpy as np; from ardcube.kernels.layout import HOLE_CELL\n"
        "from ardcube.kernels.interleave import find_holes\n"
        "values = np.ones(64, np.uint16); values[40] = 0; found = np.zeros(64 // HOLE_CELL, bool)\n"
        "find_holes(values, 0, 0, 64, 1, np.uint16(0), found); print(*np.flatnonzero(found) * HOLE_CELL)"
    )

    def hole() -> int:
        env = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
        # Not PYTHONPATH: the checkout's own package must not be found first.
        ran = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        )
        return int(ran.stdout)

    assert hole() == 32
    layout = tmp_path / "ardcube" / "kernels" / "layout.py"
    layout.write_text(layout.read_text().replace("HOLE_CELL = 32", "HOLE_CELL = 8"))
    assert hole() == 40


@pytest.mark.slow
def test_two_processes_that_compile_for_different_types_at_once_do_not_share_a_file(tmp_path: Path) -> None:
    program = (
        "import sys, time, numpy as np\n"
        "from numba.core.caching import IndexDataCacheFile\n"
        "from ardcube.kernels.interleave import find_holes\n"
        "def call(dtype):\n"
        "    values, found = np.ones(64, dtype), np.zeros(2, bool); values[40] = 0\n"
        "    find_holes(values, 0, 0, 64, 1, dtype(0), found); return found.tolist()\n"
        "def slow(self, overloads, save=IndexDataCacheFile._save_index): time.sleep(3); save(self, overloads)\n"
        "if len(sys.argv) > 1: IndexDataCacheFile._save_index = slow\n"
        "for name in sys.argv[1:] or ('uint8', 'uint16'):\n"
        "    print(call(getattr(np, name)), sum(find_holes.stats.cache_hits.values()))"
    )
    env = environment({"NUMBA_CACHE_DIR": str(tmp_path)})
    with ExitStack() as stack:
        both = [
            stack.enter_context(subprocess.Popen([sys.executable, "-c", program, name], cwd=ROOT, env=env))
            for name in ("uint8", "uint16")
        ]
    assert [process.returncode for process in both] == [0, 0]
    again = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert again.stdout == "[False, True] 1\n[False, True] 2\n"


def test_only_the_caches_that_were_used_last_are_kept(tmp_path: Path) -> None:
    for age in range(8):
        folder = tmp_path / f"kernels-{age}"
        folder.mkdir()
        (folder / "code.nbc").write_bytes(b"code")
        os.utime(folder, (1e9 - age, 1e9 - age))
    (tmp_path / "numba's own").mkdir()
    own = _cache_in(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        own.name,
        "kernels-0",
        "kernels-1",
        "kernels-2",
        "numba's own",
    }


def test_a_cache_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _cache_in(tmp_path / "file").parent == tmp_path / "file"
