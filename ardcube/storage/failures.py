"""Translate errors of a filesystem: a transient error is retried, a permanent one stops the run with advice."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ardcube.errors import ArdcubeError, TransientError, UnwritableError
from ardcube.redaction import without_secrets

_RESUME = "finished chunks are kept, and the next run continues from there"
_RENEW = f"renew the credentials and run again: {_RESUME}"
_FREE_SPACE = f"free space, or raise the quota, and run again: {_RESUME}"
_ALLOW = f"allow this run to read and write there and run again: {_RESUME}"
_BY_CODE = {
    **dict.fromkeys(("QuotaExceeded", "InsufficientStorage", "507"), ("has no space left", _FREE_SPACE)),
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidAccessKeyId", "InvalidToken",
         "SignatureDoesNotMatch", "TokenRefreshRequired", "InvalidClientTokenId", "401"),
        ("does not accept the credentials", _RENEW),
    ),
    "RequestTimeTooSkewed": ("does not accept the time of this machine", f"set its clock and run again: {_RESUME}"),
    "NoSuchBucket": ("does not exist", "create the bucket, or correct fsspec-uri"),
    "403": ("refuses access", _ALLOW),
}  # fmt: skip
"""Problem and advice by the code of an S3 error or the status of an answer."""
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "UnauthorizedSSOTokenError", "TokenRetrievalError"}
"""Errors that botocore raises before it sends a request."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
NETWORK_LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "fsspec", "icechunk", "obstore", "s3fs")
"""Packages whose errors come from a store on the network."""
_DEBUG = re.compile(r"\s*Debug source:.*|\s*\n  \| context:.*", re.DOTALL)
"""Second half of the messages of obstore, which repeats the first, and of icechunk, which has its call stack."""
_OBSTORE_CODE = re.compile(r"<Code>(\w+)</Code>|status code: (\d{3})")
"""Code of an S3 error, or status of an answer, in a message of obstore."""


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Raise filesystem errors of a block as errors of ardcube; other errors pass unchanged.

    Parameters
    ----------
    uri : str
        Location that the block reads or writes.

    Raises
    ------
    UnwritableError
        If a retry cannot help: expired credentials, no space, no permission.
    TransientError
        For other errors of a network, a server or a disk.
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
    """Return the error of ardcube for an error of a filesystem, or None for any other error."""
    package = type(error).__module__.split(".")[0]
    message = _DEBUG.sub("", str(error))
    text = " ".join(without_secrets(f"{type(error).__name__}: {message}").split())
    for code in _codes(error, message):
        if code in _BY_CODE:
            problem, advice = _BY_CODE[code]
            return UnwritableError(f"{uri} {problem} ({code}; {text}); {advice}")
    if type(error).__name__ in _NO_CREDENTIALS:
        return UnwritableError(f"{uri} needs credentials ({text}); {_RENEW}")
    if isinstance(error, OSError) and error.errno in _FULL:
        return UnwritableError(f"{uri} has no space left ({text}); {_FREE_SPACE}")
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno in _FORBIDDEN):
        return UnwritableError(f"{uri} refuses access ({text}); {_ALLOW}")
    if isinstance(error, FileNotFoundError):
        return None
    if isinstance(error, (OSError, TimeoutError, EOFError)) or package in NETWORK_LIBRARIES:
        return TransientError(f"{uri}: temporary storage error ({text}); run again if it persists")
    return None


def _codes(error: Exception, message: str) -> list[str]:
    """Return the code of an S3 error and the status of the answer, also if s3fs has translated the error."""
    response: Any = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if not isinstance(response, dict):
        return [code or status for code, status in _OBSTORE_CODE.findall(message)][::-1]
    found = (response.get("Error", {}).get("Code"), response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    return [str(code) for code in found if code]
