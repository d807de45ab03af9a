"""How a run accesses the files of scenes: values that travel to workers; none of them contains a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Access = Literal["unsigned", "requester-pays", "signed"]
_VARIABLE = re.compile(r"\{([A-Z][A-Z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class S3Access:
    """Access to files on S3 at another endpoint or in a given region."""

    mode: Access = "unsigned"
    endpoint_url: str = ""
    """Empty for the endpoint of the environment, else that of AWS."""
    region: str = ""
    """Empty for the region of the environment, or the one that the server names."""


@dataclass(frozen=True, slots=True)
class TokenAccess:
    """Access with a SAS token in the query of an address. The process that reads a file fetches the token."""

    token_url: str
    """Address that returns a token, with `{account}` and `{container}` of the file."""


@dataclass(frozen=True, slots=True)
class HeaderAccess:
    """Access with a header of HTTP, whose secret is in the environment of the process that reads a file."""

    name: str
    """Name of the header."""
    value: str
    """Value of the header, with the name of an environment variable, such as `Bearer {EARTHDATA_TOKEN}`."""
    hosts: tuple[str, ...]
    """Patterns of the hosts that the header is sent to."""

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        name: str = _VARIABLE.findall(self.value)[0]
        return name

    def filled(self, secret: str) -> str:
        """Return the value of the header with the content of the environment variable."""
        return _VARIABLE.sub(lambda _: secret, self.value)


FileAccess = Access | S3Access | TokenAccess | HeaderAccess
"""Access to one file."""


@dataclass(frozen=True, slots=True)
class HostAccess:
    """Access to the files of hosts or buckets."""

    host: str
    """Pattern, such as `*.blob.core.windows.net` or `s3://usgs-landsat`."""
    access: FileAccess


@dataclass(frozen=True, slots=True)
class AccessByHost:
    """Access by the host of a file, as the definitions of collections state it."""

    hosts: tuple[HostAccess, ...]
    """The first one that matches is used."""
    otherwise: Access | S3Access = "unsigned"
    """Access to files of other hosts."""


AssetAccess = FileAccess | AccessByHost
"""One access to all files, or access by host."""


def header_variables(access: AssetAccess) -> set[str]:
    """Return the names of the environment variables that headers contain."""
    hosts = access.hosts if isinstance(access, AccessByHost) else ()
    return {entry.access.variable for entry in hosts if isinstance(entry.access, HeaderAccess)}
