"""The part of an export that one worker writes: some of the files, and their folder."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

from ardcube.errors import PermanentError, StoreError
from ardcube.exporting.folder import put
from ardcube.exporting.request import Export, ExportFile
from ardcube.lease.fence import Fence
from ardcube.runtime.same_version import installed_version, other_version
from ardcube.storage.failures import explained
from ardcube.storage.place import Place
from ardcube.store.schema import read_attributes


class ExportPart:
    """Files that a worker writes in one task run.

    Not a dataclass, because Prefect and Dask would search each of its fields for futures.

    Parameters
    ----------
    export : Export
        The cube, and the files of this part.
    folder : Place
        Folder of the export.
    parts : str, optional
        Folder for unfinished files. Default: that of the machine for temporary files.
    holder : str
        Id of the run's claim on the folder (`Lease.claim.holder`).
    """

    __slots__ = ("_holder", "_parts", "_version", "export", "folder")

    def __init__(self, export: Export, folder: Place, parts: str | None, holder: str) -> None:
        self.export = export
        self.folder = folder
        self._parts = parts
        self._holder = holder
        self._version = installed_version()

    def write_on(self, worker: str) -> dict[str, int]:
        """Write all files in another process than the flow's; return their bytes by name.

        Raises
        ------
        PermanentError
            If the worker has another version of this package.
        StoreError
            If the worker does not see the cube as the flow does, or a chunk is damaged.
        RunStopsError, TransientError
            If another run exports to the folder by now, or a store cannot be read or written.
        """
        if problem := other_version(self._version):
            raise PermanentError(f"worker {worker}: {problem}")
        place = self.export.place
        with explained(place.uri):
            seen = read_attributes(place)
        if seen != self.export.attributes:  # chunks that a worker does not see would be exported as nodata
            raise StoreError(
                f"worker {worker} does not see {place.uri} as the flow does; put the cube where all workers see it, "
                "and export it while no other run changes it"
            )
        fence = Fence(self.folder, self._holder)
        return {file.name: self.write(file, fence.check) for file in self.export.files}

    def write(self, file: ExportFile, check: Callable[[], None]) -> int:
        """Write one file and return its bytes.

        Parameters
        ----------
        file : ExportFile
            The file.
        check : callable
            Raises an error if the run no longer holds the folder; called before the file appears there.
        """
        with tempfile.TemporaryDirectory(dir=self._parts) as own:
            path = Path(own, "file")
            _write(self.export, file, path)
            size = path.stat().st_size
            check()
            put(self.folder, file.name, path)
        return size

    def __dask_tokenize__(self) -> str:
        """Return a unique token, because two task runs of the same files are two pieces of work."""
        return uuid.uuid4().hex


def _write(export: Export, file: ExportFile, path: Path) -> None:
    """Write a file in the format of the export."""
    if export.format == "netcdf":
        from ardcube.exporting.netcdf import write_netcdf

        write_netcdf(export, file, path)
    else:
        from ardcube.exporting.cog import write_cog

        write_cog(export, file, path)
