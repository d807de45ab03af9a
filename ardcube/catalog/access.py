"""Check the addresses in a catalogue before anything reads them.

The author of a catalogue chooses its addresses, but this process reads them with the rights of its user and from inside
its network. DNS names are not resolved.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
import socket
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, unquote

from ardcube.catalog.hrefs import HTTP, OBJECT_STORES, is_remote, local_file, split
from ardcube.catalog.scene import Scene
from ardcube.errors import InputError
from ardcube.redaction import without_secrets

_METADATA_HOSTS = ("metadata", "metadata.google.internal", "fd00:ec2::254", "100.100.100.200")
"""Hosts besides link-local addresses where cloud machines fetch their credentials."""
_PLAIN_URL = re.compile(r"(https?|s3|gs|az|oss)://([a-z0-9.-]+)(?::\d{1,5})?/[^\x00-\x20\x7f\\]*")
"""The usual URL: matching it takes 1 us, parsing it 5 us, and a catalogue may contain millions."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Rules for the addresses that a catalogue may contain.

    Allowed are URLs with the schemes http, https, s3, gs, az and oss, except for link-local hosts. Local files are
    allowed in a local catalogue only. `roots` are exceptions for link-local hosts and local files.
    """

    stac_url: str
    """URL of a STAC API, or path of a local catalogue."""
    roots: tuple[str, ...] = ()
    """Folders and URLs that the user allows (`--allow-asset-roots`)."""

    def check_scene(self, scene: Scene) -> None:
        """Raise InputError if the address of a band is not allowed; the message names item, band and address."""
        for band, asset in scene.bands.items():
            problem = self.find_problem(asset.href)
            if problem:
                message = (
                    f"stac-url {without_secrets(self.stac_url)}: band {band} of item {scene.id} is at "
                    f"{without_secrets(asset.href)}, {problem}"
                )
                raise InputError(" ".join(message.split()))  # a file name may contain line breaks

    def find_problem(self, href: str) -> str | None:
        """Return why an absolute href is not allowed and what to do, or None if it is allowed."""
        plain = _PLAIN_URL.fullmatch(href)
        if plain and (plain[1] in OBJECT_STORES or not is_link_local(plain[2])):
            return None
        path = local_file(href)
        if path is not None:
            if "\0" in path:
                return "which is not a valid path; correct the item"
            if not is_remote(self.stac_url) or any(_is_within(path, local_file(root)) for root in self.roots):
                return None
            return f"a local file; to read it, add --allow-asset-roots {posixpath.dirname(path)}"
        url = split(href)
        if url is None or url.scheme not in (*HTTP, *OBJECT_STORES):
            return "which cannot be read; give a path, or a URL with http, https, s3, gs, az or oss"
        host = url.hostname or ""
        if url.scheme in OBJECT_STORES or not is_link_local(host) or self._allows(url):
            return None
        return f"a link-local address; to read it, add --allow-asset-roots {without_secrets(f'{url.scheme}://{url.netloc}')}"

    def _allows(self, url: SplitResult) -> bool:
        """Return whether the user named a URL's host as the catalogue, or the URL's root as allowed."""
        catalogue = split(self.stac_url)
        if catalogue is not None and catalogue.hostname == url.hostname:
            return True
        return any(_is_below(url, split(root)) for root in self.roots)


@lru_cache(maxsize=4096)
def is_link_local(host: str) -> bool:
    """Return whether a host is a link-local address, in any spelling, or a cloud's metadata service."""
    name = host.lower().rstrip(".")
    if name in _METADATA_HOSTS:
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(name))  # such as 2852039166 or 0xa9fea9fe
        except OSError:
            return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_link_local or str(address) in _METADATA_HOSTS


def _is_below(url: SplitResult, root: SplitResult | None) -> bool:
    if root is None or (url.scheme, url.netloc.lower()) != (root.scheme, root.netloc.lower()):
        return False
    return _is_within(posixpath.normpath("/" + unquote(url.path)), posixpath.normpath("/" + unquote(root.path)))


def _is_within(path: str, folder: str | None) -> bool:
    return folder is not None and (path == folder or path.startswith(folder.rstrip("/") + "/"))
