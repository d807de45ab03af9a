"""Where a catalogue may send the program: its own folder or network, and what the user allowed (looks at links).

Whoever writes a catalogue chooses the addresses in it, and a program that follows them reads with the rights, and from
within the network, of the one who runs it. What a name resolves to is not looked at.
"""

from __future__ import annotations

import ipaddress
import os
import posixpath
import re
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from ardcube.catalog.hrefs import HTTP, OBJECT_STORES, is_remote, local_file, split
from ardcube.catalog.scene import Scene
from ardcube.errors import InputError
from ardcube.redaction import without_secrets

_PUBLIC, _PRIVATE, _LOOPBACK, _LINK_LOCAL = range(4)
"""How near to this machine an address is."""
_NEAR = ("of the internet", "of a private network", "of this machine", "link-local")
_METADATA = ("metadata", "metadata.google.internal")
"""Names of 169.254.169.254, where machines of a cloud get their credentials."""
_INSIDE = (".internal", ".local", ".localdomain", ".lan", ".home.arpa")
_USUAL = re.compile(r"(https?|s3|gs|az|oss)://([a-z0-9.-]+(?::\d{1,5})?)/[^\x00-\x20\x7f\\]*")
"""What nearly all addresses look like: there may be a million, and of these the host says all."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Reach:
    """What the catalogue at an address may point to."""

    stac_url: str
    """URL of a STAC API, or a local path."""
    roots: tuple[str, ...] = ()
    """Folders and URLs that the user allowed besides."""
    _leads: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    """Where folders lead, links resolved: there are many files in each."""
    _within: list[str] = field(default_factory=list, compare=False, repr=False)
    """Where the folders lead that files may lie in, once it was asked for."""

    def check_scene(self, scene: Scene) -> None:
        """Refuse a scene of which a band lies where the catalogue may not point to.

        Raises
        ------
        InputError
            Names the item, the band and the address.
        """
        for band, asset in scene.bands.items():
            wrong = self.objection(asset.href)
            if wrong:
                told = (
                    f"stac-url {without_secrets(self.stac_url)}: band {band} of item {scene.id} is at "
                    f"{without_secrets(asset.href)}, {wrong}"
                )
                raise InputError(" ".join(told.split()))  # a name of a file may hold a line break

    def objection(self, href: str) -> str | None:
        """What is wrong with an absolute href, and what to do; None where it may be followed."""
        usual = _USUAL.fullmatch(href)
        if usual and (usual[1] in OBJECT_STORES or _objection_to_host(usual[1], usual[2], self.stac_url) is None):
            return None
        path = local_file(href)
        if path is not None:
            return self._objection_to_file(path)
        parts = split(href)
        if parts is None or parts.scheme not in (*HTTP, *OBJECT_STORES):
            return "which is nothing that is read; give a path, or an address of http, https, s3, gs, az or oss"
        if parts.scheme in OBJECT_STORES or any(_is_below(parts, root) for root in self.roots):
            return None
        return _objection_to_host(parts.scheme, parts.netloc, self.stac_url)

    def _objection_to_file(self, path: str) -> str | None:
        if "\0" in path:
            return "which is no path"
        real = self._real(path)
        if not self._within:
            self._within.extend(self._folder(folder) for folder in self._folders())
        if any(_is_within(real, folder) for folder in self._within):
            return None
        if is_remote(self.stac_url):
            told = "a file of this machine"
        else:
            told = f"outside of the catalogue's folder {self._folders()[0]}"
        if real != path:
            told += f" (it leads to {real})"
        return f"{told}; if it is to be read, allow it with --allow-asset-roots {posixpath.dirname(real)}"

    def _real(self, path: str) -> str:
        """Where a path leads, links resolved."""
        folder, _, name = path.rpartition("/")
        real = f"{self._folder(folder or '/').rstrip('/')}/{name}"
        try:
            return os.path.realpath(real) if stat.S_ISLNK(os.lstat(real).st_mode) else real
        except OSError:  # nothing is there
            return real

    def _folder(self, folder: str) -> str:
        if folder not in self._leads:
            self._leads[folder] = os.path.realpath(folder)
        return self._leads[folder]

    def _folders(self) -> Sequence[str]:
        allowed = [path for path in map(local_file, self.roots) if path is not None and "\0" not in path]
        if is_remote(self.stac_url):
            return allowed
        catalogue = Path(self.stac_url.removeprefix("file://")).absolute()
        return [str(catalogue if catalogue.is_dir() else catalogue.parent), *allowed]


@lru_cache(maxsize=4096)
def _objection_to_host(scheme: str, netloc: str, stac_url: str) -> str | None:
    host = urlsplit(f"{scheme}://{netloc}").hostname or ""
    catalogue = split(stac_url) if is_remote(stac_url) else None
    if catalogue is not None and host == catalogue.hostname:
        return None
    # A folder is on this machine, and its owner may serve scenes from here; a server sees what is as near as itself.
    most = _LOOPBACK if catalogue is None else min(_LOOPBACK, nearness(catalogue.hostname or ""))
    near = nearness(host)
    if near <= most:
        return None
    address = without_secrets(f"{scheme}://{netloc}")
    return f"an address that is {_NEAR[near]}; if it is to be asked, allow it with --allow-asset-roots {address}"


def nearness(host: str) -> int:
    """How near to this machine a host is, by its address, or by a name that says so: 0 public to 3 link-local."""
    name = host.lower().rstrip(".")
    if name in _METADATA:
        return _LINK_LOCAL
    if name.split(".")[0] == "localhost" or name.endswith(".localhost"):
        return _LOOPBACK
    address = _address(name)
    if address is None:
        return _PRIVATE if "." not in name or name.endswith(_INSIDE) else _PUBLIC
    if address.is_link_local:
        return _LINK_LOCAL
    if address.is_loopback or address.is_unspecified:
        return _LOOPBACK
    return _PUBLIC if address.is_global else _PRIVATE


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is, however it is spelled; None for a name."""
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(name))  # 2852039166, 0xa9fea9fe, 169.254.43518
        except OSError:
            return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64 or (1 < int(address) < 2**32):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_below(parts: SplitResult, root: str) -> bool:
    """Whether a URL lies below another one."""
    above = split(root) if is_remote(root) else None
    if above is None or (above.scheme, above.netloc.lower()) != (parts.scheme, parts.netloc.lower()):
        return False
    return _is_within(posixpath.normpath("/" + unquote(parts.path)), posixpath.normpath("/" + unquote(above.path)))


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
