"""A running export: the files that are due, their folder, and its lease."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ardcube.exporting.folder import ExportFolder
from ardcube.exporting.part import ExportPart
from ardcube.exporting.request import Export, ExportFile, Wanted, plan_export
from ardcube.lease.acquire import holding
from ardcube.lease.lease import Lease
from ardcube.storage.place import Place
from ardcube.storage.writable import make_folder


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """Files of an export."""

    written: tuple[str, ...]
    """Addresses of the files that this run wrote."""
    kept: tuple[str, ...]
    """Addresses of the files that an earlier run had written from the same pixels."""
    seconds: float

    @property
    def message(self) -> str:
        """Counts of the files in a few words."""
        return f"{len(self.written)} written" + (f", {len(self.kept)} kept" if self.kept else "")


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """A request for an export."""

    uri: str
    """Store of the cube."""
    output: str
    """Folder of the files."""
    wanted: Wanted = field(default_factory=Wanted)
    overwrite: bool = False
    """Replace files that have other content."""
    storage_options: Mapping[str, Any] | None = None
    """Options of the filesystem of the cube, and of the folder if it is a URI too."""

    def folder(self) -> Place:
        """Return the place of the folder."""
        return Place.at(self.output, self.storage_options if "://" in self.output else None)


class RunningExport:
    """An export that holds the lease of its folder (`started`).

    Attributes
    ----------
    due : list of ExportFile
        Files to write.
    """

    def __init__(
        self, export: Export, folder: ExportFolder, due: Sequence[ExportFile], lease: Lease, start: float
    ) -> None:
        self.due = list(due)
        self._export = export
        self._folder = folder
        self._lease = lease
        self._parts: str | None = None
        self._start = start
        self.check = lease.check

    @contextmanager
    def begun(self) -> Iterator[None]:
        """List the due files as unfinished, and hold a folder for their parts during the block."""
        with self._folder.parts() as self._parts:
            self._lease.check()
            self._folder.begin(self.due)
            yield

    def part(self, files: Sequence[ExportFile]) -> ExportPart:
        """Return the part of an export with some of its files."""
        export = replace(self._export, files=tuple(files))
        return ExportPart(export, self._folder.place, self._parts, self._lease.claim.holder)

    def finish(self, sizes: Mapping[str, int]) -> None:
        """List files as finished, with their bytes."""
        self._lease.check()
        self._folder.finish(sizes)

    def summary(self) -> ExportSummary:
        """Return the files of the export, all of which are written."""
        names, uri = {file.name for file in self.due}, self._folder.place.uri
        written, kept = (
            tuple(f"{uri}/{file.name}" for file in self._export.files if (file.name in names) is new)
            for new in (True, False)
        )
        return ExportSummary(written, kept, time.perf_counter() - self._start)


def check(order: ExportOrder) -> Export:
    """Check a request, and return the cube and the files of the export; write nothing.

    Raises
    ------
    InputError
        If the request cannot be met, or a file has other content.
    StoreError
        If the cube is damaged.
    """
    export = plan_export(order.uri, order.wanted, order.storage_options)
    ExportFolder(order.folder()).due(export.files, overwrite=order.overwrite)
    return export


@contextmanager
def started(order: ExportOrder, hold: Callable[[Place], Any] = holding) -> Iterator[RunningExport]:
    """Check a request, then hold the lease of its folder during the block.

    Parameters
    ----------
    order : ExportOrder
        The request.
    hold : callable
        Returns a context with the lease of a place.

    Raises
    ------
    InputError
        If the request cannot be met, or a file has other content; nothing was written.
    LeaseHeldError
        If another run exports to the folder; nothing was written.
    StoreError
        If the cube is damaged.
    """
    start = time.perf_counter()
    export = check(order)
    place = order.folder()
    if place.is_local:
        make_folder(Path(place.path), "--output")
    with hold(place) as lease:
        folder = ExportFolder(place)
        due = folder.due(export.files, overwrite=order.overwrite)
        running = RunningExport(export, folder, due, lease, start)
        with running.begun():
            yield running
