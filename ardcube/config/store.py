"""Options of the store of a run, without credentials."""

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator

from ardcube.config import form_schema
from ardcube.config.base import ADDRESS_FORM, STORED, Address, Model, check_address
from ardcube.redaction import SECRET_NAMES

StorageBackend = Literal["fsspec", "icechunk"]
SECRET_OPTION = re.compile(rf"^(key|sas|sas_.*)$|{SECRET_NAMES}|connection_string", re.IGNORECASE)
"""Names of options of a filesystem that hold credentials."""
OPTIONS_FORM = form_schema.without_secrets(
    f"(?i){SECRET_OPTION.pattern}",
    f"no credentials, because they {STORED}; put them into the environment",
    ADDRESS_FORM,
)
"""Refuse credentials in a mapping of options."""


class StoreOptions(Model):
    """Options of a run that locate its store."""

    fsspec_uri: Address = Field(
        min_length=1,
        title="Store (URI)",
        json_schema_extra=ADDRESS_FORM,
        description="Location of the store: a local path, file://, s3:// or any fsspec URI.",
    )
    each: str | None = Field(
        default=None,
        min_length=1,
        title="One cube for each feature (field)",
        description=(
            "Build one cube for each feature of the geometry file, named by this field. The store's URI is then a "
            "folder, and each cube is VALUE.zarr in it."
        ),
    )
    storage_backend: StorageBackend = Field(
        default="fsspec",
        description=(
            "Library that accesses the store. fsspec supports all URIs; readers see chunks as they are written. "
            "icechunk supports local disk and S3; readers see a build completely or not at all, and earlier versions "
            "remain. It is fixed when the cube is created."
        ),
    )
    storage_options: dict[str, JsonValue] = Field(
        default_factory=dict,
        json_schema_extra=OPTIONS_FORM,
        description=(
            "Options of the store's filesystem, such as endpoint_url. Credentials are refused here; put them into the "
            "environment."
        ),
    )
    credentials_block: str | None = Field(
        default=None,
        json_schema_extra=form_schema.secret_block,
        description=(
            "Secret block of the Prefect server with the credentials of the run: a JSON object of environment "
            "variables, such as AWS_ACCESS_KEY_ID. Default: the environment of the worker."
        ),
    )

    @field_validator("credentials_block", mode="before")
    @classmethod
    def _block_becomes_its_name(cls, value: Any) -> Any:
        """Keep only the name of a block, because Prefect passes the block itself with its secret."""
        return getattr(value, "_block_document_name", value)

    @field_validator("storage_options")
    @classmethod
    def _no_secrets(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return check_options(value)


def check_options(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return options; raise ValueError, without quoting a value, if they contain credentials, a block or a template."""
    secret = sorted(name for name in _names(options) if SECRET_OPTION.search(name))
    if secret:
        raise ValueError(
            f"{', '.join(secret)} {STORED}; put credentials into the environment, such as AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    if form_schema.BLOCK in _names(options):
        raise ValueError(f"{form_schema.BLOCK} names a block; give {form_schema.NO_BLOCK}")
    for text in texts_of(options):
        check_address(text)
    return options


def _names(value: JsonValue) -> Iterator[str]:
    """Yield the names of nested mappings, at any depth; a mapping of name and value is one too."""
    if isinstance(value, dict):
        if "value" in value and isinstance(value.get("name"), str):
            yield str(value["name"])  # as Kubernetes lists variables of the environment
        for name, inner in value.items():
            yield name
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def texts_of(value: JsonValue) -> Iterator[str]:
    """Yield the texts in nested values, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts_of(inner)
