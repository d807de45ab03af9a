"""The steps of `docs/collections.md`, tried literally."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from ardcube.collections.condition import Condition, Source
from ardcube.collections.model import Definition
from ardcube.collections.parts import Access, Acquisition, Band, Catalogue, Encoding, Form, OffsetRule

PAGE = (Path(__file__).parents[3] / "docs" / "collections.md").read_text()


def test_a_definition_is_written_step_by_step(tmp_path: Path) -> None:
    blocks = re.findall(r"^```(sh|sh refused|toml|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    printed = []
    for kind, text in blocks:
        if kind == "toml":
            (tmp_path / "alpine.toml").write_text(text)
            continue
        command = [sys.executable, "-c", text] if kind == "python" else ["sh", "-ec", text]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == (2 if kind == "sh refused" else 0), done.stderr
        printed.append(done.stdout + done.stderr)
    item, refused, listed, planned, tested = printed
    assert '"alpine:baseline"' in item
    assert "band RE states no scale and offset" in refused
    assert len(refused.splitlines()) == 1
    assert "alpine-s2: Sentinel-2 Level-2A of the Alpine archive" in listed
    assert re.search(r"definition +alpine-s2 *\n", planned)
    assert "expects" not in planned
    assert tested == ""


def test_the_page_describes_every_field() -> None:
    for model in (Definition, Catalogue, Access, Form, Condition, Encoding, OffsetRule, Band, Acquisition, Source):
        for field in model.model_fields:
            assert f"`{field}`" in PAGE or f"{field}`" in PAGE or f"[{field}]" in PAGE or f"`{field} =" in PAGE, field
