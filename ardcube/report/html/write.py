"""Write the report page of a cube."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Any

from ardcube.errors import InputError
from ardcube.ledger.last_plan import planned_chunks
from ardcube.ledger.ledger import REPORT, Ledger
from ardcube.ledger.run_costs import read_runs
from ardcube.ledger.stored_cube import StoredCube
from ardcube.redaction import without_secrets
from ardcube.report.causes import CauseCounter
from ardcube.report.cost_rows import run_rows
from ardcube.report.empty_periods import EmptyPeriods
from ardcube.report.html.chunk_numbers import ChunkNumbers
from ardcube.report.html.data import data_of, sample_of
from ardcube.report.html.opening import openings
from ardcube.report.html.pictures import draw_pictures
from ardcube.report.html.render import GENERATOR, render_html
from ardcube.report.html.request import facts_of, history_of, options_of, origin_of
from ardcube.report.html.series import steps_of, total_of
from ardcube.report.shown_pixels import spread
from ardcube.report.state_map import NAMES
from ardcube.report.summary import left_out
from ardcube.storage.failures import explained
from ardcube.storage.place import Place, cube_name
from ardcube.storage.writable import check_writable
from ardcube.store.schema import exists, read_attributes

_MOST_PERIODS = 60
"""Periods that the slider of a page has at most."""
_MOST_ROWS = 100
"""Rows of a list of causes or scenes at most."""
_HEAD = 2_000
"""Characters at the beginning of a page that name its generator."""
_NO_STORE = "the store is missing or incomplete; run the build again"
"""Warning of a page of a cube without pixels."""

logger = logging.getLogger(__name__)


def check_output(path: Path) -> None:
    """Check that a page can be written to a file, before the cube is read.

    Raises
    ------
    InputError
        If the folder is missing, or if the file exists and is not a report page.
    """
    with _unwritable_as_input_error(path):
        if not path.parent.is_dir():
            raise InputError(f"output {path}: the folder {path.parent} does not exist; create it, or choose another")
        if path.is_dir():
            raise InputError(f"output {path}: is a folder; give the name of a file, such as {path / 'report.html'}")
        if path.exists() and not _is_report(path):
            raise InputError(f"output {path}: exists and is not a report page; choose another name, or remove it")
        check_writable(path.parent)


def _is_report(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return GENERATOR in file.read(_HEAD)


@contextmanager
def _unwritable_as_input_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"output {str(path)!r:.200}: cannot be written ({reason}); choose another file") from error


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
    planned, records = planned_chunks(ledger, cube), ledger.records(brief=True).values()
    numbers = ChunkNumbers.of([period.label for period in cube.periods], planned.tiles, ledger.each())
    shown = spread(range(len(cube.periods)), _MOST_PERIODS)
    with explained(place.uri):
        stored = exists(place)
        pictures = draw_pictures(place, cube, numbers.states, shown) if stored else None
        attributes = read_attributes(place) if stored else {}
    cost = next(reversed(read_runs(ledger)), None)
    causes, total = CauseCounter(), total_of(numbers, cube.periods)
    for record in records:
        if record.status == "failed":
            causes.add(record.key, record.failure)
    data = data_of(cube, numbers, pictures, shown)
    return render_html(
        "report.html.j2",
        data=data,
        sample=sample_of(cube, pictures, shown, data["cells"]["step"]),
        name=cube_name(place.path),
        is_filled=cube.filling is not None,
        address=quote(without_secrets(place.path if place.is_local else place.uri)),
        periods=cube.periods,
        shown=shown,
        pictures=pictures,
        total=total,
        states={NAMES[state]: count for state, count in total.chunks.items()},
        cost_rows=[] if cost is None else run_rows(cost),
        cost_basis="" if cost is None else cost.basis,
        steps=steps_of(numbers, cube.periods),
        stages=sorted(numbers.stages.items(), key=lambda entry: -entry[1]),
        causes=causes.causes(),
        left_out=left_out(records),
        warnings=[*EmptyPeriods.of(records).messages(), *([] if stored else [_NO_STORE])],
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
        If the file cannot be written, or if it exists and is not a report page.
    StoreError
        If the store or the ledger is damaged.
    """
    check_output(path)
    page = report_page(place, options, ledger, cube)
    with _unwritable_as_input_error(path):
        Place.at(str(path.parent)).write(path.name, page.encode())


def write_next_to_ledger(place: Place, options: Mapping[str, Any], ledger: Ledger) -> str | None:
    """Write the report page of a cube into the folder of its ledger, and return its address.

    An error is logged as a warning, and None returned, because the cube of the run is built.

    Parameters
    ----------
    place, options : Place, mapping
        Location of the store, and options of its filesystem.
    ledger : Ledger
        Ledger of the cube.
    """
    try:
        cube = StoredCube.read(ledger)
        if cube is None:
            return None
        ledger.place.write(REPORT, report_page(place, options, ledger, cube).encode())
    except Exception as error:  # noqa: BLE001  (see above)
        logger.warning("no report page: %s", without_secrets(f"{type(error).__name__}: {error}"))
        return None
    return ledger.place.file(REPORT) if place.is_local else f"{ledger.place.uri}/{REPORT}"
