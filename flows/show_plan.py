"""Show the plan of one cube, or of one for each feature of a geometry file."""

from collections.abc import Sequence

from rich.console import Console

from ardcube.ledger.ledger import stored_inputs
from ardcube.planning.estimate import Estimate, estimate, within_memory
from ardcube.planning.plan import CubePlan
from ardcube.prepare.each import name_of
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.prepare.pending import warnings_of
from ardcube.prepare.request import Request
from ardcube.report.empty_periods import EmptyPeriods
from flows.console import ConsoleProgress, print_empty_periods, print_estimate, print_estimates


def show_plan(console: Console, requests: Sequence[Request], *, has_store: bool) -> None:
    """Search the catalogue and print the plan of one cube, or the plans of several cubes with their sums.

    Parameters
    ----------
    console : Console
        Gets the lines.
    requests : sequence of Request
        Checked requests; several if they are those of the features of a file.
    has_store : bool
        Whether the requests name a store, whose finished chunks are not counted.
    """
    rows: list[tuple[str, Estimate, int]] = []
    for request in requests:
        progress = ConsoleProgress(console)
        if len(requests) > 1:
            progress.cube_started(name_of(request), len(rows) + 1, len(requests))
        planned, left = _planned(request, progress, has_store=has_store)
        if len(requests) == 1:
            pending = left if left < len(planned.jobs) else 0
            print_estimate(console, planned.spec, estimate(planned), pending, request.run.local_threads)
        print_empty_periods(console, EmptyPeriods.planned(planned))
        rows.append((name_of(request), estimate(planned), left))
    if len(requests) > 1:
        print_estimates(console, rows)


def _planned(request: Request, progress: ConsoleProgress, *, has_store: bool) -> tuple[CubePlan, int]:
    """Return the plan of a cube, and the number of its chunks that are not done."""
    run = request.run
    scenes = search_scenes(request, progress.searched)
    for line in warnings_of(request, scenes):
        progress.warned(line)
    planned = make_plan(request, scenes, build=False)
    planned = within_memory(planned, run.memory_bytes, run.local_threads)
    records = {} if run.overwrite or not has_store else request.ledger.records(brief=True)
    return planned, len(planned.jobs.without(stored_inputs(records, run.skip_bad_scenes)))
