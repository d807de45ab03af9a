"""Options of fsspec drivers that are passed on to obstore, and those that are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import pytest
from botocore.exceptions import NoCredentialsError
from obstore.store import AzureStore, GCSStore, S3Store

from ardcube.storage.compare_and_swap import Version, best_effort_reason, read_version, swap
from ardcube.storage.object_store import open_bucket, scheme, unsupported_options
from ardcube.storage.place import Place
from tests.servers.processes import S3


class Driver:
    """The attributes of a filesystem of gcsfs or adlfs, which are not installed."""

    def __init__(self, protocol: Any, **storage_options: Any) -> None:
        self.protocol = protocol
        self.storage_options = storage_options


def s3(**options: Any) -> Any:
    return fsspec.filesystem("s3", skip_instance_cache=True, **options)


def config_of(fs: Any) -> dict[str, Any]:
    opened: S3Store | GCSStore | AzureStore = open_bucket(fs, "bucket", 20)
    return dict(opened.config)


LOCAL = {"endpoint_url": "http://127.0.0.1:1", "client_kwargs": {"region_name": "eu-central-1"}}


def test_keys_endpoint_and_region_of_s3_are_passed_on() -> None:
    config = config_of(s3(key="K", secret="S", token="T", requester_pays=True, **LOCAL))
    expected = {
        "access_key_id": "K", "secret_access_key": "S", "session_token": "T", "endpoint": "http://127.0.0.1:1",
        "region": "eu-central-1", "request_payer": "true",
    }  # fmt: skip
    assert {name: config.get(name) for name in expected} == expected


def test_public_buckets_and_encryption_of_s3_are_passed_on() -> None:
    assert config_of(s3(anon=True, **LOCAL))["skip_signature"]
    encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "id"}
    config = config_of(s3(key="K", secret="S", s3_additional_kwargs=encrypted, **LOCAL))
    assert (config["server_side_encryption"], config["sse_kms_key_id"]) == ("aws:kms", "id")


def test_on_aws_the_endpoint_follows_from_the_region() -> None:
    config = config_of(s3(key="K", secret="S", client_kwargs={"region_name": "eu-central-1"}))
    assert "endpoint" not in config
    assert config["region"] == "eu-central-1"


def test_credentials_of_the_environment_or_a_profile_open_the_bucket(
    moto_s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_s3.environment.items():
        monkeypatch.setenv(name, value)
    place = Place.at(moto_s3.uri("cube"), {"skip_instance_cache": True})
    assert best_effort_reason(place) == ""
    assert swap(place, "from-environment", Version(None), b"x")

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    with pytest.raises(NoCredentialsError):
        read_version(Place.at(moto_s3.uri("cube"), {"default_block_size": 2**20}), "from-environment")
    file = tmp_path / "credentials"
    file.write_text(f"[alps]\naws_access_key_id = {moto_s3.key}\naws_secret_access_key = {moto_s3.secret}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    place = Place.at(moto_s3.uri("cube"), {"skip_instance_cache": True, "profile": "alps"})
    assert read_version(place, "from-environment").content == b"x"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (None, {}),
        ("google_default", {}),
        ("anon", {"skip_signature": True}),
        ("/keys/alps.json", {"application_credentials": "/keys/alps.json"}),
    ],
)
def test_tokens_of_gcsfs_are_passed_on(token: Any, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr("ardcube.storage.object_store.GCSStore", lambda _, config, **__: made.append(config))
    fs = Driver(("gs", "gcs"), token=token, project="alps")
    assert scheme(fs) == "gs"
    assert unsupported_options(fs) == []
    open_bucket(fs, "bucket", 20)
    assert made == [expected]


def test_a_service_account_of_gcsfs_is_passed_on() -> None:
    account = {"type": "service_account", "client_email": "", "private_key": "", "private_key_id": ""}
    fs = Driver(("gs", "gcs"), token=account | {"disable_oauth": True})
    assert json.loads(config_of(fs)["service_account_key"])["type"] == "service_account"


def test_options_of_adlfs_are_passed_on() -> None:
    fs = Driver("abfs", account_name="alps", account_key="a2V5", anon=False)
    assert scheme(fs) == "az"
    assert unsupported_options(fs) == []
    assert config_of(fs) == {"account_name": "alps", "account_key": "a2V5", "container_name": "bucket"}


@pytest.mark.parametrize(
    ("fs", "unsupported"),
    [
        (s3(s3_additional_kwargs={"ACL": "bucket-owner-full-control"}), ["s3_additional_kwargs.ACL"]),
        (s3(config_kwargs={"read_timeout": 60, "signature_version": "s3"}), ["config_kwargs.signature_version"]),
        (s3(default_block_size=1, use_listings_cache=False), []),
        (Driver("abfs", connection_string="x"), ["connection_string"]),
        (Driver("gs", token="x", requester_pays=True), ["requester_pays"]),
    ],
    ids=["ACL", "signature", "tuning", "connection string", "requester pays"],
)
def test_options_that_obstore_does_not_know_make_a_swap_best_effort(fs: Any, unsupported: list[str]) -> None:
    assert unsupported_options(fs) == unsupported
    reason = best_effort_reason(Place("s3://bucket/cube", fs, "bucket/cube"))
    assert reason == (f"obstore does not know the storage options {', '.join(unsupported)}" if unsupported else "")
