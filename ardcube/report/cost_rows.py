"""Rows that show the cost of a plan, and of a run next to its estimate (pure)."""

from __future__ import annotations

from collections.abc import Callable

from ardcube.planning.cost.estimate import CostEstimate, Machines
from ardcube.planning.cost.figures import Range
from ardcube.planning.cost.run_cost import RunCost
from ardcube.report.wording import count_of

Row = tuple[str, str]
"""Name and text."""


def estimate_rows(cost: CostEstimate) -> list[Row]:
    """Return the rows of an estimate."""
    hours = cost.hours
    workers = workers_text(cost.machines)
    rows = [
        ("CPU", cost.cpu_seconds.text(duration)),
        ("time", f"{hours.times(3600).text(duration)} on {workers}" if hours else "unknown: give --workers N"),
        ("to read", f"{cost.bytes_to_read.text(size)} in {cost.requests.text(whole)} requests"),
        ("cube", f"{cost.cube_bytes.text(size)} in {cost.cube_objects.text(whole)} objects"),
        ("memory", f"{size(cost.memory_per_worker)} per worker"),
    ]
    if cost.prices.any:
        rows.append(("money", money_text(cost.money, cost.money_by_part)))
    return [*rows, ("basis", basis_text(cost))]


def clear_days_text(enough: int | None) -> str:
    """Return the clear days of a pixel that a cube composites; empty if it composites all of them."""
    if enough is None:
        return ""
    return "the least cloudy one of each pixel" if enough == 1 else f"the {enough} least cloudy ones of each pixel"


def run_rows(cost: RunCost) -> list[tuple[str, str, str]]:
    """Return the rows of a run: name, counted figure, estimate."""
    used, expected = cost.used, cost.expected
    rates = f"{number(cost.square_km_per_minute)} km2/min, {number(cost.megapixels_per_second)} Mpx/s"
    rows = [
        ("area", f"{number(cost.square_km)} km2, {rates}", ""),
        ("CPU", _known(used.cpu_seconds, duration), _range(expected.get("cpu_seconds"), duration)),
        ("cores", _known(used.seconds, duration), _range(expected.get("seconds"), duration)),
        ("read", _known(used.received, size), _range(expected.get("received"), size)),
        ("requests", _known(used.requests, whole), _range(expected.get("requests"), whole)),
        ("stored", _known(used.stored, size), _range(expected.get("stored"), size)),
        ("objects", _known(used.objects, whole), _range(expected.get("objects"), whole)),
    ]
    if cost.prices.any:
        per_area = cost.money_per_1000_square_km
        more = "" if per_area is None else f", {number(per_area)} per 1,000 km2"
        rows.append(("money", _known(cost.money, number) + more, _range(cost.expected_money, number)))
    return rows


def _known(figure: float | None, form: Callable[[float], str]) -> str:
    return "unknown" if figure is None else form(figure)


def _range(figure: Range | None, form: Callable[[float], str]) -> str:
    return "" if figure is None else figure.text(form)


def basis_text(cost: CostEstimate) -> str:
    """Return the origin of an estimate."""
    parts = [f"coefficients of {cost.about}" if cost.basis == "coefficients" else f"{cost.basis}: {cost.about}"]
    if cost.headers:
        parts.append(cost.headers)
    if cost.from_coefficients:
        parts.append(f"coefficients for {', '.join(cost.from_coefficients)}, which were not counted")
    if cost.unknown_cover:
        parts.append(f"{cost.unknown_cover:.0%} of the scenes state no cloud cover")
    return "; ".join(parts)


def money_text(money: Range | None, parts: dict[str, Range | None]) -> str:
    """Return a sum of money and its parts."""
    named = ", ".join(f"{noun} {'unknown' if part is None else part.text(number)}" for noun, part in parts.items())
    return named if money is None or len(parts) == 1 else f"{money.text(number)}: {named}"


def workers_text(machines: Machines) -> str:
    """Return the workers of a run."""
    if machines.workers is None:
        return "an unknown number of workers"
    return f"{count_of(machines.workers, 'worker')} of {count_of(machines.threads, 'thread')}"


def number(figure: float) -> str:
    """Return a number with three digits."""
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.3g}"


def duration(seconds: float) -> str:
    """Return seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{number(seconds / 60)} min" if seconds < 6000 else f"{number(seconds / 3600)} h"


def whole(figure: float) -> str:
    """Return a rounded count."""
    return f"{round(figure):,}" if figure < 10_000 else f"{float(f'{figure:.3g}'):,.0f}"


def size(count: float) -> str:
    """Return bytes in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB" if count < 1000 else f"{count:,.0f} TB"
