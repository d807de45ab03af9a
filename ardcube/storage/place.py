"""Places that fsspec can reach: small files read, listed, and replaced in one piece."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.core import has_magic
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from ardcube.errors import InputError

Options = Mapping[str, Any]
"""Keyword arguments of an fsspec filesystem."""
_SILENCE_SECONDS = 15.0
"""How long s3fs waits for a store that says nothing, unless `config_kwargs={"read_timeout": ...}` says otherwise."""
_SILENCES = 8
"""Of them one call may take, with the retries of s3fs and botocore."""
SLOWEST = 50_000
"""Bytes per second of the slowest line that is waited for."""
_MUCH = 20_000_000
"""Bytes; what is read has an unknown size, and is a ledger's table at most."""


_NO_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}
"""What mounted object stores say that know nothing of it."""


def patience(fs: AbstractFileSystem, size: int = 0) -> float:
    """Longest wait for one call of a filesystem on the network, in seconds.

    Needed since s3fs knows no limit for all of a call: a store that takes the connection and never asks for the body
    would hang it for good, and each of 25 attempts may be silent for 15 s.

    Parameters
    ----------
    fs : AbstractFileSystem
        Its `config_kwargs` may hold another `read_timeout`, in seconds.
    size : int
        Bytes that are sent.
    """
    silence = (getattr(fs, "config_kwargs", None) or {}).get("read_timeout") or _SILENCE_SECONDS
    return _SILENCES * float(silence) + size / SLOWEST


def flush(path: Path) -> None:
    """Wait until a file lies on its disk and would outlast a power cut, with the name it has; about a millisecond."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder on some filesystem."""

    uri: str
    fs: AbstractFileSystem
    path: str
    """As the filesystem names it, without its protocol."""

    @classmethod
    def at(cls, uri: str, options: Options | None = None) -> Place:
        """Find the filesystem of a URI.

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

    @property
    def is_local(self) -> bool:
        """Whether it lies on a disk of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    def beside(self, suffix: str) -> Place:
        """The place whose name is this one's with a suffix."""
        return Place(self.uri + suffix, self.fs, self.path + suffix)

    def file(self, name: str) -> str:
        """Path of a file in it."""
        return f"{self.path}/{name}"

    def exists(self, name: str = "") -> bool:
        """Whether it, or a file in it, exists; the filesystem is asked anew."""
        self.fs.invalidate_cache()
        return bool(self.fs.exists(self.file(name) if name else self.path))

    def read(self, name: str) -> bytes | None:
        """Content of a file, or None where there is none."""
        path = self.file(name)
        try:
            # A resume reads very many small files; fsspec's way to a local one takes several times as long.
            content: bytes = (
                Path(path).read_bytes() if self.is_local else self.fs.cat_file(path, **self._at_most(_MUCH))
            )
        except FileNotFoundError:
            return None
        return content

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Content of several files, fetched together where the filesystem can; missing ones are left out."""
        names = list(names)
        if not self.fs.async_impl:
            return {name: content for name in names if (content := self.read(name)) is not None}
        # Not `cat`, which takes a `[` in a path for a pattern.
        paths = [self.file(name) for name in names]
        found = self.fs.cat_ranges(paths, None, None, on_error="return", **self._at_most(_MUCH)) if paths else []
        missing = [
            error for error in found if isinstance(error, Exception) and not isinstance(error, FileNotFoundError)
        ]
        if missing:
            raise missing[0]
        return {name: content for name, content in zip(names, found, strict=True) if isinstance(content, bytes)}

    def write(self, name: str, content: bytes) -> None:
        """Replace a file in one piece: a reader sees the old content or the new, never a part."""
        path = self.file(name)
        if not self.is_local:
            self.fs.pipe_file(path, content, **self._at_most(len(content)))
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
        """Argument that bounds a call; only what is asynchronous below can be given up."""
        return {"timeout": patience(self.fs, size)} if self.fs.async_impl else {}

    def list_files(self, folder: str) -> list[str]:
        """Names of the files in one of its folders, relative to it, and of none below."""
        self.fs.invalidate_cache()
        try:
            found = self.fs.ls(self.file(folder), detail=True)
        except FileNotFoundError:
            return []
        return [entry["name"][len(self.path) + 1 :] for entry in found if entry["type"] == "file"]

    def list(self, folder: str = "") -> list[str]:
        """Names of all files in it or in one of its folders, relative to it, at any depth."""
        self.fs.invalidate_cache()
        root = self.file(folder) if folder else self.path
        try:
            found = self.fs.find(root)
        except FileNotFoundError:
            return []
        return [path[len(self.path) + 1 :] for path in found if not path.endswith(".part")]

    def stamp(self, name: str) -> Mapping[str, Any] | None:
        """What the filesystem says of a file, another thing after each change; None where there is none."""
        self.fs.invalidate_cache()
        try:
            stamp: Mapping[str, Any] = self.fs.info(self.file(name))
        except FileNotFoundError:
            return None
        return stamp

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; those that are gone already do not matter."""
        paths = [self.file(name) for name in names]
        if self.is_local:
            for path in paths:
                Path(path).unlink(missing_ok=True)
        elif self.fs.async_impl and paths:
            plain = [path for path in paths if not has_magic(path)]  # `rm` takes a `[` in a path for a pattern
            if plain:
                self.fs.rm(plain)  # many at once; object stores do not mind missing ones
            self._remove_each(set(paths) - set(plain))
        else:
            self._remove_each(paths)

    def _remove_each(self, paths: Iterable[str]) -> None:
        for path in paths:
            with suppress(FileNotFoundError):
                self.fs.rm_file(path)

    def remove_empty_folders(self) -> None:
        """Delete the folders, and itself, that no file is left in; object stores have none."""
        if not self.is_local:
            return
        for folder, _, _ in os.walk(self.path, topdown=False):
            if not any(Path(folder).iterdir()):
                Path(folder).rmdir()


def cube_name(uri: str) -> str:
    """Return the short name of a cube: ``vancouver`` for ``s3://bucket/cubes/vancouver.zarr``."""
    return PurePosixPath(uri.rstrip("/")).name.removesuffix(".zarr") or uri
