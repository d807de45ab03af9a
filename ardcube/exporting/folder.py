"""The folder of an export: files appear whole, and a list says from what each of them was written."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ardcube.errors import InputError
from ardcube.exporting.request import ExportFile
from ardcube.exporting.selection import LIST
from ardcube.storage.failures import explained
from ardcube.storage.place import Place, flush
from ardcube.storage.writable import can_write

_PARTS = ".ardcube-export-"
"""First letters of the folder of unfinished files, which the next export removes."""
_BYTES = "bytes"
"""Field of the list: bytes of a finished file; null while it is unfinished."""
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
        If the location is a file, or cannot be written.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        if place.is_local and Path(place.path).is_file():
            raise InputError(f"--output {place.uri}: is a file; give a folder")
        if place.is_local and not can_write(Path(place.path)):
            raise InputError(f"--output {place.uri}: cannot be written; choose a folder that you may write to")
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
        other = [file.name for file in due if sizes[file.name] is not None and not self._is_begun(file.name)]
        if other and not overwrite:
            raise InputError(
                f"--output {self.place.uri}: {_named(other)} exists with other content; add --overwrite, or give "
                "another folder"
            )
        return due

    def begin(self, files: Sequence[ExportFile]) -> None:
        """List files as unfinished before the first of them is written.

        A run that is killed leaves files of which the list does not know the size; the next run writes them again.
        """
        if files:
            self._listed |= {file.name: {"inputs": file.inputs, _BYTES: None} for file in files}
            self._write()

    def finish(self, sizes: Mapping[str, int]) -> None:
        """List files as finished, with their bytes."""
        if sizes:
            self._listed |= {name: {**self._listed[name], _BYTES: size} for name, size in sizes.items()}
            self._write()

    @contextmanager
    def parts(self) -> Iterator[str | None]:
        """Yield a folder for unfinished files, None for that of the machine; remove it, and those of killed runs."""
        if not self.place.is_local:
            yield None
            return
        local = Path(self.place.path)
        with explained(self.place.uri):
            local.mkdir(parents=True, exist_ok=True)
            for left in local.glob(f"{_PARTS}*"):
                shutil.rmtree(left, ignore_errors=True)
            folder = tempfile.mkdtemp(prefix=_PARTS, dir=local)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _write(self) -> None:
        with explained(self.place.uri):
            self.place.write(LIST, json.dumps(self._listed, indent=1, sort_keys=True).encode())

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
        return size is not None and (listed.get("inputs"), listed.get(_BYTES)) == (file.inputs, size)

    def _is_begun(self, name: str) -> bool:
        listed = self._listed.get(name)
        return listed is not None and listed.get(_BYTES, 0) is None


def put(place: Place, name: str, path: Path) -> None:
    """Move a finished file of this machine into a folder, where it appears whole.

    Raises
    ------
    UnwritableError, TransientError
        If the filesystem refuses the file, permanently or for a while.
    """
    with explained(place.uri):
        if place.is_local:
            target = Path(place.file(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            flush(path)
            path.replace(target)
        else:
            place.fs.put_file(str(path), place.file(name))


def _named(names: Sequence[str]) -> str:
    more = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {more} more" if more > 0 else "")
