"""What an error of a store means: whether another try may help, or the run stops and a person has something to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ardcube.errors import ArdcubeError, TransientError, UnwritableError
from ardcube.redaction import without_secrets

_RESUME = "what was built stays, and a further run goes on from there"
_RENEW = f"renew the credentials and run again: {_RESUME}"
_MAKE_ROOM = f"make room, or raise the quota, and run again: {_RESUME}"
_ALLOW = f"let this run read and write there and run again: {_RESUME}"
_BY_CODE = {
    **dict.fromkeys(("QuotaExceeded", "InsufficientStorage", "507"), ("has no room left", _MAKE_ROOM)),
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidAccessKeyId", "InvalidToken",
         "SignatureDoesNotMatch", "TokenRefreshRequired", "InvalidClientTokenId", "401"),
        ("does not accept the credentials", _RENEW),
    ),
    "RequestTimeTooSkewed": ("refuses the time of this machine", f"set its clock and run again: {_RESUME}"),
    "NoSuchBucket": ("is gone", "make the bucket, or correct fsspec-uri"),
    "403": ("refuses access", _ALLOW),
}  # fmt: skip
"""By the code of an S3 error, or the status of an answer."""
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "UnauthorizedSSOTokenError", "TokenRetrievalError"}
"""What botocore raises before it asks."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
NETWORK_LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "fsspec", "s3fs")


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Raise what goes wrong in the block as an error of ours; what says nothing of the store passes as it is.

    Parameters
    ----------
    uri : str
        What the block reads or writes.

    Raises
    ------
    UnwritableError
        Where trying again gives the same: credentials that ran out, no room, no right to write.
    TransientError
        For anything else that a network, a server or a disk may have.
    """
    try:
        yield
    except ArdcubeError:
        raise
    except Exception as error:
        known = explain(error, uri)
        if known is None:
            raise
        raise known from error


def explain(error: Exception, uri: str) -> ArdcubeError | None:
    """What an error of a store means, or None for one that is none of its."""
    text = " ".join(without_secrets(f"{type(error).__name__}: {error}").split())
    for code in _codes(error):
        if code in _BY_CODE:
            wrong, to_do = _BY_CODE[code]
            return UnwritableError(f"{uri} {wrong} ({code}; {text}); {to_do}")
    if type(error).__name__ in _NO_CREDENTIALS:
        return UnwritableError(f"{uri} needs credentials ({text}); {_RENEW}")
    if isinstance(error, OSError) and error.errno in _FULL:
        return UnwritableError(f"{uri} has no room left ({text}); {_MAKE_ROOM}")
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno in _FORBIDDEN):
        return UnwritableError(f"{uri} refuses access ({text}); {_ALLOW}")
    if isinstance(error, FileNotFoundError):
        return None
    if (
        isinstance(error, (OSError, TimeoutError, EOFError))
        or type(error).__module__.split(".")[0] in NETWORK_LIBRARIES
    ):
        return TransientError(f"{uri} had a bad moment ({text})")
    return None


def _codes(error: Exception) -> list[str]:
    """S3's code of an error and the status of the answer, also where s3fs has translated it."""
    response: Any = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if not isinstance(response, dict):
        return []
    found = (response.get("Error", {}).get("Code"), response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    return [str(code) for code in found if code]
