"""Sign the addresses of files when they are read, and sign again when a server refuses a signature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ardcube.catalog.hrefs import split
from ardcube.config import FileAccess, HeaderAccess, TokenAccess
from ardcube.errors import AccessError, TransientError
from ardcube.raster.redirects import find_target, forget_target, header_value
from ardcube.raster.refusals import RefusedError, explain_refusal, is_signed
from ardcube.raster.tokens import container_token

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SignedAddress:
    """An address that can be read now. It contains secrets, and belongs in no message."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    """Names and values of headers that requests need."""
    token: str = ""
    """The token in the address."""


def sign(href: str, access: FileAccess) -> SignedAddress:
    """Return an address at which a file can be read now.

    Raises
    ------
    RefusedError
        If the server of the file refuses access.
    AccessError
        If no token can be had.
    SceneError
        If the file is missing.
    TransientError
        If a server does not answer.
    """
    if isinstance(access, TokenAccess) and not is_signed(href):
        token = container_token(href, access).get()
        address, mark, fragment = href.partition("#")
        return SignedAddress(f"{address}{'&' if '?' in address else '?'}{token}{mark}{fragment}", token=token)
    if isinstance(access, HeaderAccess):
        target = find_target(href, access)
        headers = ((access.name, header_value(access, target.url)),) if target.has_header else ()
        return SignedAddress(target.url, headers)
    return SignedAddress(href)


def read_signed(href: str, access: FileAccess, attempt: Callable[[SignedAddress], _T]) -> _T:
    """Read a file as `try_signed` does, and explain a refusal.

    Raises
    ------
    AccessError, SceneError
        If access is refused.
    """
    try:
        return try_signed(href, access, attempt)
    except RefusedError as error:
        raise _explained(href, access, error) from error


def try_signed(href: str, access: FileAccess, attempt: Callable[[SignedAddress], _T]) -> _T:
    """Read a file at its signed address; if it is refused or the signature expires, once more with a new signature.

    Parameters
    ----------
    href : str
        Address of the file without a signature.
    access : FileAccess
        How the file may be read.
    attempt : callable
        Reads the file; raises RefusedError if access is refused.

    Raises
    ------
    RefusedError
        If access is refused.
    """
    signed = sign(href, access)
    try:
        return attempt(signed)
    except RefusedError:
        if not _renew(href, access, signed):
            raise
    except TransientError:
        # GDAL does not report that a part of a file was refused.
        if sign(href, access) == signed:
            raise
    return attempt(sign(href, access))


def _renew(href: str, access: FileAccess, refused: SignedAddress) -> bool:
    """Drop a signature that a server refused; return whether there may be another."""
    if isinstance(access, TokenAccess) and refused.token:
        return container_token(href, access).renew(refused.token)
    return isinstance(access, HeaderAccess) and forget_target(href, access, refused.url)


def _explained(href: str, access: FileAccess, error: RefusedError) -> Exception:
    if isinstance(access, TokenAccess) and not is_signed(href):
        # Azure answers 404 for a missing file, so this is none.
        url = split(access.token_url)
        return AccessError(
            f"{href} cannot be read: access is refused ({error.status}) with a new token of "
            f"{'' if url is None else url.netloc}; check the access of the collection's definition"
        )
    if isinstance(access, HeaderAccess):
        return explain_refusal(
            href, error.reason, f"renew the token in the environment variable {access.variable}, on each worker, and "
            "accept the terms of the provider for this collection",
        )  # fmt: skip
    return explain_refusal(href, error.reason)
