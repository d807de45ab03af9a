"""Choose the access of a file by its host (pure).

A catalogue chooses the addresses of its files, so a token or header is only sent to hosts that a definition names.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from ardcube.catalog.hrefs import HTTP, split
from ardcube.catalog.scene import Scene
from ardcube.collections.parts import Catalogue
from ardcube.config import AccessByHost, AssetAccess, FileAccess, HeaderAccess, HostAccess, TokenAccess

_PORTS = {"https": ":443", "http": ":80"}
_BUCKET = "s3://"


def access_of(href: str, access: AssetAccess) -> FileAccess:
    """Return the access of a file: of its host, if access differs by host."""
    if not isinstance(access, AccessByHost):
        return access
    found = host_access(href, access)
    return access.otherwise if found is None else found.access


def host_access(href: str, access: AccessByHost) -> HostAccess | None:
    """Return the first entry whose host has a file, or None if there is none."""
    return next((entry for entry in access.hosts if _has(entry, href)), None)


def used_access(access: AssetAccess, scenes: Iterable[Scene]) -> list[HostAccess]:
    """Return the access of the hosts that have files of scenes, in the order of precedence."""
    if not isinstance(access, AccessByHost):
        return []
    origins = {"/".join(asset.href.split("/", 3)[:3]) for scene in scenes for asset in scene.bands.values()}
    used = {host_access(f"{origin}/", access) for origin in origins}
    return [entry for entry in access.hosts if entry in used]


def readable_href(asset: Mapping[str, Any], catalogues: Iterable[Catalogue]) -> Any:
    """Return the href of an asset, or an alternate one if the first is at a host where a person must log in.

    USGS and CDSE state such an address first, and that on S3 as an alternate (STAC extension `alternate-assets`).
    """
    href, alternates = asset["href"], asset.get("alternate")
    if not isinstance(alternates, Mapping) or not isinstance(href, str):
        return href
    hosts = [host for one in catalogues if _matches(href, one.login_hosts) for host in one.hosts]
    others = (other.get("href") for other in alternates.values() if isinstance(other, Mapping))
    return next((other for other in others if isinstance(other, str) and _matches(other, hosts)), href)


def is_at(href: str, hosts: tuple[str, ...]) -> bool:
    """Return whether a secret for some hosts may be sent to an address: encrypted, or within this machine."""
    url = split(href)
    return url is not None and (url.scheme == "https" or _is_loopback(url.hostname or "")) and _matches(href, hosts)


def _has(entry: HostAccess, href: str) -> bool:
    if isinstance(entry.access, TokenAccess | HeaderAccess):
        return is_at(href, (entry.host,))
    return _matches(href, (entry.host,))


def _matches(href: str, hosts: Iterable[str]) -> bool:
    url = split(href)
    if url is None or "@" in url.netloc:
        return False
    if url.scheme in HTTP:
        place = url.netloc.lower().removesuffix(_PORTS[url.scheme])
    elif url.scheme == "s3":
        place = f"{_BUCKET}{url.netloc}"
    else:
        return False
    return any(fnmatchcase(place, host) for host in hosts)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
