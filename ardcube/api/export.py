"""Export a cube to files of other formats, in threads of this process."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ardcube.api.existing import Uri, text_of
from ardcube.api.python_names import python_names
from ardcube.api.thread_pool import call_in_threads
from ardcube.errors import InputError
from ardcube.lease.acquire import holding
from ardcube.runtime.cpus import cpu_count
from ardcube.storage.place import Place

if TYPE_CHECKING:
    from ardcube.exporting.request import Format

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """Files of an export."""

    written: tuple[str, ...]
    """Addresses of the files that this run wrote."""
    kept: tuple[str, ...]
    """Addresses of the files that an earlier run had written from the same pixels."""
    seconds: float


def export_cube(
    uri: Uri,
    output: Uri,
    *,
    format: Format = "cog",
    periods: Sequence[str] = (),
    variables: Sequence[str] = (),
    bbox: Sequence[float] | None = None,
    template: str | None = None,
    overwrite: bool = False,
    allow_missing: bool = False,
    at: str | None = None,
    threads: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> ExportSummary:
    """Export a cube to files: cloud-optimized GeoTIFF or netCDF.

    A file appears whole or not at all. Files that an earlier call wrote from the same pixels are kept, so the same call
    continues one that was interrupted.

    Parameters
    ----------
    uri : str or path
        Store of the cube.
    output : str or path
        Folder of the files, on any filesystem.
    format : str
        `cog`: a GeoTIFF per variable and period, with overviews. `netcdf`: CF, all in one file unless the template has
        `{period}` or `{varname}`.
    periods : sequence of str
        Labels of periods, such as ``2023-06``. Default: all.
    variables : sequence of str
        Names of variables. Default: those of the composites and quality layers.
    bbox : sequence of float, optional
        West, south, east, north in degrees: the pixels that it touches are exported.
    template : str, optional
        Names of the files, with the fields `{cube}`, `{varname}` and `{period}`.
    overwrite : bool
        Replace files that have other content.
    allow_missing : bool
        Export chunks that are missing as nodata.
    at : str, optional
        Version of a cube with the storage backend icechunk, such as ``"v2"``. Default: the newest one.
    threads : int, optional
        GeoTIFF files written at once. Default: the number of CPUs that the process may use.
    storage_options : mapping, optional
        Options of the filesystem of the cube, and of the folder if it is a URI too.

    Returns
    -------
    ExportSummary
        Addresses of the written and the kept files.

    Raises
    ------
    InputError
        If there is no cube, an argument is invalid, chunks are missing, or a file exists with other content; nothing
        was written.
    LeaseHeldError
        If another run exports to the same folder; nothing was written.
    StoreError
        If the cube is damaged.
    RunStopsError, TransientError
        If the cube cannot be read or the folder cannot be written. The same call continues.
    """
    from ardcube.exporting.folder import ExportFolder  # zarr and GDAL are slow to import
    from ardcube.exporting.request import Wanted, plan_export

    start = time.perf_counter()
    if threads is not None and (type(threads) is not int or threads < 1):
        raise InputError(f"--threads {threads!r:.60}: not a number of threads; give 1 or more")
    periods, variables = ((names,) if isinstance(names, str) else names for names in (periods, variables))
    wanted = Wanted(format, periods, variables, bbox, template, allow_missing, at)
    export = plan_export(text_of(uri), wanted, storage_options)
    folder = text_of(output)
    place = Place.at(folder, storage_options if "://" in folder else None)
    ExportFolder(place).due(export.files, overwrite=overwrite)  # before anything is written
    with holding(place) as lease:
        target = ExportFolder(place)
        due = target.due(export.files, overwrite=overwrite)
        with target.parts() as parts:

            def write(file: Any) -> str:
                with tempfile.TemporaryDirectory(dir=parts) as own:
                    path = Path(own, "file")
                    _write(export, file, path)
                    lease.check()
                    target.publish(file, path)
                return str(file.name)

            # The library of netCDF is not safe for threads.
            at_once = (threads or cpu_count()) if format == "cog" else 1
            for name in call_in_threads(write, due, at_once, lease.check):
                logger.info("%s written", name)
    names = {file.name for file in due}
    written, kept = (
        tuple(f"{place.uri}/{file.name}" for file in export.files if (file.name in names) is new)
        for new in (True, False)
    )
    return ExportSummary(written, kept, time.perf_counter() - start)


export = python_names(export_cube)
"""`export_cube`, whose errors name keyword arguments instead of options."""


def _write(export: Any, file: Any, path: Path) -> None:
    """Write a file in the format of the export."""
    if export.format == "netcdf":
        from ardcube.exporting.netcdf import write_netcdf

        write_netcdf(export, file, path)
    else:
        from ardcube.exporting.cog import write_cog

        write_cog(export, file, path)
