"""Access to files on S3: GDAL's options, and ranges of a file through botocore.

The first bytes of a file come with its length, which GDAL does not report. Errors are left to GDAL, which has further
sources of credentials, except that a file is missing or empty.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from ardcube.config import Access, FileAccess, HeaderAccess, S3Access, TokenAccess
from ardcube.runtime.usage import count_requests

_MODES: dict[Access, dict[str, Any]] = {
    "unsigned": {"AWS_NO_SIGN_REQUEST": "YES"},
    "requester-pays": {"AWS_REQUEST_PAYER": "requester"},
    "signed": {},
}
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Variables of the environment by which the store's library finds an endpoint."""
_MISSING, _EMPTY = ("NoSuchKey", "404"), ("InvalidRange", "416")
"""Codes of errors."""
_SECONDS = (10.0, 20.0)
"""Seconds to connect, and to wait for bytes."""
_CONNECTIONS = 32


class RangeError(Exception):
    """A range cannot be read; GDAL may find out why."""


def gdal_options(access: FileAccess) -> dict[str, Any]:
    """Return GDAL's options for access to S3; the variables of AWS's tools apply where GDAL's are not set."""
    if isinstance(access, TokenAccess | HeaderAccess):  # of files that are not on S3
        access = "unsigned"
    given = access if isinstance(access, S3Access) else S3Access(access)
    options = dict(_MODES[given.mode])
    environment = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
    endpoint = given.endpoint_url or ("" if "AWS_S3_ENDPOINT" in os.environ else environment)
    if endpoint:
        url = urlsplit(endpoint)
        options |= {
            "AWS_S3_ENDPOINT": url.netloc,
            "AWS_HTTPS": "YES" if url.scheme == "https" else "NO",
            "AWS_VIRTUAL_HOSTING": os.environ.get("AWS_VIRTUAL_HOSTING", "FALSE"),  # buckets in paths work everywhere
        }
    return options | ({"AWS_REGION": given.region} if given.region else {})


def read_range(href: str, start: int, end: int, access: FileAccess) -> tuple[bytes, int]:
    """Return some bytes of a file, and the file's length; nothing and 0 if the file is empty.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    RangeError
        If the file cannot be read for another reason.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # slow to import, and few archives need it

    bucket, _, key = href.removeprefix("s3://").partition("/")
    options = {**os.environ, **gdal_options(access)}
    names = ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING", "AWS_REGION", "AWS_NO_SIGN_REQUEST")
    payer = {"RequestPayer": options["AWS_REQUEST_PAYER"]} if options.get("AWS_REQUEST_PAYER") else {}
    try:
        client = _client(*(str(options.get(name, "")) for name in names))
        answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", **payer)
        content = answer["Body"].read()
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        if code in _MISSING:
            raise FileNotFoundError(href) from error
        if code in _EMPTY:
            return b"", 0
        raise RangeError(code) from error
    except (BotoCoreError, OSError, ValueError) as error:
        raise RangeError(type(error).__name__) from error
    count_requests(1, len(content))
    size = str(answer.get("ContentRange", "")).rpartition("/")[2]
    return content, int(size) if size.isdigit() else len(content)


@lru_cache(maxsize=16)
def _client(endpoint: str, https: str, virtual_hosting: str, region: str, unsigned: str) -> Any:
    """Return a client, which has a connection pool and finds the region of a bucket; one attempt of each request."""
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.session import get_session

    scheme = "http" if _is_no(https) else "https"
    hosts = "path" if _is_no(virtual_hosting) else "virtual"
    connect, read = _SECONDS
    return get_session().create_client(
        "s3",
        endpoint_url=f"{scheme}://{endpoint}" if endpoint else None,
        region_name=region or None,
        config=Config(
            signature_version=UNSIGNED if unsigned and not _is_no(unsigned) else None,
            connect_timeout=connect,
            read_timeout=read,
            retries={"total_max_attempts": 1},
            max_pool_connections=_CONNECTIONS,
            s3={"addressing_style": hosts if virtual_hosting else "auto"},
        ),
    )


def _is_no(value: str) -> bool:
    """Return whether GDAL reads an option as no."""
    return value.upper() in ("NO", "FALSE", "OFF", "0")
