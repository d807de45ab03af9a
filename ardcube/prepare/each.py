"""Divide a request into one for each feature of its geometry file."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from ardcube.config import CubeConfig, RunConfig
from ardcube.errors import InputError
from ardcube.extent.geometry_file import read_features, texts_of
from ardcube.ledger.ledger import SUFFIX, Ledger
from ardcube.prepare.check import check_request
from ardcube.prepare.request import Request
from ardcube.stac_output.folder import part_of
from ardcube.storage.place import Place, cube_name

_NAME = re.compile(r"\w([\w. -]{0,98}\w)?")
"""Values that are safe as names of stores, on every filesystem."""
_MOST_LISTED = 5


def requests_of_each(
    cube: CubeConfig, run: RunConfig, check: Callable[[CubeConfig, RunConfig], Request] = check_request
) -> list[Request]:
    """Check the requests of all features; write nothing.

    Parameters
    ----------
    cube : CubeConfig
        Configuration of all cubes; its geometry file has the features.
    run : RunConfig
        `each` is the field that names the cubes, and the URI is the folder that gets them.
    check : callable
        Checks the request of one cube.

    Returns
    -------
    list of Request
        In the order of the file. The store of each is `VALUE.zarr` in the folder.

    Raises
    ------
    InputError
        If the values of the field are no names, or the request of a cube cannot be met.
    """
    requests = []
    for one, its_run in _divided(cube, run):
        try:
            requests.append(check(one, its_run))
        except InputError as error:
            error.args = (f"{one.feature}: {error}",)
            raise
    chunks = sum(request.most_chunks for request in requests)
    if chunks > run.most_chunks and not run.yes:
        raise InputError(
            f"the {len(requests)} cubes have {chunks} chunks, more than max-chunks {run.most_chunks}; choose fewer "
            "features or a coarser resolution, or confirm with --yes"
        )
    return requests


def name_of(request: Request) -> str:
    """Return the name of the cube of a feature: the value of its field."""
    return cube_name(request.place.uri)


def _divided(cube: CubeConfig, run: RunConfig) -> list[tuple[CubeConfig, RunConfig]]:
    """Return the configurations of the cubes, in the order of the file."""
    field = run.each
    assert field is not None
    if cube.geometry_file is None or cube.feature is not None:
        problem = "needs a geometry-file; give one" if cube.feature is None else "feature chooses one cube; omit one"
        raise InputError(f"each {field}: {problem}")
    folder = run.fsspec_uri.rstrip("/")
    if Ledger.of_store(Place.at(folder, run.storage_options)).read_cube() is not None:
        raise InputError(
            f"fsspec-uri {folder} holds a cube ({folder}{SUFFIX}); with each give the folder that gets the cubes"
        )
    path = Path(cube.geometry_file)
    texts = texts_of(read_features(path, cube.geometry_layer), field, path)
    _check_names([text for text in texts if text is not None], len(texts), f"each {field}: the field of {path}")
    return [
        (
            cube.model_copy(update={"feature": f"{field}={text}"}),
            run.model_copy(
                update={"fsspec_uri": f"{folder}/{text}.zarr", "each": None, "stac": part_of(run.stac, str(text))}
            ),
        )
        for text in texts
    ]


def _check_names(names: Sequence[str], features: int, subject: str) -> None:
    """Raise InputError if a feature has no name, or names are not safe or not distinct."""
    if len(names) < features:
        raise InputError(f"{subject} is empty in {features - len(names)} of {features} features; choose another field")
    bad = [name for name in names if not _NAME.fullmatch(name)]
    if bad:
        raise InputError(
            f"{subject} has values that are no names of cubes: {_listed(bad)}; choose a field of letters, digits and "
            "'_', '-', '.' or spaces between them"
        )
    same: dict[str, list[str]] = {}
    for name in names:  # as filesystems compare that ignore case
        same.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
    twice = [found[0] for found in same.values() if len(found) > 1]
    if twice:
        raise InputError(f"{subject} has equal values: {_listed(twice)}; choose a field whose values are distinct")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(f"{name!r:.60}" for name in names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
