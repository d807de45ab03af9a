"""Names of runs in Prefect's UI: cube, area, periods, tiles, attempt."""

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from prefect.context import TaskRunContext
from prefect.runtime import flow_run, task_run

from ardcube.config import GrowingCubeConfig, RunConfig
from ardcube.storage.place import cube_name

if TYPE_CHECKING:  # slow to import, and a process that names flow runs may build no chunk
    from ardcube.chunk.batch import Batch
    from ardcube.exporting.part import ExportPart


def build_run_name() -> str:
    """Return a name such as ``vancouver 2023-01..2023-03 [-123.3 48.9 -122 49]``.

    It has the cube, its months and its area; of several cubes, the folder and the field that names them.

    The name of a cube without an end date has no last month.
    """
    cube: GrowingCubeConfig = flow_run.parameters["cube"]
    run: RunConfig = flow_run.parameters["run"]
    end = "" if cube.end_date is None else f"{cube.end_date:%Y-%m}"
    each = "" if run.each is None else f" each {run.each}"
    return f"{cube_name(run.fsspec_uri)}{each} {cube.start_date:%Y-%m}..{end} [{_area(cube)}]{_attempt()}"


def retry_run_name() -> str:
    """Return a name such as ``retry vancouver``."""
    run: RunConfig = flow_run.parameters["run"]
    what = "retry and complete" if flow_run.parameters.get("missing") else "retry"
    return f"{what} {cube_name(run.fsspec_uri)}{_attempt()}"


def export_run_name() -> str:
    """Return a name such as ``export vancouver``."""
    return f"export {cube_name(flow_run.parameters['uri'])}{_attempt()}"


def part_name() -> str:
    """Return a name such as ``vancouver rgb_median_2023-01.tif``: cube, file."""
    part: ExportPart = task_run.parameters["part"]
    first, *others = (file.name for file in part.export.files)
    more = f" .. {others[-1]} ({len(others) + 1} files)" if others else ""
    return f"{cube_name(part.export.place.uri)} {first}{more}"


def batch_name() -> str:
    """Return a name such as ``vancouver 2023-01 y0003 x0001``: cube, period, tile.

    A batch of several chunks has the first and the last of them in its name.
    """
    batch: Batch = task_run.parameters["batch"]
    first, last = (str(job.key).replace("_", " ") for job in (batch.jobs[0], batch.jobs[-1]))
    chunks = first if len(batch.jobs) == 1 else f"{first} .. {last} ({len(batch.jobs)} chunks)"
    level = f" level {batch.spec.level}" if batch.spec.level else ""
    return f"{cube_name(batch.spec.store_uri)}{level} {chunks}"


def name_attempt() -> None:
    """Add the attempt to the name of the current task run, from the second attempt on.

    Prefect names a task run once. Its reports to the server carry the name that the run has when its state changes.
    """
    context = TaskRunContext.get()
    if context is not None and context.task_run.run_count > 1:
        name = context.task_run.name.partition(", attempt ")[0]
        context.task_run.name = f"{name}, attempt {context.task_run.run_count}"


def _area(cube: GrowingCubeConfig) -> str:
    if cube.bbox is not None:
        return " ".join(f"{number:g}" for number in cube.bbox)
    return PurePosixPath(cube.geometry_file or "").name


def _attempt() -> str:
    count = flow_run.run_count
    return f", attempt {count}" if count and count > 1 else ""
