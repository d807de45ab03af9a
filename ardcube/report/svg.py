"""Arrange small pictures with labels and a legend in one SVG (pure)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from ardcube.report.render import render_svg

WIDTH = 624
"""Width of a sheet in CSS pixels. The Prefect UI shrinks a wider one, with its text, into the column of its page."""
_GAP = 12
_LINE = 18
"""Height of a line of text in CSS pixels."""
_CHARACTER = 7
"""Width of a character in CSS pixels."""
_BOX = 17
"""Width of the coloured square before a text of the legend, with its gap, in CSS pixels."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture."""

    label: str
    png: bytes
    width: int
    """Width on the sheet in CSS pixels."""
    height: int


def draw_sheet(panels: Sequence[Panel], legend: Sequence[tuple[str, str]] = ()) -> str:
    """Arrange pictures row by row in an SVG.

    Parameters
    ----------
    panels : sequence of Panel
        In order; each gets the space of the largest.
    legend : sequence of (colour, text)
        Shown below the pictures. The colour `none` marks transparent pixels.
    """
    wide, high = max(panel.width for panel in panels), max(panel.height for panel in panels)
    wide = max(wide, max(len(panel.label) for panel in panels) * _CHARACTER)
    columns = max(1, (WIDTH + _GAP) // (wide + _GAP))
    placed = [
        (
            number % columns * (wide + _GAP),
            number // columns * (high + _LINE + _GAP),
            panel,
            base64.b64encode(panel.png).decode(),
        )
        for number, panel in enumerate(panels)
    ]
    top = -(-len(panels) // columns) * (high + _LINE + _GAP)
    entries, wide_legend, high_legend = _placed(legend, top)
    width = max(min(columns, len(panels)) * (wide + _GAP), wide_legend)
    return render_svg("sheet.svg.j2", panels=placed, legend=entries, width=width, height=top + high_legend)


def _placed(legend: Sequence[tuple[str, str]], top: int) -> tuple[list[tuple[int, int, str, str]], int, int]:
    """Return the entries of a legend with their positions (x, y), in rows, and the width and height of all."""
    entries, x, y, widest = [], 0, top, 0
    for colour, text in legend:
        wide = _BOX + len(text) * _CHARACTER + _GAP
        if x and x + wide > WIDTH + _GAP:
            x, y = 0, y + _LINE
        entries.append((x, y, colour, text))
        x += wide
        widest = max(widest, x)
    return entries, widest, y - top + _LINE if entries else 0
