"""What a run did, as a page of Markdown: what was asked, what came of it, what it took, how to open it, what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ardcube.ledger.stored_cube import StoredCube
from ardcube.redaction import without_secrets
from ardcube.report.state_map import count_states, draw_states
from ardcube.report.statistics import Tally
from ardcube.report.summary import BuildSummary
from ardcube.report.svg import as_markdown
from ardcube.storage.place import Place, cube_name

MOST_ROWS = 100
"""Rows of a table on a page: of a hundred thousand chunks that failed, one wants to know why, not which."""
_MOST_LETTERS = 300
"""Of an error in a table."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What work costs, if somebody said so."""

    price_per_core_hour: float | None = None

    def of(self, core_hours: float) -> str:
        """For a person; without a price none is made up."""
        if self.price_per_core_hour is None:
            return f"{core_hours:.3g} core-hours; set `price_per_core_hour` to see what they cost"
        return (
            f"about {core_hours * self.price_per_core_hour:.3g}: {core_hours:.3g} core-hours "
            f"of {self.price_per_core_hour:g} each"
        )


def ended_page(
    place: Place,
    options: dict[str, Any],
    cube: StoredCube,
    states: NDArray[np.uint8],
    summary: BuildSummary,
    tally: Tally,
    cost: Cost,
    preview: str | None,
) -> str:
    """Tell of a run that came to its end.

    Parameters
    ----------
    place : Place
        Of the store.
    options : dict
        Of its filesystem.
    cube : StoredCube
        What was asked for.
    states : uint8 (period, row, col)
        Of `ardcube.report.state_map`, at the end.
    summary : BuildSummary
        Of the run.
    tally : Tally
        What its chunks took.
    cost : Cost
        Of its work.
    preview : str or None
        SVG of `ardcube.report.preview`.
    """
    told = "complete" if not (summary.failed or summary.left) else "**incomplete**"
    lines = [
        f"# {cube_name(place.path)}: {summary.written} written, {summary.empty} empty, {summary.failed} failed",
        f"The cube is {told}: {summary.chunks} chunks, of which {summary.already_done} were done before"
        + (f" and {summary.left} are left for another run" if summary.left else "")
        + "."
        + (f" {tally.retried} chunks of this run took more than one attempt." if tally.retried else ""),
        *_asked(place, options, cube),
        "| This run | |",
        "|---|---|",
        f"| Scenes | {summary.scenes} |",
        *([f"| Scenes left out | {len(summary.left_out)}, see below |"] if summary.left_out else []),
        f"| Time | {_duration(summary.seconds)} |",
        f"| Throughput | {summary.megapixels_per_second:.3g} Mpx/s: {summary.megapixels:.3g} Mpx, bands not counted |",
        f"| Bytes | {_bytes(tally.byte_counts['read'])} decoded, {_bytes(tally.byte_counts['written'])} of pixels |",
        f"| Work | {tally.core_hours:.3g} core-hours in {tally.attempts} attempts; {_shares(tally)} |",
        f"| Estimated cost | {cost.of(tally.core_hours)} |",
        "",
        *_opening(place, options),
    ]
    lines += _left_out(summary)
    if summary.failed or summary.left:
        lines += _what_to_do(place, options, missing=bool(summary.left))
    lines += ["## Chunks by period", "", as_markdown(draw_states(_labels(cube), states), "map of chunk states"), ""]
    if preview is not None:
        lines += ["## A first look", "", as_markdown(preview, "true colours, thinned out"), ""]
    return "\n".join(lines)


def stopped_page(
    place: Place, options: dict[str, Any], cube: StoredCube, states: NDArray[np.uint8], ending: str
) -> str:
    """Tell what stands of a cube whose run was stopped; its own process cannot do so any more.

    Parameters
    ----------
    place, options, cube, states
        As for `ended_page`.
    ending : str
        How the run ended: Cancelled, Crashed.
    """
    counts = ", ".join(f"{count} {name}" for name, count in count_states(states).items())
    return "\n".join(
        [
            f"# {cube_name(place.path)}: {ending.lower()}",
            f"What was built stays, and no chunk is half written: {counts}.",
            *_asked(place, options, cube),
            *_what_to_do(place, options, missing=True),
            "## Chunks by period",
            "",
            as_markdown(draw_states(_labels(cube), states), "map of chunk states"),
            "",
        ]
    )


def trouble_rows(summary: BuildSummary, tally: Tally) -> list[dict[str, Any]]:
    """Chunks that failed, then those that needed more than one attempt: as many of each as a page bears."""
    failed = [
        {"chunk": row.chunk, "state": "failed", "attempts": row.attempts, "reason": _short(row.error)}
        for row in summary.failures[:MOST_ROWS]
    ]
    mended = [
        {"chunk": row.chunk, "state": "built at last", "attempts": row.attempts, "reason": _short(row.error)}
        for row in tally.recovered[:MOST_ROWS]
    ]
    return failed + mended


def trouble_note(place: Place, options: dict[str, Any], summary: BuildSummary, tally: Tally) -> str:
    """What a table of `trouble_rows` leaves out, and what to do about those that failed."""
    built = tally.retried - sum(row.attempts > 1 for row in summary.failures)
    notes = [f"{summary.failed} chunks failed, {max(built, len(tally.recovered))} were built after a further attempt."]
    if summary.failed > MOST_ROWS or built > MOST_ROWS:
        notes.append(f"The first {MOST_ROWS} of each are shown; `ardcube status {_place(place)} --json` lists all.")
    if summary.failed:
        notes.append(f"To build just those that failed: {_retry(place, options)}")
    return " ".join(notes)


def _asked(place: Place, options: dict[str, Any], cube: StoredCube) -> list[str]:
    config, grid = cube.config, cube.grid
    west, south, east, north = grid.bounds
    area = f"{west:.4f} {south:.4f} {east:.4f} {north:.4f}"
    if config.geometry_file:
        area += f", of {config.geometry_file.rpartition('/')[2]}"
        area += " and only where its geometries are" if config.use_geometry_mask else ""
    months = "a month" if config.time_frequency_months == 1 else f"{config.time_frequency_months} months"
    rows, cols = grid.tile_counts(config.tile_size)
    return [
        "",
        "| Asked for | |",
        "|---|---|",
        f"| Area | {area} (west south east north, degrees) |",
        f"| Time | {config.start_date:%Y-%m} to {config.end_date:%Y-%m}, {len(cube.periods)} periods of {months} |",
        f"| Bands | {', '.join(config.bands)}; cloud mask {config.cloud_mask}, {config.resampling} |",
        f"| Scenes from | {without_secrets(config.stac_url)}, {config.collection} |",
        f"| Grid | {grid.height} x {grid.width} pixels of {grid.resolution:.6g} degrees |",
        f"| Tiles | {rows} x {cols} of {config.tile_size} pixels |",
        f"| Store | {_link(place, options)} |",
        "",
    ]


def _left_out(summary: BuildSummary) -> list[str]:
    """Scenes that could not be read and that chunks were built without, since `skip_bad_scenes` allows it."""
    if not summary.left_out:
        return []
    rows = [f"| {row.scene} | {row.chunks} | {_short(row.reason)} |" for row in summary.left_out[:MOST_ROWS]]
    more = len(summary.left_out) - len(rows)
    return [
        "## Scenes left out",
        "",
        "They could not be read. A run with a smaller `skip_bad_scenes` builds their chunks again.",
        "",
        "| Scene | Chunks | Reason |",
        "|---|---|---|",
        *rows,
        *([f"| and {more} more | | |"] if more > 0 else []),
        "",
    ]


def _opening(place: Place, options: dict[str, Any]) -> list[str]:
    more = f", storage_options={options!r}" if options else ""
    return ["```python", f"import xarray; cube = xarray.open_zarr({_place(place)!r}{more})", "```", ""]


def _what_to_do(place: Place, options: dict[str, Any], *, missing: bool) -> list[str]:
    return [
        "## What to do",
        "",
        f"Start the run again: it builds what is missing. Without a search: {_retry(place, options, missing=missing)}",
        "",
    ]


def _retry(place: Place, options: dict[str, Any], *, missing: bool = False) -> str:
    given = "".join(f" --storage-option {name}={_value(value)}" for name, value in options.items())
    command = f"ardcube retry {_place(place)}{given}{' --missing' if missing else ''}"
    form = f"the deployment `retry-cube/retry` of `{_place(place)}`{', with `missing` set' if missing else ''}"
    return f"`{command}`, or {form}."


def _value(value: Any) -> str:
    """As the command line takes it."""
    return value if isinstance(value, str) else f"'{json.dumps(value)}'"


def _place(place: Place) -> str:
    return place.path if place.is_local else place.uri


def _link(place: Place, options: dict[str, Any]) -> str:
    """The store as a link where a browser can follow it: to itself, or to the console of its provider."""
    shown = _place(place)
    scheme, _, path = shown.partition("://")
    bucket, _, key = quote(path).partition("/")
    if scheme in ("http", "https"):
        return f"[{shown}]({shown})"
    if scheme == "s3" and not (options.get("endpoint_url") or os.environ.get("AWS_ENDPOINT_URL")):
        return f"[{shown}](https://s3.console.aws.amazon.com/s3/buckets/{bucket}?prefix={key}/)"
    if scheme in ("gs", "gcs"):
        return f"[{shown}](https://console.cloud.google.com/storage/browser/{bucket}/{key})"
    return f"`{shown}`"


def _labels(cube: StoredCube) -> Sequence[str]:
    return [period.label for period in cube.periods]


def _shares(tally: Tally) -> str:
    """Stages by their share of the time that chunks which were built took."""
    whole = sum(tally.stages.values())
    if whole <= 0:
        return "no chunk was built"
    stages = sorted(tally.stages.items(), key=lambda entry: -entry[1])
    return ", ".join(f"{name.replace('_', ' ')} {seconds / whole:.0%}" for name, seconds in stages)


def _short(error: str) -> str:
    text = " ".join(without_secrets(error).split())
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 3] + "..."


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
