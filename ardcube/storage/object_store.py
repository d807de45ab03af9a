"""Open the bucket of an fsspec filesystem with obstore, whose PUT takes a condition on S3, GCS and Azure."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from obstore.store import AzureStore, GCSStore, S3Store

_SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
_OPTIONS = {
    "s3": {
        "key": "access_key_id",
        "secret": "secret_access_key",
        "token": "session_token",
        "anon": "skip_signature",
        "requester_pays": "request_payer",
        "s3_additional_kwargs.ServerSideEncryption": "server_side_encryption",
        "s3_additional_kwargs.SSEKMSKeyId": "sse_kms_key_id",
        "s3_additional_kwargs.BucketKeyEnabled": "sse_bucket_key_enabled",
        "client_kwargs.region_name": "region",
    },
    "gs": {"token": "application_credentials", "endpoint_url": "base_url"},
    "az": {
        **{name: name for name in ("account_name", "account_key", "client_id", "client_secret", "tenant_id")},
        "sas_token": "sas_key",
        "anon": "skip_signature",
    },
}
"""Options of s3fs, gcsfs and adlfs by their names in obstore."""
IGNORED = {
    "endpoint_url", "profile", "use_ssl", "client_kwargs.endpoint_url", "client_kwargs.use_ssl", "client_kwargs.verify",
    "config_kwargs.connect_timeout", "config_kwargs.max_pool_connections", "config_kwargs.read_timeout",
    "config_kwargs.retries", "asynchronous", "cache_regions", "default_block_size", "default_cache_type",
    "default_fill_cache", "listings_expiry_time", "loop", "max_concurrency", "max_paths", "project",
    "skip_instance_cache", "use_listings_cache",
}  # fmt: skip
"""Options that `open_bucket` reads in another way, and options that do not change what a PUT does."""


def scheme(fs: Any) -> str:
    """Return `s3`, `gs` or `az` for a filesystem on an object store, else an empty string."""
    names = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return next((_SCHEMES[name] for name in names if name in _SCHEMES), "")


def unsupported_options(fs: Any) -> list[str]:
    """Return the names of a filesystem's options that obstore cannot be given."""
    return sorted(set(flat(fs.storage_options)) - set(_OPTIONS[scheme(fs)]) - IGNORED)


@lru_cache(maxsize=16)
def open_bucket(fs: Any, name: str, seconds: int) -> Any:
    """Open a bucket (Azure: a container) with the endpoint, region and credentials of the fsspec driver.

    Parameters
    ----------
    fs : AbstractFileSystem
        Filesystem on S3, GCS or Azure without unsupported options.
    name : str
        Name of the bucket.
    seconds : int
        Seconds to wait for an answer to a PUT.
    """
    names, kind = _OPTIONS[scheme(fs)], scheme(fs)
    config = {names[option]: value for option, value in flat(fs.storage_options).items() if option in names and value}
    # The content of an object may take longer to arrive than its first byte.
    client: dict[str, Any] = {"allow_http": True, "read_timeout": f"{seconds}s", "timeout": f"{seconds + 400}s"}
    retry: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=seconds)}
    if kind == "az":
        return AzureStore(name, config=config, client_options=client, retry_config=retry)  # type: ignore[arg-type]
    if kind == "gs":
        return GCSStore(name, config=_google(config), client_options=client, retry_config=retry)  # type: ignore[arg-type]
    config["region"] = config.get("region") or region_of(fs, name)
    if "amazonaws.com" not in fs.s3.meta.endpoint_url:  # there the endpoint follows from the region
        config["endpoint"] = fs.s3.meta.endpoint_url
    verify = fs.client_kwargs.get("verify", os.environ.get("AWS_CA_BUNDLE"))
    if verify is False:
        client["allow_invalid_certificates"] = True
    elif isinstance(verify, str):
        client["root_certificate"] = Path(verify).read_bytes()
    provider = None if fs.anon or fs.key else _credentials(fs.storage_options.get("profile"))
    return S3Store(name, config=config, client_options=client, retry_config=retry, credential_provider=provider)  # type: ignore[arg-type]


def flat(options: Any) -> dict[str, Any]:
    """Return options with those of a group as `group.name`."""
    groups = ("client_kwargs", "config_kwargs", "s3_additional_kwargs")
    inside = {f"{group}.{name}": value for group in groups for name, value in (options.get(group) or {}).items()}
    return {**{name: value for name, value in options.items() if name not in groups}, **inside}


def region_of(fs: Any, bucket: str) -> str:
    """Return the region of a bucket, because obstore does not follow the redirect that s3fs follows."""
    try:
        answer = fs.call_s3("head_bucket", Bucket=bucket, timeout=20)
        region = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
    except Exception:  # noqa: BLE001  (who may write to a bucket need not be allowed to ask for its region)
        region = None
    return str(region or fs.s3.meta.region_name or "us-east-1")


def found_credentials(profile: str | None) -> Any:
    """Return the credentials that botocore finds: environment, profile, SSO, instance role.

    Raises
    ------
    NoCredentialsError
        If there are none.
    """
    import botocore.session  # 7 MB, which stores without credentials do not need
    from botocore.exceptions import NoCredentialsError

    found = botocore.session.Session(profile=profile).get_credentials()
    if found is None:
        raise NoCredentialsError
    return found


def _credentials(profile: str | None) -> Callable[[], Any]:
    """Return a function that gives obstore botocore's credentials: environment, profile, SSO, instance role."""
    found = found_credentials(profile)

    def provide() -> dict[str, Any]:
        now = found.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + timedelta(minutes=5),  # botocore then has newer ones, if needed
        }

    return provide


def _google(config: dict[str, Any]) -> Any:
    """Return the settings of GCS; gcsfs takes a file, its content or the name of a method as token."""
    token = config.pop("application_credentials", None)
    if token == "anon":
        return {**config, "skip_signature": True}
    if token in (None, "google_default", "cloud"):
        return config
    return {
        **config,
        **(
            {"service_account_key": json.dumps(token)}
            if isinstance(token, dict)
            else {"application_credentials": token}
        ),
    }
