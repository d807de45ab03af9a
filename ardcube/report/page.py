"""The page of a run in Markdown: request, outcome, cost, how to open the cube, and what to do next."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ardcube.extent.window import Window
from ardcube.report.causes import Cause
from ardcube.report.cost_rows import run_rows
from ardcube.report.map_frame import MapPosition
from ardcube.report.render import Markdown, render_markdown
from ardcube.report.snapshot import CubeSnapshot
from ardcube.report.state_map import count_states, draw_states
from ardcube.report.statistics import Tally
from ardcube.report.summary import BuildSummary
from ardcube.report.wording import count_of
from ardcube.storage.place import Place, cube_name

if TYPE_CHECKING:
    from ardcube.report.preview import Preview  # zarr is slow to import

MOST_ROWS = 100
"""Rows of a table or a list on a page."""


def ended_page(
    snapshot: CubeSnapshot, summary: BuildSummary, tally: Tally, price: float | None, preview: Preview | None
) -> str:
    """Return the page of a run that has ended.

    Parameters
    ----------
    snapshot : CubeSnapshot
        The cube at the end of the run.
    summary : BuildSummary
        Counts of the run.
    tally : Tally
        Seconds, bytes and attempts of its chunks.
    price : float or None
        Price of a core-hour; None if it is not known.
    preview : Preview or None
        Pictures of the newest periods.
    """
    seconds = sum(tally.stages.values())
    stages = sorted(tally.stages.items(), key=lambda entry: -entry[1]) if seconds > 0 else []
    return render_markdown(
        "ended.md.j2",
        **_values(snapshot, preview),
        **_retry(snapshot.place, snapshot.options, missing=bool(summary.left)),
        summary=summary,
        tally=tally,
        incomplete=bool(summary.failed or summary.left),
        shares=[(name.replace("_", " "), taken / seconds) for name, taken in stages],
        price=price,
        cost_rows=[] if summary.cost is None else run_rows(summary.cost),
        has_levels=snapshot.cube.config.layout != "flat",
        by_xarray=snapshot.cube.storage_backend == "fsspec",
        options=snapshot.options,
        report=summary.report,
        report_link=summary.report and _file_link(summary.report),
        report_command=f"ardcube report {_address(snapshot.place)} --output report.html",
    )


def stopped_page(snapshot: CubeSnapshot, ending: str, reason: str = "") -> str:
    """Return the page of a run that ended before it had built all chunks.

    Parameters
    ----------
    snapshot : CubeSnapshot
        The cube after the run.
    ending : str
        The last state of the run: Cancelled, Crashed, Stopped.
    reason : str
        Message of the error that stopped the run.
    """
    return render_markdown(
        "stopped.md.j2",
        **_values(snapshot, None),
        **_retry(snapshot.place, snapshot.options, missing=True),
        ending=ending.lower(),
        reason=reason,
        counts=count_states(snapshot.states),
        incomplete=True,
    )


def about_summary(summary: BuildSummary) -> str:
    """Return the outcome of a run and the content of its page in one line, the outcome first."""
    counts = (
        (summary.failed, "failed"),
        (summary.written, "written"),
        (summary.empty, "empty"),
        (summary.left, "left"),
    )
    named = ", ".join(f"{count:,} {name}" for count, name in counts if count) or "nothing to build"
    state = "Incomplete" if summary.failed or summary.left else "Complete"
    return f"{state}: {named}. Summary of the run: request, cost, maps, and the code that opens the cube."


def about_stopped(snapshot: CubeSnapshot, ending: str) -> str:
    """Return the state of a cube and the content of the page of its stopped run in one line."""
    named = ", ".join(f"{count:,} {name}" for name, count in count_states(snapshot.states).items())
    return f"{ending}: {named}. Summary of the cube: request, map, and how to continue."


def about_problems(summary: BuildSummary, tally: Tally) -> str:
    """Return what the page of failures has in one line."""
    if summary.causes:
        return f"{count_of(summary.failed, 'chunk')} failed: causes, and what to do."
    return f"{count_of(tally.retried, 'chunk')} took more than one attempt: causes."


def problem_page(place: Place, options: dict[str, Any], summary: BuildSummary, tally: Tally) -> str | None:
    """Return the page of failures: causes of failed chunks and what to do, then errors that a further attempt avoided.

    Parameters
    ----------
    place, options : Place, dict
        Location of the store, and options of its filesystem.
    summary : BuildSummary
        Counts of the run.
    tally : Tally
        Attempts of its chunks.

    Returns
    -------
    str or None
        None if no chunk failed or took more than one attempt.
    """
    recovered = tally.recovered.causes()
    if not (summary.causes or recovered):
        return None
    return render_markdown(
        "problems.md.j2",
        **_retry(place, options, missing=False),
        **_causes(summary.causes),
        name=cube_name(place.path),
        summary=summary,
        recovered=recovered,
        recovered_chunks=sum(cause.chunks for cause in recovered),
    )


def _values(snapshot: CubeSnapshot, preview: Preview | None) -> dict[str, Any]:
    """Return what every page shows of a cube."""
    cube, place = snapshot.cube, snapshot.place
    position = MapPosition.of(cube.grid, Window(0, cube.grid.height, 0, cube.grid.width))
    return {
        "name": cube_name(place.path),
        "config": cube.config,
        "grid": cube.grid,
        "periods": cube.periods,
        "link": _link(place, snapshot.options),
        "map": draw_states([period.label for period in cube.periods], snapshot.states, position.pixel_width),
        "preview": preview,
        **_causes(snapshot.causes),
    }


def _causes(causes: Sequence[Cause]) -> dict[str, Any]:
    """Return what the templates of causes and of remedies show."""
    remedies = dict.fromkeys(cause.remedy for cause in causes[:MOST_ROWS] if cause.remedy)
    return {"causes": causes, "most_rows": MOST_ROWS, "remedies": list(remedies)}


def _retry(place: Place, options: dict[str, Any], *, missing: bool) -> dict[str, Any]:
    """Return what the template of a retry shows."""
    given = "".join(f" --storage-option {name}={_option(value)}" for name, value in options.items())
    command = f"ardcube retry {_address(place)}{given}{' --missing' if missing else ''}"
    return {"address": _address(place), "retry_command": command, "missing": missing}


def _option(value: Any) -> str:
    """Return the value of an option in the form of the command line."""
    return value if isinstance(value, str) else f"'{json.dumps(value)}'"


def _address(place: Place) -> str:
    return place.path if place.is_local else place.uri


def _file_link(address: str) -> Markdown | None:
    """Return the address of a file if a browser can open it."""
    return Markdown(quote(address, safe=":/?&=%@,;+$~")) if address.startswith(("http://", "https://")) else None


def _link(place: Place, options: dict[str, Any]) -> Markdown | None:
    """Return an address of the store that a browser can open: its own, or the console of its provider."""
    address = _address(place)
    scheme, _, path = address.partition("://")
    bucket, _, key = quote(path).partition("/")
    if scheme in ("http", "https"):
        return Markdown(quote(address, safe=":/?&=%@,;+$~"))
    if scheme == "s3" and not (options.get("endpoint_url") or os.environ.get("AWS_ENDPOINT_URL")):
        return Markdown(f"https://s3.console.aws.amazon.com/s3/buckets/{bucket}?prefix={key}/")
    if scheme in ("gs", "gcs"):
        return Markdown(f"https://console.cloud.google.com/storage/browser/{bucket}/{key}")
    return None
