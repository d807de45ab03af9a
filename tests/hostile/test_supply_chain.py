"""Installed versions equal the pinned ones, and `scripts/audit` reports known vulnerabilities."""

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
    """Return the requirements of a file that apply to this system."""
    found = [Requirement(line) for line in PINS.findall((ROOT / "requirements" / name).read_text())]
    assert found
    return [pin for pin in found if pin.marker is None or pin.marker.evaluate()]


def test_installed_versions_equal_the_pinned_versions() -> None:
    wrong = {pin.name: (str(pin.specifier), importlib.metadata.version(pin.name)) for pin in pins("dev.txt")
             if importlib.metadata.version(pin.name) not in pin.specifier}  # fmt: skip
    assert wrong == {}


def test_the_requirements_of_every_installed_library_are_satisfied() -> None:
    installed = {pin.name for pin in pins("dev.txt")}
    wrong = []
    for name in installed:
        for line in importlib.metadata.requires(name) or []:
            required = Requirement(line)
            if required.marker is not None and not required.marker.evaluate({"extra": ""}):
                continue
            if importlib.metadata.version(required.name) not in required.specifier:
                wrong.append(f"{name} requires {required}")
    assert wrong == []


def test_every_pin_has_complete_hashes() -> None:
    for file in sorted((ROOT / "requirements").glob("*.txt")):
        hashes = re.findall(r"--hash=(\S+)", file.read_text())
        assert len(hashes) >= len(PINS.findall(file.read_text()))
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), file.name


class _Advisories(LoopbackServer):
    """An advisory database with an advisory for one library, or none."""

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
    # The package index of pip-audit is remote and may need a proxy, so only the database bypasses proxies.
    proxies = {name: None for name in os.environ if name.lower().endswith("_proxy")}
    environment = {name: value for name, value in os.environ.items() if name not in proxies}
    environment |= {"OSV_URL": url, "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        [ROOT / "scripts" / "audit"], env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.deep
@pytest.mark.parametrize(("bad", "code"), [("", 0), ("zarr", 1)])
def test_an_audit_reports_the_advisories_of_the_database(bad: str, code: int) -> None:
    with _Advisories() as database:
        database.bad = bad
        done = audit(f"{database.origin}/v1/query")
        requested = {request.body["package"]["name"] for request in database.requests}
    assert done.returncode == code, done.stderr
    assert {pin.name for pin in pins("run.txt")} <= requested
    assert ("MADE-2026-1" in done.stdout) == bool(bad)


@pytest.mark.deep
def test_an_audit_without_a_database_fails_with_one_line() -> None:
    done = audit(f"http://127.0.0.1:{free_port()}/v1/query")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("scripts/audit: no advisory was looked up: ")
