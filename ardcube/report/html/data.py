"""Collect the values that the script of a report page shows (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ardcube.ledger.stored_cube import StoredCube
from ardcube.report.clear_days import RAMP
from ardcube.report.html.cells import cells_of
from ardcube.report.html.chunk_numbers import ChunkNumbers
from ardcube.report.html.pictures import Pictures
from ardcube.report.html.position import position_of
from ardcube.report.html.series import Step, steps_of
from ardcube.report.shown_pixels import whole
from ardcube.report.state_map import COLOURS, NAMES
from ardcube.report.wording import count_of


def data_of(cube: StoredCube, numbers: ChunkNumbers, pictures: Pictures | None, shown: list[int]) -> dict[str, Any]:
    """Return what the script of the page shows, for JSON."""
    window = whole(cube.grid) if pictures is None else pictures.window
    return {
        "states": {state: {"name": NAMES[state], "colour": f"rgb{COLOURS[state]}"} for state in NAMES},
        "ramp": RAMP,
        "position": position_of(cube.grid, window),
        "cells": cells_of(numbers, cube.grid, cube.config.tile_size, shown),
        "periods": [{"index": one, "label": cube.periods[one].label, "days": cube.periods[one].days} for one in shown],
        "pictures": {} if pictures is None else {
            period: {"colours": one.colours, "days": one.clear_days} for period, one in pictures.of.items()
        },
        "steps": [_step(step) for step in steps_of(numbers, cube.periods)],
    }  # fmt: skip


def sample_of(cube: StoredCube, pictures: Pictures | None, shown: Sequence[int], step: int) -> list[str]:
    """Return in which respects the pictures and the map are a sample; nothing for a cube that is shown as a whole."""
    parts = []
    if len(shown) < len(cube.periods):
        parts.append(f"{len(shown)} of {count_of(len(cube.periods), 'period')}, evenly spread")
    if pictures is not None and len(pictures.of) < len(shown):
        parts.append(f"pictures of {count_of(len(pictures.of), 'period')}")
    if pictures is not None and pictures.window != whole(cube.grid):
        rows, cols = pictures.window.shape
        parts.append(f"the picture shows {rows:,} x {cols:,} pixels, dashed on the map")
    if step > 1:
        parts.append(f"a cell of the map has {step} x {step} chunks")
    return parts


def _step(step: Step) -> dict[str, Any]:
    return {
        "label": step.label,
        "first": step.first,
        "chunks": step.chunks,
        "days": None if step.clear_days is None else round(step.clear_days, 3),
        "seconds": round(step.seconds, 1),
        "bytes": step.bytes_read,
    }
