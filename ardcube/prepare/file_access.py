"""Combine the access that definitions state with the options of a run."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ardcube.collections.model import Definition
from ardcube.collections.parts import Catalogue
from ardcube.config import (
    Access,
    AccessByHost,
    AssetAccess,
    FileAccess,
    HeaderAccess,
    HostAccess,
    RunConfig,
    S3Access,
    TokenAccess,
)
from ardcube.errors import InputError
from ardcube.raster.redirects import missing_variable


def asset_access(definitions: Iterable[Definition], run: RunConfig) -> AssetAccess:
    """Return how the files of scenes are read: by the options of a run, else by the definitions of the scenes.

    Parameters
    ----------
    definitions : iterable of Definition
        Definitions of the scenes. If several state the access to a host, the first one decides.
    run : RunConfig
        Options of the user, each of which precedes the definitions.
    """
    mode: Access = "unsigned" if run.asset_access == "auto" else run.asset_access
    given = S3Access(mode, run.asset_endpoint_url or "", run.asset_region or "")
    otherwise = mode if given == S3Access(mode) else given
    stated: dict[str, FileAccess] = {}
    for catalogue in (catalogue for definition in definitions for catalogue in definition.catalogues):
        for host in catalogue.hosts:
            stated.setdefault(host, _access(catalogue, run))
    if all(access in ("unsigned", otherwise) for access in stated.values()):
        return otherwise
    return AccessByHost(tuple(HostAccess(host, access) for host, access in stated.items()), otherwise)


def _access(catalogue: Catalogue, run: RunConfig) -> FileAccess:
    stated = catalogue.access
    if stated.kind == "sas":
        return "unsigned" if run.asset_access == "unsigned" else TokenAccess(stated.token_url or "")
    if stated.kind == "header":
        header = HeaderAccess(stated.header or "", stated.value or "", catalogue.hosts)
        return "unsigned" if run.asset_access == "unsigned" else header
    mode: Access = stated.kind if run.asset_access == "auto" else run.asset_access
    if run.asset_endpoint_url is not None:  # has other regions
        return S3Access(mode, run.asset_endpoint_url, run.asset_region or "")
    access = S3Access(mode, stated.endpoint_url or "", run.asset_region or stated.region or "")
    return mode if access == S3Access(mode) else access


def is_charged(access: FileAccess) -> bool:
    """Return whether reading a file costs its reader money."""
    return (access.mode if isinstance(access, S3Access) else access) == "requester-pays"


def check_variables(used: Iterable[HostAccess]) -> None:
    """Raise InputError if this process lacks an environment variable of a header."""
    for entry in used:
        if isinstance(entry.access, HeaderAccess) and not os.environ.get(entry.access.variable, "").strip():
            raise InputError(f"files of {entry.host}: {missing_variable(entry.access)}")
