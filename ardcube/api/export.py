"""Export a cube to files of other formats, in threads of this process."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ardcube.api.existing import Uri, text_of
from ardcube.api.python_names import python_names
from ardcube.api.thread_pool import call_in_threads
from ardcube.errors import InputError
from ardcube.runtime.cpus import cpu_count

if TYPE_CHECKING:
    from ardcube.exporting.request import ExportFile, Format
    from ardcube.exporting.running import ExportSummary

logger = logging.getLogger(__name__)


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
    from ardcube.exporting.request import Wanted  # zarr and GDAL are slow to import
    from ardcube.exporting.running import ExportOrder, started

    if threads is not None and (type(threads) is not int or threads < 1):
        raise InputError(f"--threads {threads!r:.60}: not a number of threads; give 1 or more")
    periods, variables = ((names,) if isinstance(names, str) else names for names in (periods, variables))
    wanted = Wanted(format, periods, variables, bbox, template, allow_missing, at)
    with started(ExportOrder(text_of(uri), text_of(output), wanted, overwrite, storage_options)) as running:
        part = running.part(running.due)

        def write(file: ExportFile) -> dict[str, int]:
            return {file.name: part.write(file, running.check)}

        for sizes in call_in_threads(write, running.due, threads or cpu_count(), running.check):
            running.finish(sizes)
            logger.info("%s written", *sizes)
        return running.summary()


export = python_names(export_cube)
"""`export_cube`, whose errors name keyword arguments instead of options."""
