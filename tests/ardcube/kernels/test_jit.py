"""The cache of machine code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ardcube.kernels.jit import _cache_in
from tests.servers.processes import ROOT


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
