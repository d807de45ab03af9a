"""Table of the cubes of one run, as a page (pure)."""

from __future__ import annotations

from ardcube.redaction import without_secrets
from ardcube.report.render import escaped
from ardcube.report.summary import BuildSummary, CubeOutcome
from ardcube.report.wording import count_of, short

_MOST_ROWS = 1000
"""Cubes in the table, the failed ones first."""


def about_cubes(summary: BuildSummary) -> str:
    """Return the description of a page: how many cubes are complete."""
    failed = sum(bool(cube.error) for cube in summary.cubes)
    total = count_of(len(summary.cubes), "cube")
    return f"{failed} of {total} failed" if failed else f"{total} complete"


def cubes_page(summary: BuildSummary) -> str:
    """Return Markdown with a row for each cube."""
    cubes = sorted(summary.cubes, key=lambda cube: not cube.error)
    rows = [_row(cube) for cube in cubes[:_MOST_ROWS]]
    more = len(cubes) - len(rows)
    lines = [
        f"# {escaped(without_secrets(summary.uri))}",
        "",
        "| cube | chunks | written | empty | done before | failed | left | Mpx | report | error |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        *([f"\n{more} more cubes are complete."] if more > 0 else []),
    ]
    return "\n".join(lines)


def _row(cube: CubeOutcome) -> str:
    one = cube.summary
    counts = (
        [one.chunks, one.written, one.empty, one.already_done, one.failed, one.left, f"{one.megapixels:.1f}"]
        if one is not None
        else [""] * 7
    )
    report = escaped(without_secrets(one.report)) if one is not None and one.report else ""
    return f"| {' | '.join([escaped(cube.name), *map(str, counts), report, escaped(short(cube.error))])} |"
