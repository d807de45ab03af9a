"""Fixtures: a browser and its screenshots."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.servers.processes import ROOT

PICTURES = ROOT / "test-output" / "browser"
"""Folder of the screenshots; they are kept after the tests."""
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    # Pages of Prefect request fonts and news from other servers.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of the browser; skip the test if there is none, but fail in CI."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        reason = "no Chromium; install it (Debian, Ubuntu: apt-get install chromium)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


@pytest.fixture
def page(chromium: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Open an empty page with a new profile; save a screenshot of its last state."""
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
    """Return a function that saves a screenshot under a name."""

    def take(name: str) -> Path:
        file = PICTURES / f"{name}.png"
        page.screenshot(path=file)
        return file

    return take
