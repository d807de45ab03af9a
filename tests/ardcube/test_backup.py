"""A cube that is copied with its ledger, by the commands of docs/operate.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ardcube
from tests.flows.jobs import pixels, records, sample_cube
from tests.servers.processes import ROOT


def commands(heading: str) -> str:
    """Return the first block of commands below a heading of docs/operate.md."""
    section = (ROOT / "docs" / "operate.md").read_text().split(f"\n## {heading}\n", 1)[1]
    found = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


def test_a_copy_of_an_unfinished_cube_and_its_ledger_is_continued_elsewhere(
    sample_archive: Path, tmp_path: Path
) -> None:
    cube = sample_cube(sample_archive, resolution=0.001, chunk_size=20, bands=("red",), end_date="2023-05-31")
    original, restored = tmp_path / "output" / "demo.zarr", tmp_path / "restored" / "demo.zarr"
    ardcube.build(cube, original, limit=5)
    before = records(original)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    shell = ["bash", "-euc", commands("Back up and move a cube")]
    done = subprocess.run(
        shell, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "due      3 of 8 chunks: 3 never built" in done.stdout
    shutil.rmtree(original.parent)
    shutil.rmtree(tmp_path / "backup")
    assert records(restored) == before
    summary = ardcube.build(cube, restored)
    assert (summary.already_done, summary.written + summary.empty) == (5, 3)
    ardcube.build(cube, tmp_path / "whole.zarr")
    assert pixels(restored) == pixels(tmp_path / "whole.zarr")
