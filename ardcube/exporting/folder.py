"""The folder of an export: files appear whole, and a list says from what each of them was written."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from ardcube.errors import InputError
from ardcube.exporting.request import ExportFile
from ardcube.exporting.selection import LIST
from ardcube.storage.failures import explained
from ardcube.storage.place import Place, flush

_PARTS = ".ardcube-export-"
"""First letters of the folder of unfinished files, which the next export removes."""
_FEW = 3
"""Files that an error names."""


class ExportFolder:
    """A folder that one run at a time exports to.

    Parameters
    ----------
    place : Place
        Location of the folder, on any filesystem.

    Raises
    ------
    InputError
        If the location is a file.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._lock = Lock()
        if place.is_local and Path(place.path).is_file():
            raise InputError(f"--output {place.uri}: is a file; give a folder")
        self._listed = self._read()

    def due(self, files: Sequence[ExportFile], *, overwrite: bool) -> list[ExportFile]:
        """Return the files that do not exist yet, or were written from something else.

        Raises
        ------
        InputError
            If a file has other content and `overwrite` is not set.
        """
        sizes = {file.name: self._size(file.name) for file in files}
        due = [file for file in files if not self._is_complete(file, sizes[file.name])]
        other = [file.name for file in due if sizes[file.name] is not None]
        if other and not overwrite:
            raise InputError(
                f"--output {self.place.uri}: {_named(other)} exists with other content; add --overwrite, or give "
                "another folder"
            )
        return due

    def publish(self, file: ExportFile, path: Path) -> None:
        """Move a finished file into the folder.

        The list is written first: a run that is killed in between finds no file, and writes it again.

        Raises
        ------
        UnwritableError, TransientError
            If the filesystem refuses the file, permanently or for a while.
        """
        place = self.place
        with explained(place.uri), self._lock:
            place.remove([file.name])  # the file of an earlier export could have the same size
            self._listed[file.name] = {"inputs": file.inputs, "bytes": path.stat().st_size}
            place.write(LIST, json.dumps(self._listed, indent=1, sort_keys=True).encode())
        with explained(place.uri):
            if place.is_local:
                target = Path(place.file(file.name))
                target.parent.mkdir(parents=True, exist_ok=True)
                flush(path)
                path.replace(target)
            else:
                place.fs.put_file(str(path), place.file(file.name))

    @contextmanager
    def parts(self) -> Iterator[Path]:
        """Yield a folder for unfinished files; remove it at the end, and those of runs that were killed."""
        local = Path(self.place.path) if self.place.is_local else None
        with explained(self.place.uri):
            if local is not None:
                local.mkdir(parents=True, exist_ok=True)
                for left in local.glob(f"{_PARTS}*"):
                    shutil.rmtree(left, ignore_errors=True)
            folder = tempfile.mkdtemp(prefix=_PARTS, dir=local)
        try:
            yield Path(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _read(self) -> dict[str, Mapping[str, object]]:
        """Read the list; a damaged one counts as none, so that its files need `overwrite`."""
        with explained(self.place.uri):
            content = self.place.read(LIST)
        try:
            found = json.loads(content or b"{}")
        except (ValueError, RecursionError):
            return {}
        return {name: one for name, one in found.items() if isinstance(one, dict)} if isinstance(found, dict) else {}

    def _size(self, name: str) -> int | None:
        """Return the bytes of a file; None if it does not exist."""
        if self.place.is_local:
            path = Path(self.place.file(name))
            return path.stat().st_size if path.exists() else None
        stamp = self.place.stamp(name)
        return None if stamp is None else int(stamp["size"])

    def _is_complete(self, file: ExportFile, size: int | None) -> bool:
        listed = self._listed.get(file.name, {})
        return size is not None and (listed.get("inputs"), listed.get("bytes")) == (file.inputs, size)


def _named(names: Sequence[str]) -> str:
    more = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {more} more" if more > 0 else "")
