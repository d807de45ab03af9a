"""The form of a deployment in a browser: fill in, refusal, correction, run, result."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.deployments.deployed import Deployed
from tests.flows.jobs import SAMPLE, pixels, records
from tests.servers.processes import ROOT, PrefectServer, environment, prefect_worker

# The first test waits for a server with its pages, a worker and a deployment.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STORE = "output/from-the-form.zarr"
REFUSED_STORE = f"{STORE}?token=x"
SOON = 30_000
"""Milliseconds until a page shows its content, even on a busy machine."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The deployment `manual` and its worker."""

    made: Deployed
    id: str
    others: frozenset[str] = frozenset()
    """Ids of earlier runs."""

    @property
    def pages(self) -> str:
        """URL of the pages that Prefect shows by default."""
        return self.made.server.api_url.removesuffix("/api") + "/v2"

    @property
    def store(self) -> Path:
        """Store of the run that the form starts."""
        return self.made.folder / STORE

    def runs(self) -> list[dict[str, Any]]:
        """Return the flow runs of the deployment since the fixture was created."""
        status, runs = self.made.ask("flow_runs/filter", {"deployments": {"id": {"any_": [self.id]}}})
        assert status == 200, runs
        return [run for run in runs if run["id"] not in self.others]

    def finished(self, seconds: float = 240) -> dict[str, Any]:
        """Wait until all runs have ended; return the completed one, or the first.

        There may be two runs, if the button was pressed twice: the second is refused or has nothing to do.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            runs = self.runs()
            ended = [run for run in runs if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")]
            if runs and len(ended) == len(runs):
                return next((run for run in ended if run["state_type"] == "COMPLETED"), ended[0])
            time.sleep(0.2)
        raise AssertionError(f"after {seconds} s the runs are {[run['state_type'] for run in runs]}")


@pytest.fixture(scope="module")
def manual(prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Deploy with `prefect deploy`; the worker sends logs to the server, as by default."""
    folder = tmp_path_factory.mktemp("form")
    shutil.copy(ROOT / "prefect.yaml", folder)
    shutil.copytree(ROOT / "deployments", folder / "deployments")
    env = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_LOGGING_TO_API_ENABLED": "true"}
    with prefect_worker(prefect_server, folder, pool="ardcube", env=env) as worker:
        subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--name", "manual"],
            cwd=folder,
            env=environment(prefect_server.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=240,
            check=True,
        )
        made = Deployed(prefect_server, worker, folder)
        found = Deployment(made, made.all()["manual"]["id"])
        yield replace(found, others=frozenset(run["id"] for run in found.runs()))


def pick_date(page: Page, label: str, day: str) -> None:
    """Open a date picker and enter a date."""
    page.get_by_label(label, exact=True).click()
    page.get_by_label("Date (yyyy-MM-dd)").fill(day)
    page.keyboard.press("Escape")
    expect(page.get_by_label("Date (yyyy-MM-dd)")).to_be_hidden(timeout=SOON)


def choose(page: Page, title: str, *choices: str) -> None:
    """Open a list and toggle choices."""
    page.get_by_label(f"Select {title}", exact=True).click()
    for choice in choices:
        page.get_by_role("option", name=choice, exact=True).click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("option")).to_have_count(0, timeout=SOON)


def fill_in(page: Page, archive: Path) -> None:
    """Request a small cube of the sample archive, with a chunk size and a store that are refused."""
    pick_date(page, "Start date", "2023-05-01")
    pick_date(page, "End date", "2023-05-31")
    page.get_by_role("tab", name="Four edges").click()
    for label, degrees in zip(("West", "South", "East", "North"), SAMPLE["bbox"], strict=True):
        page.get_by_label(f"{label} (degrees)", exact=True).fill(str(degrees))
    field(page, "Resolution (CRS units)").fill(str(SAMPLE["resolution"]))
    field(page, "Chunk size (pixels)").fill("4")
    choose(page, "Bands", "blue")
    choose(page, "Resampling", "nearest")
    field(page, "Catalogue").fill(str(archive))
    page.get_by_label("Store (URI)", exact=True).fill(REFUSED_STORE)
    field(page, "Threads").fill("2")


def field(page: Page, title: str) -> Locator:
    """Return the input of an optional field."""
    return page.get_by_label(f"{title} (Optional)", exact=True)


def press_until_started(page: Page, submit: Locator, seconds: float = 120) -> None:
    """Press the button until a run is started.

    The page validates at each press, and starts nothing while it shows an earlier refusal. The server may answer 503
    if its SQLite file is locked. On a busy machine the page shows the form for half a minute after the run exists.
    """
    requested: list[Request] = []
    page.on("request", lambda request: requested.append(request) if request.url.endswith("/create_flow_run") else None)
    end = time.monotonic() + seconds
    while True:
        known = len(requested)
        with page.expect_response("**/ui/schemas/validate", timeout=SOON):
            submit.click()
        # An earlier refusal may be visible until the request is sent, so it is not checked.
        soon = time.monotonic() + 10
        while len(requested) == known and time.monotonic() < soon:
            page.wait_for_timeout(200)
        if len(requested) > known:
            answer = requested[-1].response()
            assert answer is not None
            if answer.ok:
                break
            assert answer.status == 503, answer.text()
        assert time.monotonic() < end, f"no run was started in {seconds} s"


def test_a_user_fills_in_the_form_corrects_refused_values_and_reads_the_result(
    manual: Deployment, page: Page, picture: Callable[[str], Path], sample_archive: Path
) -> None:
    page.goto(f"{manual.pages}/deployments/deployment/{manual.id}/run")
    expect(page.get_by_role("heading", name="Parameters")).to_be_visible(timeout=60_000)
    fill_in(page, sample_archive)
    page.get_by_label("Start date").scroll_into_view_if_needed()
    picture("1-filled-in")

    submit = page.get_by_role("button", name="Submit")
    submit.click()
    # The browser checks the range of a number itself.
    chunk_size = field(page, "Chunk size (pixels)")
    assert "16" in chunk_size.evaluate("input => input.validationMessage")
    picture("2-refused-by-the-browser")
    chunk_size.fill(str(SAMPLE["chunk_size"]))

    submit.click()
    refusal = page.get_by_text("'an address without credentials, because they would be stored", exact=False)
    expect(refusal.first).to_be_visible(timeout=SOON)
    page.get_by_label("Store (URI)", exact=True).scroll_into_view_if_needed()
    picture("3-refused-by-the-server")
    assert manual.runs() == []

    page.get_by_label("Store (URI)", exact=True).fill(STORE)
    picture("4-corrected")
    press_until_started(page, submit)

    run = manual.finished()
    page.goto(f"{manual.pages}/runs/flow-run/{run['id']}")
    expect(page.get_by_text("Completed").first).to_be_visible(timeout=SOON)
    picture("5-run")
    assert run["state_type"] == "COMPLETED", run["state"]
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_role("link", name="summary").first.click()
    page.locator("a[href*='/artifacts/artifact/']").first.click()
    expect(page.get_by_role("heading", name="0 failed")).to_be_visible(timeout=SOON)
    picture("6-summary")

    built = pixels(manual.store)
    assert built.values.shape[0] == 1
    assert built.values.shape[-1] == len(["red", "green", "nir"])
    assert built.values.any()
    assert {record.status for record in records(manual.store).values()} <= {"written", "empty"}


def test_the_form_offers_choices_and_has_no_password_field(
    manual: Deployment, page: Page, picture: Callable[[str], Path]
) -> None:
    page.goto(f"{manual.pages}/deployments/deployment/{manual.id}/run")
    expect(page.get_by_role("heading", name="Parameters")).to_be_visible(timeout=60_000)
    page.get_by_label("Select Cloud mask", exact=True).click()
    for choice in ("none", "scl"):
        expect(page.get_by_role("option", name=choice, exact=True)).to_be_visible(timeout=SOON)
    page.keyboard.press("Escape")

    block = page.get_by_text("Credentials block (Optional)", exact=True)
    block.scroll_into_view_if_needed()
    picture("7-credentials")
    expect(page.get_by_role("button", name="Add", exact=True)).to_be_visible(timeout=SOON)
    assert page.locator("input[type=password]").count() == 0
