"""The image runs as any user, without capabilities, on a read-only root."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deployments import read_only_root
from tests.flows.jobs import SAMPLE, command, pixels
from tests.servers.processes import ROOT

pytestmark = pytest.mark.skipif(not read_only_root.can_run(), reason="this user may not make namespaces")


AREA = (
    "--bbox", *map(str, SAMPLE["bbox"]), "--start-date", "2023-05-01", "--end-date", "2023-05-31",
    "--resolution", "0.0005", "--chunk-size", "96", "--cloud-mask", "scl",
)  # fmt: skip


def variables_of_the_image() -> dict[str, str]:
    """Return the environment of the Dockerfile without PATH."""
    (block,) = re.findall(r"^ENV ((?:.*\\\n)+.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    variables = dict(pair.split("=", 1) for pair in block.replace("\\\n", " ").split())
    return {**variables, "PATH": f"{Path(command()[0]).parent}:/usr/bin:/bin"}


def test_only_tmp_is_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    script = f"""
        for place in / /etc /usr {ROOT} {ROOT}/ardcube /tmp /tmp/output; do
            touch "$place/probe" 2>&- && echo "$place"; done
        grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs):' /proc/self/status"""
    ended = read_only_root.run(["/bin/sh", "-c", script], variables_of_the_image(), {"output": tmp_path}, 60)
    written, status = ended.stdout.split("Uid:")
    assert written.split() == ["/tmp", "/tmp/output"], ended.stderr
    assert re.findall(r"(CapEff|CapBnd|NoNewPrivs):\s+(\S+)", status) == [
        ("CapEff", "0" * 16), ("CapBnd", "0" * 16), ("NoNewPrivs", "1"),
    ]  # fmt: skip


def test_the_command_plans_a_cube_there(sample_archive: Path, tmp_path: Path) -> None:
    asked = command("plan", "--stac-url", "/tmp/archive", *AREA)
    ended = read_only_root.run(asked, variables_of_the_image(), {"archive": sample_archive}, 120)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "chunks" in ended.stdout


@pytest.mark.deep  # the server creates its database, and kernels are compiled
@pytest.mark.timeout(400)
def test_a_cube_is_built_on_a_read_only_root(sample_archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    output.chmod(0o777)
    asked = ["build", "--stac-url", "/tmp/archive", "--fsspec-uri", "/tmp/output/cube", "--threads", "2", *AREA]
    bound = {"archive": sample_archive, "output": output}
    ended = read_only_root.run(command(*asked), variables_of_the_image(), bound, 360)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    assert pixels(output / "cube").count.any()
