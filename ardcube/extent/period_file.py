"""Periods of a cube; those of a file are read from it."""

from __future__ import annotations

import csv
import os
from datetime import date, datetime, timedelta
from pathlib import Path

from ardcube.config import GrowingCubeConfig
from ardcube.errors import InputError
from ardcube.extent.periods import MOST_PERIODS, Period, Span, periods_of

_LARGEST_FILE = 1_000_000
"""Bytes of a file of periods at most."""
_FORMAT = "%Y-%m-%d"
_HEADERS = (["start", "end"], ["start_date", "end_date"])
_LAST_DAY = date(9998, 12, 31)


def cube_periods(cube: GrowingCubeConfig, end: date) -> tuple[Period, ...]:
    """Return the periods of a cube that ends on a day; read its file of periods if it has one.

    Raises
    ------
    InputError
        If the file cannot be read, a row of it cannot be used, there is no period, or there are too many.
    """
    listed = listed_spans(cube)
    try:
        return periods_of(cube.period_rule, cube.start_date, end, cube.kept_months, listed)
    except ValueError as error:
        option = "period" if cube.months is None else f"months {cube.months}"
        given = f" {cube.period}" if cube.months is None and cube.period is not None else ""
        raise InputError(f"{option}{given}: {error}; choose other {_choices(cube)}") from error


def listed_spans(cube: GrowingCubeConfig) -> list[Span]:
    """Return the periods of the cube's file, half-open; none without a file."""
    rule = cube.period_rule
    return read_spans(rule.file) if rule.kind == "file" else []


def read_spans(path: str) -> list[Span]:
    """Read periods from a CSV file: a first and a last day a row, both included, and no or one row of names.

    Parameters
    ----------
    path : str
        UTF-8 file with rows such as ``2023-01-01,2023-03-31``.

    Returns
    -------
    list of (date, date)
        Half-open periods. First days ascend, and so do last days.

    Raises
    ------
    InputError
        If the file cannot be read, or a row cannot be used; the message names the row.
    """
    rows = _rows(path)
    if len(rows) > MOST_PERIODS:
        raise InputError(f"period {path}: has {len(rows)} rows, more than {MOST_PERIODS}; build several cubes")
    spans: list[Span] = []
    for line, cells in rows:
        row = f"period {path}: line {line}"
        if len(cells) != 2:
            raise InputError(f"{row} has {len(cells)} columns; write first and last day, such as 2023-01-01,2023-03-31")
        first, last = (_day(cell, row) for cell in cells)
        if last < first:
            raise InputError(f"{row} ends on {last}, before it starts on {first}; swap the two days")
        if spans and (first <= spans[-1][0] or last < spans[-1][1]):
            raise InputError(
                f"{row} ({first} to {last}) does not start and end after the row before ({spans[-1][0]} to "
                f"{spans[-1][1] - timedelta(days=1)}); sort the rows, and keep one row of each start and of each end"
            )
        spans.append((first, last + timedelta(days=1)))
    return spans


def _rows(path: str) -> list[tuple[int, list[str]]]:
    """Return the cells of the rows of dates, each with the number of its line."""
    source = f"period {path}"
    try:
        if Path(path).is_file() and Path(path).stat().st_size > _LARGEST_FILE:
            raise InputError(f"{source}: has more than {_LARGEST_FILE} bytes; give a CSV file of first and last days")
        text = Path(path).read_text(encoding="utf-8-sig")
        rows = list(enumerate(csv.reader(text.splitlines(), strict=True), 1))
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({os.strerror(error.errno or 0)}); correct the path") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{source}: is no CSV file in UTF-8 ({error}); write rows 2023-01-01,2023-03-31") from None
    rows = [(line, cells) for line, row in rows if any(cells := [cell.strip() for cell in row])]
    if rows and [cell.lower() for cell in rows[0][1]] in _HEADERS:
        del rows[0]
    if not rows:
        raise InputError(f"{source}: has no rows; write rows 2023-01-01,2023-03-31")
    return rows


def _day(cell: str, row: str) -> date:
    try:
        day = datetime.strptime(cell, _FORMAT).date()
    except ValueError:
        raise InputError(f"{row}: {cell!r:.40} is not a date; use the format 2023-01-31") from None
    if day > _LAST_DAY:
        raise InputError(f"{row}: {day} is after the last year of the calendar; choose one before {_LAST_DAY.year + 1}")
    return day


def _choices(cube: GrowingCubeConfig) -> str:
    return "dates" if cube.months is None else "months or dates"
