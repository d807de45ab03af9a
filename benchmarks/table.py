"""Format the results of a run as tables: Markdown, and rich for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

_HEAD = ("case", "way", "CPU s", "ratio", "wall s", "ratio", "peak MB", "read MB", "share", "requests", "share")


def _rows(result: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for row in result["summary"]:

        def times(name: str, row: dict[str, Any] = row) -> str:
            return f"{row[f'{name}_ratio']:.1f}" if f"{name}_ratio" in row else ""

        def share(name: str, row: dict[str, Any] = row) -> str:
            return f"{100 / row[f'{name}_ratio']:.0f} %" if row.get(f"{name}_ratio") else ""

        yield (
            row["case"], row["way"],
            f"{row['cpu_s']:.2f}", times("cpu_s"), f"{row['wall_s']:.2f}", times("wall_s"), f"{row['peak_mb']:.0f}",
            f"{row['read_mb']:.1f}", share("read_mb"), f"{row['requests']:.0f}", share("requests"),
        )  # fmt: skip


def _remarks(result: dict[str, Any]) -> Iterator[str]:
    for row in result["summary"]:
        if times := row.get("medians"):
            yield (
                f"{row['case']}, {row['way']}: {times['cpu_s']:.2f} times the CPU of the median chunk, "
                f"{times['wall_s']:.2f} times the wall time, {times['peak_mb']:.2f} times the peak"
            )
        if row["stages_s"]:
            stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in row["stages_s"].items())
            yield f"{row['case']}, {row['way']}, seconds by stage: {stages}"
    for one in result["equality"]:
        yield (
            f"{one['what']}: {100 * one['equal']:.4f} % of values equal, largest difference {one['largest']} DN"
            + "".join(f", within {limit} DN {100 * share:.2f} %" for limit, share in one["within"].items())
        )
    if "floor" in result:
        steps = result["floor"]["cpu_seconds"]
        listed = ", ".join(f"{name} {seconds:.2f}" for name, seconds in steps.items())
        yield f"floor, CPU s of each step alone: {listed}; together {sum(steps.values()):.2f}"
        yield (
            f"floor, bytes: {result['floor']['compressed_mb']:.0f} MB in {result['floor']['blocks']} blocks, "
            f"{result['floor']['decoded_mb']:.0f} MB decoded"
        )


def markdown(result: dict[str, Any]) -> str:
    """Return the tables of a run as Markdown."""
    machine = result["machine"]
    options = result["options"]
    about = (
        f"{machine['time']}, {machine['cpu']}, {machine['cpus']} CPUs, load {machine['load']:.1f}, "
        f"Python {machine['python']}, {options['threads']} threads, "
        f"Dask chunks of the baseline {options['dask_chunk'] or 'the whole chunk'} px."
    )
    lines = [
        about,
        "",
        "| " + " | ".join(_HEAD) + " |",
        "|" + "---|" * len(_HEAD),
        *("| " + " | ".join(row) + " |" for row in _rows(result)),
        "",
        *(f"- {remark}" for remark in _remarks(result)),
    ]
    return "\n".join(lines) + "\n"


def console_table(result: dict[str, Any]) -> None:
    """Print the tables on a terminal."""
    table = Table(*_HEAD)
    for row in _rows(result):
        table.add_row(*row)
    console = Console(width=max(120, Console().width))
    console.print(table)
    for remark in _remarks(result):
        console.print(remark, highlight=False)
