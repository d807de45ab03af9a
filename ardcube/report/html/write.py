"""Write the report page of a cube."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Any

from ardcube.errors import InputError
from ardcube.ledger.last_plan import planned_chunks
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.stored_cube import StoredCube
from ardcube.redaction import without_secrets
from ardcube.report.causes import CauseCounter
from ardcube.report.clear_days import RAMP
from ardcube.report.empty_periods import EmptyPeriods
from ardcube.report.html.cells import cells_of
from ardcube.report.html.chunk_numbers import ChunkNumbers
from ardcube.report.html.opening import openings
from ardcube.report.html.pictures import Pictures, draw_pictures, spread
from ardcube.report.html.position import position_of
from ardcube.report.html.render import GENERATOR, render_html
from ardcube.report.html.request import facts_of, history_of, options_of, origin_of
from ardcube.report.html.series import Step, steps_of, total_of
from ardcube.report.shown_part import whole
from ardcube.report.state_map import COLOURS, NAMES
from ardcube.report.summary import left_out
from ardcube.report.wording import count_of
from ardcube.storage.failures import explained
from ardcube.storage.place import Place, cube_name
from ardcube.store.schema import exists, read_attributes

_MOST_PERIODS = 60
"""Periods that the slider of a page has at most."""
_MOST_ROWS = 100
"""Rows of a list of causes or scenes at most."""
_HEAD = 2_000
"""Characters at the beginning of a page that name its generator."""


def check_output(path: Path) -> None:
    """Check that a page can be written to a file, before the cube is read.

    Raises
    ------
    InputError
        If the folder is missing, or if the file exists and is not a report page.
    """
    if not path.parent.is_dir():
        raise InputError(f"output {path}: the folder {path.parent} does not exist; create it, or choose another")
    if path.is_dir():
        raise InputError(f"output {path}: is a folder; give the name of a file, such as {path / 'report.html'}")
    if path.exists():
        with path.open(encoding="utf-8", errors="replace") as file:
            if GENERATOR not in file.read(_HEAD):
                raise InputError(f"output {path}: exists and is not a report page; choose another name, or remove it")


def report_page(place: Place, options: Mapping[str, Any], ledger: Ledger, cube: StoredCube) -> str:
    """Return the report page of a cube as HTML: self-contained, and of bounded size for any number of chunks.

    Parameters
    ----------
    place, options : Place, mapping
        Location of the store, and options of its filesystem.
    ledger : Ledger
        Ledger of the cube.
    cube : StoredCube
        The cube.

    Raises
    ------
    StoreError
        If the store or the ledger is damaged.
    """
    planned, records = planned_chunks(ledger, cube), list(ledger.records().values())
    numbers = ChunkNumbers.of([period.label for period in cube.periods], planned.tiles, records)
    shown = spread(range(len(cube.periods)), _MOST_PERIODS)
    with explained(place.uri):
        stored = exists(place)
        pictures = draw_pictures(place, cube, numbers.states, shown) if stored else None
        attributes = read_attributes(place) if stored else {}
    causes, total = CauseCounter(), total_of(numbers, cube.periods)
    for record in records:
        if record.status == "failed":
            causes.add(record.key, record.failure)
    data = _data(cube, numbers, pictures, shown)
    return render_html(
        "report.html.j2",
        data=data,
        sample=_sample(cube, pictures, shown, data["cells"]["step"]),
        name=cube_name(place.path),
        address=quote(without_secrets(place.path if place.is_local else place.uri)),
        periods=cube.periods,
        shown=shown,
        pictures=pictures,
        total=total,
        states={NAMES[state]: count for state, count in total.chunks.items()},
        steps=steps_of(numbers, cube.periods),
        stages=sorted(numbers.stages.items(), key=lambda entry: -entry[1]),
        causes=causes.causes(),
        left_out=left_out(records),
        warnings=EmptyPeriods.of(records).messages(),
        most_rows=_MOST_ROWS,
        facts=facts_of(cube),
        origin=origin_of(attributes),
        history=history_of(attributes),
        options=options_of(cube.config),
        openings=openings(place, options, cube, pictures),
        version=version("ardcube"),
        written=datetime.now(UTC),
    )


def write_page(place: Place, options: Mapping[str, Any], ledger: Ledger, cube: StoredCube, path: Path) -> None:
    """Write the report page of a cube to a file of this machine, atomically.

    Raises
    ------
    InputError
        If the folder is missing, or if the file exists and is not a report page.
    StoreError
        If the store or the ledger is damaged.
    """
    check_output(path)
    page = report_page(place, options, ledger, cube)
    with explained(str(path)):
        Place.at(str(path.parent)).write(path.name, page.encode())


def _sample(cube: StoredCube, pictures: Pictures | None, shown: Sequence[int], step: int) -> list[str]:
    """Return in which respects the pictures and the map are a sample; nothing for a cube that is shown as a whole."""
    parts = []
    if len(shown) < len(cube.periods):
        parts.append(f"{len(shown)} of {count_of(len(cube.periods), 'period')}, evenly spread")
    if pictures is not None and len(pictures.of) < len(shown):
        parts.append(f"pictures of {count_of(len(pictures.of), 'period')}")
    if pictures is not None and pictures.window != whole(cube.grid):
        rows, cols = pictures.window.shape
        parts.append(f"the picture shows a part of {rows:,} x {cols:,} pixels")
    if step > 1:
        parts.append(f"a cell of the map has {step} x {step} chunks")
    return parts


def _data(cube: StoredCube, numbers: ChunkNumbers, pictures: Pictures | None, shown: list[int]) -> dict[str, Any]:
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


def _step(step: Step) -> dict[str, Any]:
    return {
        "label": step.label,
        "first": step.first,
        "chunks": step.chunks,
        "days": None if step.clear_days is None else round(step.clear_days, 3),
        "seconds": round(step.seconds, 1),
        "bytes": step.bytes_read,
    }
