"""What is installed is what is pinned, and `scripts/audit` says what an advisory database knows of it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.servers.faults import LoopbackServer, Reply
from tests.servers.processes import ROOT, free_port

PINS = re.compile(r"^([A-Za-z0-9._-]+(?:\[[^]]*\])?==[^\\\n]+?) *\\?$", re.MULTILINE)


def pins(name: str) -> list[Requirement]:
    """Requirements of a file that this system wants."""
    found = [Requirement(line) for line in PINS.findall((ROOT / "requirements" / name).read_text())]
    assert found
    return [pin for pin in found if pin.marker is None or pin.marker.evaluate()]


def test_what_is_installed_is_what_is_pinned() -> None:
    wrong = {pin.name: (str(pin.specifier), importlib.metadata.version(pin.name)) for pin in pins("dev.txt")
             if importlib.metadata.version(pin.name) not in pin.specifier}  # fmt: skip
    assert wrong == {}


def test_every_installed_library_has_what_it_asks_for() -> None:
    installed = {pin.name for pin in pins("dev.txt")}
    wrong = []
    for name in installed:
        for line in importlib.metadata.requires(name) or []:
            asked = Requirement(line)
            if asked.marker is not None and not asked.marker.evaluate({"extra": ""}):
                continue
            if importlib.metadata.version(asked.name) not in asked.specifier:
                wrong.append(f"{name} asks for {asked}")
    assert wrong == []


def test_hashes_are_whole_and_many() -> None:
    for file in sorted((ROOT / "requirements").glob("*.txt")):
        hashes = re.findall(r"--hash=(\S+)", file.read_text())
        assert len(hashes) >= len(PINS.findall(file.read_text()))
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), file.name


class _Advisories(LoopbackServer):
    """An advisory database that knows of one library, or of none."""

    bad = ""

    def answer(self, _method: str, _path: str, _query: dict[str, str], _headers: Any, body: Any) -> Reply:
        if body["package"]["name"] != self.bad:
            return Reply.json({})
        moment = {"modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z"}
        affected = [{"package": {"name": self.bad, "ecosystem": "PyPI"}, "versions": [body["version"]]}]
        return Reply.json(
            {"vulns": [{"id": "MADE-2026-1", "summary": "made for a test", "affected": affected, **moment}]}
        )


def audit(url: str) -> subprocess.CompletedProcess[str]:
    # The registry that pip-audit comes from is no address of this machine, and may have a proxy.
    proxies = {name: None for name in os.environ if name.lower().endswith("_proxy")}
    environment = {name: value for name, value in os.environ.items() if name not in proxies}
    environment |= {"OSV_URL": url, "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        [ROOT / "scripts" / "audit"], env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.deep
@pytest.mark.parametrize(("bad", "code"), [("", 0), ("zarr", 1)])
def test_an_audit_tells_what_the_database_knows(bad: str, code: int) -> None:
    with _Advisories() as database:
        database.bad = bad
        done = audit(f"{database.origin}/v1/query")
        asked = {request.body["package"]["name"] for request in database.requests}
    assert done.returncode == code, done.stderr
    assert {pin.name for pin in pins("run.txt")} <= asked
    assert ("MADE-2026-1" in done.stdout) == bool(bad)


@pytest.mark.deep
def test_an_audit_that_reaches_nobody_says_so_in_a_line() -> None:
    done = audit(f"http://127.0.0.1:{free_port()}/v1/query")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("scripts/audit: no advisory was looked up: ")
