"""Show the plan of one cube, or of one for each feature of a geometry file."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from ardcube.api.plan_cost import plan_cost
from ardcube.planning.cost.estimate import CostEstimate
from ardcube.planning.estimate import Estimate, estimate, within_memory
from ardcube.planning.plan import CubePlan
from ardcube.prepare.each import name_of
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.prepare.pending import warnings_of
from ardcube.prepare.request import Request
from ardcube.report.empty_periods import EmptyPeriods
from flows.console import ConsoleProgress, print_empty_periods, print_estimate, print_estimates


@dataclass(frozen=True, slots=True)
class CostBasis:
    """The basis of the estimated cost that a user chose; without one, the ledger of the cube or coefficients."""

    calibrate: int | None = None
    """Chunks to build in a scratch folder."""
    like_cube: str | None = None
    """Store of a similar cube."""


def show_plan(
    console: Console, requests: Sequence[Request], *, has_store: bool, basis: CostBasis = CostBasis()
) -> None:
    """Search the catalogue and print the plan of one cube, or the plans of several cubes with their sums.

    Parameters
    ----------
    console : Console
        Gets the lines.
    requests : sequence of Request
        Checked requests; several if they are those of the features of a file.
    has_store : bool
        Whether the requests name a store, whose finished chunks are not counted.
    basis : CostBasis
        Basis of the cost.
    """
    rows: list[tuple[str, Estimate, CostEstimate]] = []
    for request in requests:
        progress = ConsoleProgress(console)
        if len(requests) > 1:
            progress.cube_started(name_of(request), len(rows) + 1, len(requests))
        planned, cost = _planned(request, progress, basis, has_store=has_store)
        if len(requests) == 1:
            pending = cost.chunks if cost.chunks < len(planned.jobs) else 0
            print_estimate(console, planned.spec, estimate(planned), pending, cost)
        print_empty_periods(console, EmptyPeriods.planned(planned))
        rows.append((name_of(request), estimate(planned), cost))
    if len(requests) > 1:
        print_estimates(console, rows)


def _planned(
    request: Request, progress: ConsoleProgress, basis: CostBasis, *, has_store: bool
) -> tuple[CubePlan, CostEstimate]:
    """Return the plan of a cube, and the cost of its chunks that are not done."""
    run = request.run
    scenes = search_scenes(request, progress.searched)
    for line in warnings_of(request, scenes):
        progress.warned(line)
    planned = within_memory(make_plan(request, scenes, build=False), run.memory_bytes, run.local_threads)
    cost = plan_cost(
        request, scenes, planned, has_store=has_store, calibrated=basis.calibrate, like_cube=basis.like_cube
    )
    return planned, cost
