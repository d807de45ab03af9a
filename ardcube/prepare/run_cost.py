"""The estimate of a run at its beginning, and its counted cost at its end, which goes into the ledger."""

from __future__ import annotations

from ardcube.config import RunConfig
from ardcube.ledger.run_costs import add_run
from ardcube.planning.cost.estimate import CostEstimate
from ardcube.planning.cost.run_cost import RunCost, UsedSum
from ardcube.planning.jobs import ChunkJobs
from ardcube.prepare.cost import cost_of, prices_of
from ardcube.prepare.pending import PendingBuild


def expected_cost(pending: PendingBuild, run: RunConfig) -> CostEstimate | None:
    """Estimate the cost of the chunks that a run builds, from coefficients; None for a retry, which has no scenes."""
    jobs = pending.jobs if run.limit is None else pending.jobs[: run.limit]
    if not isinstance(jobs, ChunkJobs) or not pending.plan.scenes or not jobs:
        return None
    return cost_of(run, pending.plan, jobs)


def counted_cost(
    pending: PendingBuild, run: RunConfig, expected: CostEstimate | None, used: UsedSum, built: tuple[int, float, float]
) -> RunCost | None:
    """Return the cost of a run and write it to the ledger; None if nothing was built or estimated.

    Parameters
    ----------
    pending : PendingBuild
        The chunks of the run; the run holds the lease.
    run : RunConfig
        States the prices.
    expected : CostEstimate or None
        Result of `expected_cost`.
    used : UsedSum
        Counted figures of the chunks.
    built : tuple of int, float and float
        Chunks that were built, their megapixels, and seconds of the run.
    """
    if expected is None or not built[0]:
        return None
    cost = RunCost.of(used.total(), *built, expected, prices_of(run))
    add_run(pending.ledger, cost)
    return cost
