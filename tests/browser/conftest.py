"""A browser, and where its pictures go."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.servers.processes import ROOT

PICTURES = ROOT / "test-output" / "browser"
"""Kept after the tests, for a person to look at."""
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    # Pages of Prefect ask for fonts and news elsewhere.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; where it is absent, tests skip, but never where they must run."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        reason = "no Chromium; install it (Debian, Ubuntu: apt-get install chromium)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


@pytest.fixture
def page(chromium: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An empty page of a browser that remembers nothing; what it showed last is kept, for a test that fails."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=chromium,
            headless=True,
            args=list(_QUIET),
            viewport={"width": 1200, "height": 1000},
        )
        browser.set_default_timeout(60_000)
        try:
            yield browser.pages[0]
        finally:
            browser.pages[0].screenshot(path=PICTURES / f"last-of-{request.node.name}.png")
            browser.close()


@pytest.fixture
def picture(page: Page) -> Callable[[str], Path]:
    """Take a picture of what is seen: `picture("form")`."""

    def take(name: str) -> Path:
        file = PICTURES / f"{name}.png"
        page.screenshot(path=file)
        return file

    return take
