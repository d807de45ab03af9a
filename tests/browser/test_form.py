"""The form of a deployment as a person sees it: filled in, refused, corrected, run, and its result read."""

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

# The first of these tests waits for a server with its pages, a worker and a deployment.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STORE = "output/from-the-form.zarr"
SOON = 30_000
"""Milliseconds in which a page shows what it knows, also on a busy machine."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The deployment `manual`, with a worker that runs it."""

    made: Deployed
    id: str
    others: frozenset[str] = frozenset()
    """Runs from before."""

    @property
    def pages(self) -> str:
        """Address of the pages that a browser without a preference is sent to."""
        return self.made.server.api_url.removesuffix("/api") + "/v2"

    @property
    def store(self) -> Path:
        """Where the run that the form asks for writes."""
        return self.made.folder / STORE

    def runs(self) -> list[dict[str, Any]]:
        """Its flow runs, but for those of other tests."""
        status, runs = self.made.ask("flow_runs/filter", {"deployments": {"id": {"any_": [self.id]}}})
        assert status == 200, runs
        return [run for run in runs if run["id"] not in self.others]

    def finished(self, seconds: float = 240) -> dict[str, Any]:
        """The run that completed, or the first one, when all have ended: the button may have been pressed twice.

        Of two runs on one store, one is refused, or finds that nothing is left to do.
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
    """Deployed as a person does it; the worker sends the logs of its runs to the server, as it does by default."""
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
    """Open a date picker and write a date."""
    page.get_by_label(label, exact=True).click()
    page.get_by_label("Date (yyyy-MM-dd)").fill(day)
    page.keyboard.press("Escape")
    expect(page.get_by_label("Date (yyyy-MM-dd)")).to_be_hidden(timeout=SOON)


def choose(page: Page, title: str, *choices: str) -> None:
    """Open a list and click choices; one that is chosen already is taken back."""
    page.get_by_label(f"Select {title}", exact=True).click()
    for choice in choices:
        page.get_by_role("option", name=choice, exact=True).click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("option")).to_have_count(0, timeout=SOON)


def fill_in(page: Page, archive: Path) -> None:
    """Ask for a small cube of the sample archive, but end before the start."""
    pick_date(page, "Start date", "2023-05-01")
    pick_date(page, "End date", "2023-03-01")
    page.get_by_role("tab", name="Four edges").click()
    for label, degrees in zip(("West", "South", "East", "North"), SAMPLE["bbox"], strict=True):
        page.get_by_label(f"{label} (degrees)", exact=True).fill(str(degrees))
    field(page, "Resolution (degrees)").fill(str(SAMPLE["resolution"]))
    field(page, "Chunk size (pixels)").fill("4")
    choose(page, "Bands", "blue")
    choose(page, "Resampling", "nearest")
    field(page, "Catalogue").fill(str(archive))
    page.get_by_label("Store (URI)", exact=True).fill(STORE)
    field(page, "Threads").fill("2")


def field(page: Page, title: str) -> Locator:
    """The input of a field that may be left out."""
    return page.get_by_label(f"{title} (Optional)", exact=True)


def press_until_started(page: Page, submit: Locator, seconds: float = 120) -> None:
    """Press the button until a run is started.

    At each press the page asks anew whether all is right, and starts nothing while it still shows a refusal from
    before; and the server's SQLite file may be locked (503). Which page comes next is Prefect's affair: on a busy
    machine the form was still shown half a minute after its run had been made.
    """
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if request.url.endswith("/create_flow_run") else None)
    end = time.monotonic() + seconds
    while True:
        known = len(asked)
        with page.expect_response("**/ui/schemas/validate", timeout=SOON):
            submit.click()
        # A refusal from before may be shown until the request goes out, so that it says nothing.
        soon = time.monotonic() + 10
        while len(asked) == known and time.monotonic() < soon:
            page.wait_for_timeout(200)
        if len(asked) > known:
            answer = asked[-1].response()
            assert answer is not None
            if answer.ok:
                break
            assert answer.status == 503, answer.text()
        assert time.monotonic() < end, f"no run was started in {seconds} s"


def test_a_person_fills_in_the_form_is_refused_corrects_it_and_reads_the_result(
    manual: Deployment, page: Page, picture: Callable[[str], Path], sample_archive: Path
) -> None:
    page.goto(f"{manual.pages}/deployments/deployment/{manual.id}/run")
    expect(page.get_by_role("heading", name="Parameters")).to_be_visible(timeout=60_000)
    fill_in(page, sample_archive)
    page.get_by_label("Start date").scroll_into_view_if_needed()
    picture("1-filled-in")

    submit = page.get_by_role("button", name="Submit")
    submit.click()
    # The browser knows the bounds of a number, and does not even ask the server.
    chunk_size = field(page, "Chunk size (pixels)")
    assert "16" in chunk_size.evaluate("input => input.validationMessage")
    picture("2-refused-by-the-browser")
    chunk_size.fill(str(SAMPLE["chunk_size"]))

    submit.click()
    refusal = page.get_by_text("'the month of start_date or a later one; swap them' was expected")
    expect(refusal.first).to_be_visible(timeout=SOON)
    page.get_by_label("End date", exact=True).scroll_into_view_if_needed()
    picture("3-refused-by-the-server")
    assert manual.runs() == []

    pick_date(page, "End date", "2023-05-31")
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


def test_the_form_offers_choices_and_never_asks_for_a_secret(
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
