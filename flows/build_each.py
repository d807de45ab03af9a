"""Build one cube for each feature of a geometry file, in one flow run."""

from collections.abc import Callable
from uuid import UUID

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from ardcube.api.each import build_each
from ardcube.config import CubeConfig, RunConfig
from ardcube.prepare.each import name_of, requests_of_each
from ardcube.prepare.request import Request
from ardcube.redaction import without_secrets
from ardcube.report.each import about_cubes, cubes_page
from ardcube.report.summary import BuildSummary, ChunksFailedError
from ardcube.report.wording import count_of
from ardcube.storage.place import cube_name
from flows.checked import checked_request
from flows.progress import current_progress
from hooks.artifacts import artifact_key, post


def build_cubes(cube: CubeConfig, run: RunConfig, build: Callable[[Request], BuildSummary]) -> BuildSummary:
    """Check the requests of all features, then build their cubes one after another, each with its lease and ledger.

    Parameters
    ----------
    cube, run : CubeConfig, RunConfig
        Configuration of all cubes; `run.each` is not None.
    build : callable
        Builds one cube.

    Raises
    ------
    InputError
        If one of the requests cannot be met. Nothing was written.
    ChunksFailedError
        If a cube was not built, or chunks of it are missing, although all others were built.
    """
    requests = requests_of_each(cube, run, checked_request)
    logger, progress = get_run_logger(), current_progress()
    logger.info("%s to build in %s", count_of(len(requests), "cube"), run.fsspec_uri)
    numbers = {name_of(request): number for number, request in enumerate(requests, 1)}

    def announced(request: Request) -> BuildSummary:
        name = name_of(request)
        logger.info("cube %s, %d of %d", name, numbers[name], len(requests))
        progress.cube_started(name, numbers[name], len(requests))
        return build(request)

    try:
        summary = build_each(run.fsspec_uri, requests, announced)
    except ChunksFailedError as error:
        for outcome in error.summary.cubes:
            if outcome.error:
                logger.error("cube %s: %s", outcome.name, without_secrets(outcome.error))
        _post(error.summary)
        raise
    _post(summary)
    return summary


def _post(summary: BuildSummary) -> None:
    key = artifact_key(cube_name(summary.uri), "summary")
    post(UUID(str(flow_run.id)), "markdown", key, cubes_page(summary), about_cubes(summary))
