"""Allocator settings: their values in the image and in processes; variables of the user have precedence."""

from __future__ import annotations

import re

import pytest

from ardcube.runtime import allocator
from ardcube.runtime.allocator import allocator_environment, configure_process
from tests.servers.processes import ROOT

NAMES = tuple(allocator_environment(1))


@pytest.mark.parametrize(("cores", "arenas"), [(1, "1"), (2, "1"), (4, "1"), (8, "2"), (64, "16")])
def test_four_cores_share_an_arena(cores: int, arenas: str) -> None:
    assert allocator_environment(cores)["MALLOC_ARENA_MAX"] == arenas


def test_the_image_has_the_settings_of_up_to_seven_cores() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert {name: re.findall(rf"\b{name}=(\w+)", text) for name in NAMES} == {
        name: [value] for name, value in allocator_environment(7).items()
    }


def test_the_settings_are_passed_on_to_processes_that_this_one_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"MALLOC_ARENA_MAX": "7"}
    monkeypatch.setattr(allocator.os, "environ", environ)
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    configure_process()
    assert environ == allocator_environment(allocator.cpu_count()) | {"MALLOC_ARENA_MAX": "7"}
