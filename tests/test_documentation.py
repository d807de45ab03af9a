"""What the documentation says of the tests, and its links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RELIABILITY = ROOT / "docs" / "reliability.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_every_test_that_a_promise_rests_on_is_there() -> None:
    text = RELIABILITY.read_text()
    short = dict(re.findall(r"`([A-Z]{2})` is `(tests/[\w/]+\.py)`", text))
    named = re.findall(r"`([A-Z]{2}|tests/[\w/]+\.py)::(test_\w+)`", text)
    assert len(named) > 40
    for place, test in named:
        file = ROOT / short.get(place, place)
        assert re.search(rf"^def {test}\(", file.read_text(), re.MULTILINE), f"{test} is not in {file.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
