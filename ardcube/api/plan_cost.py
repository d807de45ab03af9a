"""Estimate the cost of a plan from coefficients, from chunks that are built for it, or from a ledger."""

from __future__ import annotations

from ardcube.api.calibrate import calibrate
from ardcube.errors import InputError
from ardcube.ledger.ledger import stored_inputs
from ardcube.planning.cost.estimate import CostEstimate, Measured, Samples
from ardcube.planning.plan import CubePlan
from ardcube.prepare.cost import cost_of
from ardcube.prepare.cost_basis import measured_in_ledger, measured_in_own_ledger
from ardcube.prepare.make_plan import FoundScenes
from ardcube.prepare.request import Request
from ardcube.prepare.sample_headers import sample_headers


def plan_cost(
    request: Request,
    scenes: FoundScenes,
    plan: CubePlan,
    *,
    has_store: bool,
    calibrated: int | None = None,
    like_cube: str | None = None,
    prefect: bool = True,
) -> CostEstimate:
    """Estimate the cost of the chunks of a plan that are not done.

    Parameters
    ----------
    request : Request
        A checked request.
    scenes : mapping
        Result of `search_scenes`.
    plan : CubePlan
        Plan of these scenes.
    has_store : bool
        Whether the request names a store. Its finished chunks are not counted, and its ledger is the basis.
    calibrated : int, optional
        Chunks to build in a scratch folder, whose cost is the basis.
    like_cube : str, optional
        Store of a similar cube, whose ledger is the basis.
    prefect : bool
        Whether a flow builds the chunks.

    Raises
    ------
    InputError
        If the similar cube is missing or not similar.
    """
    check_basis(calibrated, like_cube)
    run = request.run
    records = {} if run.overwrite or not has_store else request.ledger.records(brief=True)
    jobs = plan.jobs.without(stored_inputs(records, run.skip_bad_scenes))
    samples = sample_headers(plan.spec, [scene for some in plan.scenes.values() for scene in some])
    measured = _measured(request, scenes, plan, (calibrated, like_cube), samples, has_store=has_store)
    return cost_of(run, plan, jobs, measured, samples, prefect=prefect)


def check_basis(calibrated: int | None, like_cube: str | None) -> None:
    """Raise InputError if both a calibration and a similar cube are given, or if no chunk is to be built."""
    if calibrated is not None and like_cube is not None:
        raise InputError("calibrate: the ledger of like-cube replaces it; omit one of them")
    if calibrated is not None and calibrated < 1:
        raise InputError(f"calibrate {calibrated}: give the number of chunks to build, at least 1")


def _measured(
    request: Request,
    scenes: FoundScenes,
    plan: CubePlan,
    given: tuple[int | None, str | None],
    samples: Samples,
    *,
    has_store: bool,
) -> Measured | None:
    calibrated, like_cube = given
    if like_cube is not None:
        return measured_in_ledger(like_cube, request.run, plan, request.cube, samples)
    if calibrated is not None:
        return calibrate(request, scenes, calibrated, samples)
    if has_store and not request.run.overwrite:
        return measured_in_own_ledger(request.run.fsspec_uri, request.run, plan, samples)
    return None
