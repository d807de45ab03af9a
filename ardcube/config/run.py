"""Where a cube goes and how the work is run."""

import os
import re
from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import ByteSize, Field, JsonValue, TypeAdapter, ValidationError, field_validator, model_validator

from ardcube.config import form_schema
from ardcube.config.base import ADDRESS_FORM, STORED, Address, Model, no_credential
from ardcube.redaction import SECRET_NAMES

Access = Literal["unsigned", "requester-pays", "signed"]
Reader = Literal["auto", "gdal"]
_SECRET = re.compile(rf"^(key|sas|sas_.*)$|{SECRET_NAMES}|connection_string", re.IGNORECASE)
_BYTES = TypeAdapter(ByteSize)


class RunConfig(Model):
    """Where the cube goes and how the work is run; never changes a pixel."""

    fsspec_uri: Address = Field(
        min_length=1,
        title="Store (URI)",
        json_schema_extra=ADDRESS_FORM,
        description="Where the store is written: a local path, file://, s3:// or any fsspec URI.",
    )
    storage_backend: Literal["fsspec"] = Field(
        default="fsspec", description="How the store is reached; fsspec serves every URI."
    )
    storage_options: dict[str, JsonValue] = Field(
        default_factory=dict,
        json_schema_extra=form_schema.without_names(
            f"(?i){_SECRET.pattern}",
            f"no credentials, since they {STORED}; put them into the environment",
            ADDRESS_FORM,
        ),
        description=(
            "Options of the store's filesystem, such as endpoint_url. Credentials belong in the environment, "
            "never here."
        ),
    )
    credentials_block: str | None = Field(
        default=None,
        json_schema_extra=form_schema.secret_block,
        description=(
            "Secret block of the Prefect server that holds the run's credentials: a JSON object of environment "
            "variables, such as AWS_ACCESS_KEY_ID. Default: the environment of the worker."
        ),
    )
    serverless_backend: Literal["local", "dask", "coiled"] = Field(
        default="local",
        description="Where chunks are built: threads of this machine, a Dask cluster, or Coiled.",
    )
    scheduler_address: Address | None = Field(
        default=None,
        pattern=r"^[a-z]+://.+",
        json_schema_extra=ADDRESS_FORM,
        description="Address of the Dask scheduler, for the dask backend: tcp://host:8786.",
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Workers of a Coiled cluster. Default: adaptive.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Chunks built at once in one process. Default: the number of CPUs.",
    )
    memory_limit: str | None = Field(
        default=None,
        description=(
            "Memory of one worker process, such as '2 GB' or '1.5GiB': larger chunks are built in parts, however many "
            "scenes there are, with the same pixels. Default: what is fast."
        ),
    )
    limit: int | None = Field(
        default=None, ge=1, description="Build at most this many of the chunks that are not done yet."
    )
    look_back_months: int | None = Field(
        default=None,
        ge=0,
        le=1200,
        description=(
            "Search only what is new in the cube, so many months before that, and months that are not complete; "
            "complete months before stay as they are. Default: search all."
        ),
    )
    initialize: bool = Field(
        default=True,
        description=(
            "Create the store when there is none, and extend it when the end date is later. Without it the store "
            "must stand ready."
        ),
    )
    overwrite: bool = Field(
        default=False, description="Remove the cube that ardcube wrote at the URI, then build it anew."
    )
    break_lease: bool = Field(
        default=False,
        description=(
            "Take the cube from the run that holds it. For a run that is known to be dead; one that is not, stops. "
            "Never set it in a schedule."
        ),
    )
    asset_access: Access = Field(
        default="unsigned",
        description="How remote s3:// assets are read: unsigned, signed, or signed with the requester paying.",
    )
    requests: int = Field(
        default=16, ge=1, le=1024, description="Requests for scenes in flight at once, in one worker process."
    )
    decode_threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Threads that decode blocks, in one worker process, beside those that build chunks; all cores.",
    )
    reader: Reader = Field(
        default="auto",
        description="How scenes are read: 'auto', block by block where a file allows it, or 'gdal'. Equal pixels.",
    )
    allow_asset_roots: tuple[Address, ...] = Field(
        default=(),
        title="Allowed asset roots",
        json_schema_extra={"items": {"type": "string", **ADDRESS_FORM}},
        description=(
            "Folders, or URLs such as http://10.0.0.5, that the catalogue may point to although they are outside of "
            "its own folder, or nearer to this machine than the catalogue is. Default: none."
        ),
    )
    skip_bad_scenes: int = Field(
        default=0,
        ge=0,
        le=1000,
        description=(
            "Leave out of a chunk at most so many scenes that cannot be read; which ones is recorded. A later run "
            "with a smaller number builds such chunks again. Default: a chunk fails if one of its scenes does."
        ),
    )
    retries: int = Field(default=3, ge=0, le=20, description="Further attempts of a chunk after a transient error.")
    retry_delay_seconds: float = Field(
        default=2.0,
        ge=0,
        le=600,
        title="Retry delay (seconds)",
        description="Seconds before the first further attempt, doubled for each one after.",
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        description=(
            "Chunks in one Prefect task run. Default: one each up to 200 chunks, else about 30 seconds of work, in at "
            "most about 1000 task runs."
        ),
    )
    dry_run: bool = Field(default=False, description="Show what would be built and write nothing to the store.")
    debug: bool = Field(default=False, description="Log in detail, and show tracebacks.")
    max_chunks: int = Field(
        default=10_000, ge=1, description="Refuse a cube of more chunks than this, unless yes is set."
    )
    yes: bool = Field(default=False, description="Build the cube however many chunks it has.")
    price_per_core_hour: float | None = Field(
        default=None,
        ge=0,
        description="Price of one core for an hour, in any currency: the summary then says what a run cost.",
    )
    coiled_name: str = Field(default="ardcube", description="Name of the Coiled cluster.")
    coiled_region: str = Field(
        default="us-west-2",
        description="Cloud region of the Coiled cluster; scenes of Earth Search are in us-west-2.",
    )
    coiled_worker_cpu: int = Field(default=4, ge=1, description="CPUs of one Coiled worker.")
    coiled_worker_memory: str = Field(default="16 GiB", description="Memory of one Coiled worker.")
    coiled_spot_policy: Literal["on-demand", "spot", "spot_with_fallback"] = Field(
        default="spot_with_fallback",
        description="What Coiled rents: spot machines cost less and may be taken away; their chunks are built again.",
    )
    coiled_image: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Container image of the Coiled workers, with this package in it. Default: Coiled installs the packages "
            "of the machine that runs the flow."
        ),
    )
    coiled_idle_timeout: str = Field(
        default="10 minutes", description="Idle time after which the Coiled cluster stops."
    )

    @property
    def local_threads(self) -> int:
        """Chunks that are built at once in this process, where the backend is local."""
        return self.threads or os.cpu_count() or 1

    @property
    def memory_bytes(self) -> int | None:
        """Memory of one worker process, in bytes; None without a limit."""
        return None if self.memory_limit is None else _bytes(self.memory_limit)

    @field_validator("memory_limit", mode="before")
    @classmethod
    def _limit_is_a_size(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str):
            _bytes(value)
        return value

    @field_validator("credentials_block", mode="before")
    @classmethod
    def _block_becomes_its_name(cls, value: Any) -> Any:
        """Keep nothing but the name of a block: Prefect hands in the block itself, secret and all."""
        return getattr(value, "_block_document_name", value)

    @field_validator("allow_asset_roots")
    @classmethod
    def _roots_are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not root.strip() for root in value):
            raise ValueError("an empty root is given; give a folder, or a URL such as http://10.0.0.5")
        return value

    @field_validator("storage_options")
    @classmethod
    def _no_secrets(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        secret = sorted(name for name in _names(value) if _SECRET.search(name))
        if secret:
            raise ValueError(
                f"{', '.join(secret)} {STORED}; put credentials into the environment, such as AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY"
            )
        for text in _texts(value):
            no_credential(text)
        return value

    @model_validator(mode="after")
    def _backend_has_what_it_needs(self) -> Self:
        if self.serverless_backend == "dask" and self.scheduler_address is None:
            raise ValueError("serverless_backend dask needs scheduler_address, such as tcp://host:8786")
        if self.serverless_backend != "dask" and self.scheduler_address is not None:
            raise ValueError(
                f"scheduler_address is of no use to serverless_backend {self.serverless_backend}; use dask"
            )
        if self.overwrite and not self.initialize:
            raise ValueError("overwrite needs initialize; drop no-initialize")
        return self


def _names(value: JsonValue) -> Iterator[str]:
    """Names at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def _texts(value: JsonValue) -> Iterator[str]:
    """Texts at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _bytes(size: str) -> int:
    """Bytes that a text says; decimal units (2 GB) and binary ones (2 GiB)."""
    try:
        count = int(_BYTES.validate_python(size.strip()))
    except (ValidationError, OverflowError):
        count = 0
    if count <= 0:
        raise ValueError(f"{size!r:.40} is no size in bytes; give something like 2 GB or 1.5GiB")
    return count
