"""Estimate the cost of the chunks that a run builds."""

from __future__ import annotations

from ardcube.config import RunConfig
from ardcube.planning.cost.estimate import NO_SAMPLES, CostEstimate, Machines, Measured, Samples, estimate_cost
from ardcube.planning.cost.figures import Prices
from ardcube.planning.estimate import largest_work
from ardcube.planning.jobs import ChunkJobs
from ardcube.planning.memory import WORKER_BYTES, chunk_bytes
from ardcube.planning.plan import CubePlan

_COILED_WORKERS = 100
"""Workers that an adaptive cluster of Coiled has at most."""


def cost_of(
    run: RunConfig,
    plan: CubePlan,
    jobs: ChunkJobs,
    measured: Measured | None = None,
    samples: Samples = NO_SAMPLES,
    *,
    prefect: bool = True,
) -> CostEstimate:
    """Estimate the cost of some chunks of a plan on the workers of a run.

    Parameters
    ----------
    run : RunConfig
        States the workers, their threads and the prices.
    plan : CubePlan
        Plan with its scenes.
    jobs : ChunkJobs
        Chunks to build.
    measured : Measured, optional
        Chunks whose cost corrects the coefficients.
    samples : Samples
        Scenes whose headers were read.
    prefect : bool
        Whether the chunks are task runs of Prefect.
    """
    machines = machines_of(run)
    memory = WORKER_BYTES + machines.threads * chunk_bytes(largest_work(plan), plan.spec.chunk_memory)
    return estimate_cost(plan, jobs, machines, memory, prices_of(run), measured, samples, prefect=prefect)


def machines_of(run: RunConfig) -> Machines:
    """Return the workers of a run; their number is unknown for a running Dask cluster unless the run states it."""
    most = run.workers or (run.adapt[1] if run.adapt is not None else None)
    match run.serverless_backend:
        case "local":
            return Machines(run.workers or 1, run.local_threads if run.workers is None else run.threads or 1)
        case "coiled":
            return Machines(most or _COILED_WORKERS, run.threads or run.coiled_worker_cpu)
        case _:
            return Machines(most, run.threads or 1)


def prices_of(run: RunConfig) -> Prices:
    """Return the prices that a run states."""
    return Prices(run.price_per_core_hour, run.price_per_gb, run.price_per_1000_requests)
