"""Chunks without scenes that cannot be read, and refused access."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from ardcube.chunk.skip_scenes import without_bad_scenes
from ardcube.errors import AccessError, SceneError
from ardcube.raster import refusals
from ardcube.raster.refusals import explain_refusal, note_readable


@pytest.fixture(autouse=True)
def _unknown_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_refused", {})


def scene(name: str) -> Any:
    return SimpleNamespace(id=name, problem="", bands={"red": SimpleNamespace(href=f"https://host/{name}.tif")})


def reading(refused: str, gone: str = "") -> Callable[[Sequence[Any]], str]:
    """Return a function that reads one file of each scene, of which some are refused or do not exist."""

    def build(scenes: Sequence[Any]) -> str:
        for each in scenes:
            href, error = each.bands["red"].href, None
            if each.id in refused:
                error = explain_refusal(href, "status code: 403")
            elif each.id in gone:
                error = SceneError(f"{href} cannot be read: it does not exist")
            if error is not None:
                error.scene = each.id
                raise error
            note_readable(href)
        return "".join(each.id for each in scenes)

    return build


def run(refused: str, gone: str = "", *, scenes: str = "abcd", most: int = 10) -> tuple[str, dict[str, str]]:
    return without_bad_scenes(
        reading(refused, gone), [scene(name) for name in scenes], most, last=True, chunk="2023-08_y0000_x0000"
    )


def test_refused_files_of_an_unknown_host_are_no_bad_scenes() -> None:
    for scenes in ("abcd", "ab", "a"):
        with pytest.raises(AccessError, match="HTTP 403"):
            run("abcd", scenes=scenes)
        with pytest.raises(AccessError):
            run("abcd", scenes=scenes, most=0)


def test_a_refused_file_counts_as_missing_if_others_of_its_host_are_read() -> None:
    """Also if it is the first one that a process requests."""
    for refused in ("a", "c"):
        refusals._refused.clear()
        built, skipped = run(refused)
        assert built == "abcd".replace(refused, "")
        assert list(skipped) == [refused]
        assert "HTTP 403" in skipped[refused]


def test_a_refused_file_is_counted_with_the_bad_scenes() -> None:
    built, skipped = run("a", "b", most=2)
    assert (built, list(skipped)) == ("cd", ["b", "a"])
    refusals._refused.clear()
    with pytest.raises(SceneError, match="2 scenes cannot be read, more than skip-bad-scenes 1"):
        run("a", "b", most=1)


def test_without_allowed_bad_scenes_a_refused_file_fails_its_chunk_but_not_the_run() -> None:
    with pytest.raises(SceneError, match="HTTP 403") as caught:
        run("a", most=0)
    assert caught.value.scene == "a"
