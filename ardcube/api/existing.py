"""The cube at a URI, and the run configuration that a call describes by keyword arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ardcube.config import RunConfig
from ardcube.errors import InputError
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.stored_cube import StoredCube, no_cube_error
from ardcube.storage.place import Place

Uri = str | os.PathLike[str]
"""A local path, or a URI that fsspec knows, such as s3://bucket/cube.zarr."""

_OF_THE_FLOW = (
    "adapt",
    "batch_size",
    "cluster_class",
    "cluster_options",
    "credentials_block",
    "debug",
    "scheduler_address",
    "serverless_backend",
    "workers",
)
"""Fields of `RunConfig` that only a flow uses, as those whose name begins with `coiled_`."""


@dataclass(frozen=True, slots=True)
class ExistingCube:
    """A cube that ardcube wrote."""

    place: Place
    """Location of the store."""
    ledger: Ledger
    cube: StoredCube


def find_cube(uri: Uri, storage_options: Mapping[str, Any] | None = None) -> ExistingCube:
    """Find the cube at a URI.

    Raises
    ------
    InputError
        If there is no cube that ardcube wrote.
    StoreError
        If its description is damaged.
    """
    place = Place.at(text_of(uri), storage_options)
    ledger = Ledger.of_store(place)
    cube = StoredCube.read(ledger)
    if cube is None:
        raise no_cube_error(place, ledger)
    return ExistingCube(place, ledger, cube)


def text_of(uri: Uri) -> str:
    """Return a path or URI as text.

    Raises
    ------
    InputError
        If it is of another type, or empty.
    """
    try:
        text = os.fspath(uri)
    except TypeError:
        raise InputError(f"uri {uri!r:.100}: neither text nor a path; give a local path or a URI") from None
    if not isinstance(text, str) or not text:
        raise InputError(f"uri {text!r:.100}: not a location; give a local path or a URI")
    return text


def run_config(uri: Uri, options: Mapping[str, Any], *, builds: bool = True) -> RunConfig:
    """Return the run configuration of keyword arguments.

    Parameters
    ----------
    uri : str or path
        Location of the store.
    options : mapping
        Fields of `RunConfig`.
    builds : bool
        Whether threads of this process build chunks, which use no cluster. A plan may be that of a cluster.

    Raises
    ------
    InputError
        If an argument is unknown, of no use without a flow, or has a value that is not allowed.
    """
    for name in options:
        if builds and (name in _OF_THE_FLOW or name.startswith("coiled_")):
            raise InputError(
                f"{name}: chunks are built by threads of this process; leave it out, or run `ardcube build`"
            )
    try:
        return RunConfig(**({"fsspec_uri": text_of(uri)} | dict(options)))
    except ValidationError as error:
        raise InputError("; ".join(map(_explained, error.errors()))) from None


def _explained(problem: Any) -> str:
    name = ".".join(map(str, problem["loc"])) or "options"
    if problem["type"] == "extra_forbidden":
        return f"{name}: no such option; see the fields of ardcube.RunConfig"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name} {problem['input']!r:.100}: {message}" if problem["type"] != "value_error" else f"{name}: {message}"
