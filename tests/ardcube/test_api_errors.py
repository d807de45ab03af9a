"""Errors of the Python API name keyword arguments, not options of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import ardcube
from ardcube.api.python_names import in_python
from tests.flows.jobs import sample_cube


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("replace the file, or add --skip-bad-scenes 2; run again",
         "replace the file, or add skip_bad_scenes=2; run again"),
        ("confirm with --yes, or add --overwrite", "confirm with yes=True, or add overwrite=True"),
        ("fsspec-uri /a/b.zarr is empty; drop --no-initialize", "uri /a/b.zarr is empty; drop initialize=False"),
        ("12 chunks, more than max-chunks 5; set memory-limit", "12 chunks, more than max_chunks 5; set memory_limit"),
        ("add --allow-asset-roots /data", "add allow_asset_roots /data"),
        ("/data/max-chunks/fsspec-uri.zarr is damaged", "/data/max-chunks/fsspec-uri.zarr is damaged"),
        ("ardcube status --chunks lists them", "ardcube status --chunks lists them"),
    ],
)  # fmt: skip
def test_options_are_named_as_keyword_arguments(message: str, named: str) -> None:
    assert in_python(message) == named


def test_a_refused_call_names_its_own_arguments(sample_archive: Path, tmp_path: Path) -> None:
    cube = sample_cube(sample_archive)
    with pytest.raises(ardcube.InputError, match=r"more than max_chunks 5; .* or confirm with yes=True$"):
        ardcube.build(cube, tmp_path / "cube.zarr", max_chunks=5)
    (tmp_path / "cube.zarr").mkdir()
    (tmp_path / "cube.zarr" / "mine").touch()
    with pytest.raises(ardcube.InputError, match=rf"^uri {tmp_path}/cube.zarr holds something"):
        ardcube.build(cube, tmp_path / "cube.zarr")
