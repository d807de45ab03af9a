"""Small pictures on one sheet, each with its name: an SVG that holds them (pure)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 880
"""Of a sheet, in CSS pixels: what the Prefect UI shows without scrolling on a laptop."""
_GAP = 12
_LINE = 18
_INK = "#888"
"""Readable on white and on black."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture."""

    label: str
    png: bytes
    width: int
    """On the sheet, in CSS pixels."""
    height: int


def draw_sheet(panels: Sequence[Panel], legend: Sequence[tuple[str, str]] = ()) -> str:
    """Lay pictures out, row by row.

    Parameters
    ----------
    panels : sequence of Panel
        In order; all are given the place of the largest.
    legend : sequence of (colour, words)
        Told below them.

    Returns
    -------
    str
        SVG.
    """
    wide, high = max(panel.width for panel in panels), max(panel.height for panel in panels)
    wide = max(wide, max(len(panel.label) for panel in panels) * 7)
    columns = max(1, (WIDTH + _GAP) // (wide + _GAP))
    rows = -(-len(panels) // columns)
    drawn = []
    for number, panel in enumerate(panels):
        x, y = number % columns * (wide + _GAP), number // columns * (high + _LINE + _GAP)
        data = base64.b64encode(panel.png).decode()
        drawn.append(
            f'<text x="{x}" y="{y + 13}">{escape(panel.label)}</text>'
            f'<image x="{x}" y="{y + _LINE}" width="{panel.width}" height="{panel.height}"'
            f' href="data:image/png;base64,{data}"/>'
        )
    top, x = rows * (high + _LINE + _GAP), 0
    for colour, words in legend:
        drawn.append(f'<rect x="{x}" y="{top}" width="12" height="12" fill="{colour}"/>')
        drawn.append(f'<text x="{x + 17}" y="{top + 11}">{escape(words)}</text>')
        x += 17 + len(words) * 7 + _GAP
    width, height = max(min(columns, len(panels)) * (wide + _GAP), x), top + (_LINE if legend else 0)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' font-family="sans-serif" font-size="12" fill="{_INK}">{"".join(drawn)}</svg>'
    )


def as_markdown(svg: str, words: str) -> str:
    """The picture as Markdown that holds it: no server has to keep it."""
    return f"![{words}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
