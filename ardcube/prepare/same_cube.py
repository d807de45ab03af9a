"""Compare a request with the cube that the store holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from ardcube.config.variables import MEDIAN
from ardcube.errors import InputError
from ardcube.ledger.stored_cube import check_pixel_rules, with_encoding
from ardcube.prepare.request import Request


def with_stored_cube(request: Request) -> Request:
    """Return the request with what `cube.json` says now.

    Called again once the run holds the lease, because another run may have created or extended the cube meanwhile.

    Raises
    ------
    InputError
        If the existing cube has another configuration.
    """
    stored = None if request.run.overwrite else request.ledger.read_cube()
    if stored is not None:
        _check_same_cube(request, stored)
    return replace(request, stored=stored)


def _check_same_cube(request: Request, stored: dict[str, Any]) -> None:
    """Raise InputError, with both values, if the existing cube has another configuration or other pixel rules."""
    requested, existing = request.identity, stored["identity"]
    check_pixel_rules(request.place, existing)
    given = request.cube.given_encoding
    if given is not None:
        requested = with_encoding(requested, given.encoding(), given=True)
    elif stored["config"].get("encoding") is None and "encoding" in existing:
        requested["encoding"] = existing["encoding"]  # it follows from the collection, which is the same
    there, here = _with_usual(existing), _with_usual(requested)
    differences = [
        f"{name.replace('_', '-')} is {_shown(there.get(name))} there and {_shown(here.get(name))} here"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    if not differences and request.end < stored["end"]:
        last = _last(stored["end"])
        raise InputError(
            f"--end-date {request.cube.end_date}: the cube at {request.place.uri} reaches to {last}, and a build "
            f"keeps all of its periods; give {last} or later, another location, or --overwrite"
        )
    if not differences and (moved := _first_difference(stored.get("periods"), request.listed)):
        differences = [moved]
    if differences:
        raise InputError(
            f"fsspec-uri {request.place.uri} holds another cube: {'; '.join(differences)}; choose another location, "
            "the same configuration, or --overwrite"
        )


def _with_usual(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return an identity with the values that it does not state because they are the usual ones."""
    usual = {
        "composites": [MEDIAN],
        "layout": "flat",
        "quality": [],
        "shard": 1,
        "storage_backend": "fsspec",
    }
    shown = {name: value for name, value in identity.items() if value is not None}
    if (months := shown.pop("time_frequency_months", None)) is not None:
        shown["period"] = f"{months}M"
    return usual | shown


def _shown(value: Any) -> str:
    return "not given" if value is None else repr(value)


def _last(end: Any) -> str:
    """Return the last month or day before the end of a time axis, which `cube.json` states and may be edited."""
    try:
        before = date.fromisoformat(f"{end}-01"[:10]) - timedelta(days=1)
    except ValueError:
        return f"before {end!s:.40}"
    return f"{before:%Y-%m-%d}" if len(end) > len("2023-01") else f"{before:%Y-%m}"


def _first_difference(stored: Any, requested: Sequence[Any]) -> str:
    """Return the first period of a file that differs from the stored one; a longer file is no difference."""
    if not requested:  # the periods of this cube follow from its identity
        return ""
    if not isinstance(stored, list):
        return f"its periods are {stored!r:.60} there"
    for number, found in enumerate(stored):
        given = requested[number] if number < len(requested) else None
        if given != found:
            return f"period {number + 1} is {found!r:.60} there and {given!r:.60} here"
    return ""
