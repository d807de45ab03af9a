"""Compare the layout of a store, as its Zarr metadata states it, with the layout that ardcube creates."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Self

from ardcube.errors import ArdcubeError, StoreError
from ardcube.storage.place import Place

METADATA = "zarr.json"
"""Name of the object that holds the metadata of a group or an array."""
_CODECS = {"bytes", "blosc", "crc32c", "gzip", "sharding_indexed", "vlen-utf8", "zstd"}
"""Codecs of cubes. Others are never looked up: which code that runs would depend on the installed packages."""

_OF_DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError,
    SystemError,  # raised by numcodecs for a chunk of negative length
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """How one array is stored."""

    data_type: str
    fill_value: Any
    shape: tuple[int, ...]
    object_shape: tuple[int, ...]
    """Shape of one object: a chunk, or a shard."""
    codecs: tuple[str, ...]
    """Names; those of a shard's chunks and of its index follow `sharding_indexed`."""
    chunk_shape: tuple[int, ...]
    """Shape of the chunks in a shard; equal to `object_shape` without sharding."""

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Self:
        """Read the layout from the metadata of an array.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError
            If the metadata are not those of an array of Zarr version 3 with the codecs of a cube.
        """
        if (metadata["zarr_format"], metadata["node_type"]) != (3, "array"):
            raise ValueError("not an array of Zarr version 3")
        object_shape = chunk_shape = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
        codecs = metadata["codecs"]
        if codecs[0]["name"] == "sharding_indexed":
            shard = codecs[0]["configuration"]
            chunk_shape = tuple(shard["chunk_shape"])
            codecs = [*codecs, *shard["codecs"], *shard["index_codecs"]]
        names = tuple(codec["name"] for codec in codecs)
        if not _CODECS.issuperset(names) or names.count("sharding_indexed") > 1:
            raise ValueError(f"no cube has the codecs {names!r:.200}")
        shape = tuple(metadata["shape"])
        return cls(metadata["data_type"], metadata["fill_value"], shape, object_shape, names, chunk_shape)


def read_layouts(place: Place) -> dict[str, Layout]:
    """Read the layout of each array from the consolidated metadata, before zarr looks up codecs named there.

    Raises
    ------
    StoreError
        If these are not the arrays of a cube.
    """
    with damage_as_store_error(place.uri):
        group = json.loads(place.read(METADATA) or b"{}")
        if (group["zarr_format"], group["node_type"]) != (3, "group"):
            raise ValueError("not a group of Zarr version 3")
        arrays = group["consolidated_metadata"]["metadata"]
        layouts = {name: Layout.of(array) for name, array in arrays.items()}
        for name, array in arrays.items():
            axes = tuple(array.get("dimension_names") or ())
            if len(axes) == 4 and axes[0] == "time" and axes[3] == "band":
                _check_axes(layouts, name, axes)
        return layouts


def check_layouts(place: Place, created: Mapping[str, Layout]) -> None:
    """Raise StoreError if the layout of an array, in its own or the consolidated metadata, is not the created one."""
    consolidated = read_layouts(place)
    own = place.read_many(f"{name}/{METADATA}" for name in created)
    with damage_as_store_error(place.uri):
        for name, expected in created.items():
            for found in (consolidated[name], Layout.of(json.loads(own[f"{name}/{METADATA}"]))):
                for field in fields(Layout):
                    stored, right = getattr(found, field.name), getattr(expected, field.name)
                    if stored != right:
                        raise ValueError(f"{field.name} of {name} is {stored!r:.200} instead of {right!r}")


@contextmanager
def damage_as_store_error(uri: str) -> Iterator[None]:
    """Raise the errors that damaged metadata or pixels of a store lead to as StoreError."""
    try:
        yield
    except ArdcubeError:
        raise
    except _OF_DAMAGE as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split()):.300}"
        raise StoreError(
            f"{uri} is damaged, or was edited ({reason}); restore it, or build the cube again with --overwrite"
        ) from error


def _check_axes(layouts: Mapping[str, Layout], name: str, axes: Sequence[str]) -> None:
    """Raise ValueError if a coordinate is not as long as the axis of an array of pixels."""
    for axis, length in zip(axes, layouts[name].shape, strict=True):
        if layouts[axis].shape != (length,):
            raise ValueError(f"{axis} has {layouts[axis].shape!r:.100} coordinates for {length} pixels of {name}")
