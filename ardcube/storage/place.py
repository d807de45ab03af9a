"""A folder on any fsspec filesystem, whose small files are read, listed and replaced atomically."""

from __future__ import annotations

import ctypes
import errno
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import fsspec
from fsspec.core import has_magic
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from ardcube.errors import ArdcubeError, InputError, TransientError
from ardcube.redaction import without_secrets
from ardcube.runtime.outages import outlast
from ardcube.storage.failures import explain

_T = TypeVar("_T")
Options = Mapping[str, Any]
"""Keyword arguments of an fsspec filesystem."""
_SILENCE_SECONDS = 15.0
"""Seconds that s3fs waits for an answer, without `config_kwargs={"read_timeout": ...}`."""
_SILENCES = 8
"""Waits for an answer in one call, with the retries of s3fs and botocore."""
SLOWEST = 50_000
"""Bytes per second of the slowest supported connection."""
_SMALL = 10_000
"""Bytes of a file such as a lease."""
LARGE = 20_000_000
"""Bytes of a ledger's table, the largest file that is read; its real size is not known before."""
_NO_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}
"""Error numbers of mounted object stores that have no fsync."""


def patience(fs: AbstractFileSystem, size: int = 0) -> float:
    """Return the longest time that one call of a network filesystem may take, in seconds.

    s3fs has no limit for a whole call. A store that accepts the connection and never asks for the body would block it
    forever, and each of 25 attempts may wait 15 s.

    Parameters
    ----------
    fs : AbstractFileSystem
        Filesystem; its `config_kwargs` may set `read_timeout`, in seconds.
    size : int
        Bytes to transfer.
    """
    silence = (getattr(fs, "config_kwargs", None) or {}).get("read_timeout") or _SILENCE_SECONDS
    return _SILENCES * float(silence) + size / SLOWEST


def flush(path: Path) -> None:
    """Write a file and its name through to the disk, so that both survive a power failure; about a millisecond."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(descriptor)


def flush_filesystem(path: Path) -> None:
    """Write all files of the filesystem that holds a path through to the disk (syncfs(2)).

    One call takes milliseconds for thousands of files that other processes of this machine have written.

    Raises
    ------
    OSError
        If the disk reports an error.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if not hasattr(libc, "syncfs"):
            os.sync()
        elif libc.syncfs(descriptor) and (number := ctypes.get_errno()) not in _NO_FLUSH:
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder on an fsspec filesystem: the location of a store or of its ledger."""

    uri: str
    fs: AbstractFileSystem
    path: str
    """Path without the protocol."""
    patience: float = 0.0
    """Seconds to wait for a store on the network that does not answer; 0 fails at once."""

    @classmethod
    def at(cls, uri: str, options: Options | None = None) -> Place:
        """Return the folder at a URI.

        Raises
        ------
        InputError
            If the URI's protocol is unknown or its driver is not installed.
        """
        try:
            fs, path = fsspec.url_to_fs(uri, **(options or {}))
        except ImportError as error:
            raise InputError(f"fsspec-uri {uri} needs a driver that is not installed: {error}") from error
        except (ValueError, TypeError) as error:
            raise InputError(
                f"fsspec-uri {uri} cannot be used: {error}; give a local path, file://, s3:// or another URI of fsspec"
            ) from error
        return cls(uri.rstrip("/"), fs, path.rstrip("/"))

    def waiting(self, patience: float) -> Place:
        """Return the same folder with another patience, in seconds."""
        return replace(self, patience=patience)

    def outlast(self, operation: Callable[[], _T], size: int = 0) -> _T:
        """Repeat an operation on the folder while its store does not answer, and return its result.

        Parameters
        ----------
        operation : callable
            Operation that may be repeated. Errors that a retry cannot avoid are raised at once, as they are.
        size : int
            Bytes to transfer at most.

        Raises
        ------
        OutageError
            If the store does not answer for as long as `patience`.
        """
        if self.is_local or not self.patience:
            return operation()
        return outlast(self.store, self.patience, operation, self._reason, size / SLOWEST)

    def _reason(self, error: Exception) -> str | None:
        """Return the text of a transient error; None for any other error."""
        known = error if isinstance(error, ArdcubeError) else explain(error, self.uri)
        text = str(error) if known is error else f"{type(error).__name__}: {error}"
        return " ".join(without_secrets(text).split())[:200] if isinstance(known, TransientError) else None

    @property
    def store(self) -> str:
        """Address of the bucket or server, for messages about the store as a whole."""
        return f"{self.uri.partition('://')[0]}://{self.bucket}"

    @property
    def is_local(self) -> bool:
        """Whether the filesystem is mounted on this machine."""
        return isinstance(self.fs, LocalFileSystem)

    def sibling(self, suffix: str) -> Place:
        """Return the folder whose name is this one's with a suffix."""
        return replace(self, uri=self.uri + suffix, path=self.path + suffix)

    def child(self, name: str) -> Place:
        """Return a subfolder."""
        return replace(self, uri=f"{self.uri}/{name}", path=f"{self.path}/{name}")

    def file(self, name: str) -> str:
        """Return the path of a file in the folder."""
        return f"{self.path}/{name}"

    @property
    def bucket(self) -> str:
        """Name of the bucket of an object store."""
        return self.path.lstrip("/").partition("/")[0]

    def key(self, name: str) -> str:
        """Return the key of a file in the bucket of an object store."""
        return f"{self.path.lstrip('/').partition('/')[2]}/{name}".lstrip("/")

    def exists(self, name: str = "") -> bool:
        """Return whether the folder, or a file in it, exists; cached listings are not used."""
        self.fs.invalidate_cache()
        return self.outlast(lambda: bool(self.fs.exists(self.file(name) if name else self.path)))

    def read(self, name: str, size: int = LARGE) -> bytes | None:
        """Return the content of a file of at most so many bytes; None if it is missing."""
        path = self.file(name)
        try:
            if self.is_local:  # a resume reads very many small files, and fsspec takes several times as long for one
                return Path(path).read_bytes()
            content: bytes = self.outlast(lambda: self.fs.cat_file(path, **self._at_most(size)), size)
        except FileNotFoundError:
            return None
        return content

    def read_now(self, name: str, size: int = _SMALL) -> bytes | None:
        """Return the content of a file, past any listing that the filesystem keeps; None if it is missing."""
        # s3fs takes a file for missing if a listing of its folder that it keeps does not name the file.
        self.fs.invalidate_cache(self.file(name))
        return self.read(name, size)

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return the content of several files, read concurrently if possible; missing files are left out."""
        names = list(names)
        if not self.fs.async_impl:
            return {name: content for name in names if (content := self.read(name)) is not None}
        # Not `cat`, which treats a `[` in a path as a pattern.
        paths = [self.file(name) for name in names]
        found = self.outlast(lambda: self._read_all(paths), LARGE) if paths else []
        return {name: content for name, content in zip(names, found, strict=True) if isinstance(content, bytes)}

    def _read_all(self, paths: Sequence[str]) -> Sequence[object]:
        """Return the content of files, and FileNotFoundError for a missing one."""
        found: Sequence[object] = self.fs.cat_ranges(paths, None, None, on_error="return", **self._at_most(LARGE))
        for error in found:
            if isinstance(error, Exception) and not isinstance(error, FileNotFoundError):
                raise error
        return found

    def write(self, name: str, content: bytes) -> None:
        """Replace a file atomically: a reader sees the old content or the new one."""
        path = self.file(name)
        if not self.is_local:
            size = len(content)
            self.outlast(lambda: self.fs.pipe_file(path, content, **self._at_most(size)), size)
            return
        part = Path(f"{path}.{uuid.uuid4().hex}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            flush(part)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _at_most(self, size: int) -> dict[str, float]:
        """Return the timeout of a call; only calls of asynchronous filesystems can be cancelled."""
        return {"timeout": patience(self.fs, size)} if self.fs.async_impl else {}

    def list_files(self, folder: str) -> list[str]:
        """Return the names of the files directly in a subfolder, relative to the folder."""
        self.fs.invalidate_cache()
        try:
            found = self.outlast(lambda: self.fs.ls(self.file(folder), detail=True))
        except FileNotFoundError:
            return []
        return [entry["name"][len(self.path) + 1 :] for entry in found if entry["type"] == "file"]

    def folders(self) -> list[str]:
        """Return the names of the folders directly in the folder."""
        self.fs.invalidate_cache()
        try:
            found = self.outlast(lambda: self.fs.ls(self.path, detail=True))
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = [entry["name"].rstrip("/") for entry in found if entry["type"] == "directory"]
        return [name.rpartition("/")[2] for name in names if name != self.path]

    def list(self, folder: str = "") -> list[str]:
        """Return the names of all files in the folder or a subfolder, at any depth, relative to the folder."""
        self.fs.invalidate_cache()
        root = self.file(folder) if folder else self.path
        try:
            found = self.outlast(lambda: self.fs.find(root))
        except FileNotFoundError:
            return []
        return [path[len(self.path) + 1 :] for path in found if not path.endswith(".part")]

    def stamp(self, name: str) -> Mapping[str, Any] | None:
        """Return the filesystem's metadata of a file, which differ after each change; None if it is missing."""
        self.fs.invalidate_cache()
        try:
            stamp: Mapping[str, Any] = self.outlast(lambda: self.fs.info(self.file(name)))
        except FileNotFoundError:
            return None
        return stamp

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; missing files are ignored."""
        paths = [self.file(name) for name in names]
        if self.is_local:
            for path in paths:
                Path(path).unlink(missing_ok=True)
            return
        self.outlast(lambda: self._remove(paths))

    def _remove(self, paths: Sequence[str]) -> None:
        if self.fs.async_impl and paths:
            plain = [path for path in paths if not has_magic(path)]  # `rm` treats a `[` in a path as a pattern
            if plain:
                self.fs.rm(plain)  # concurrently; object stores ignore missing keys
            self._remove_each(set(paths) - set(plain))
        else:
            self._remove_each(paths)

    def _remove_each(self, paths: Iterable[str]) -> None:
        for path in paths:
            with suppress(FileNotFoundError):
                self.fs.rm_file(path)

    def remove_empty_folders(self) -> None:
        """Delete the empty subfolders, and the folder if it is empty; object stores have no folders."""
        if not self.is_local:
            return
        for folder, _, _ in os.walk(self.path, topdown=False):
            if not any(Path(folder).iterdir()):
                Path(folder).rmdir()


def cube_name(uri: str) -> str:
    """Return the short name of a cube: ``vancouver`` for ``s3://bucket/cubes/vancouver.zarr``."""
    return PurePosixPath(uri.rstrip("/")).name.removesuffix(".zarr") or uri
