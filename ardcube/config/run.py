"""Configuration of a run: how work is done, in addition to its store and its cluster."""

from typing import Any, Literal, Self

from pydantic import ByteSize, Field, TypeAdapter, ValidationError, field_validator, model_validator

from ardcube.config.base import ADDRESS_FORM, Address
from ardcube.config.clusters import ClusterOptions
from ardcube.config.durations import to_seconds
from ardcube.config.store import StoreOptions
from ardcube.runtime.cpus import cpu_count

Reader = Literal["auto", "gdal"]
_BYTES = TypeAdapter(ByteSize)


_LONGEST_PATIENCE = 7 * 86_400.0
"""Most seconds to wait for a service."""
_LONGEST_DELAY = 600.0
"""Most seconds between two attempts."""
_MOST_PLANNED = 10_000_000
"""Chunks that a plan may have without confirmation. More do not fit into memory, and are a mistake in most cases."""


class RunConfig(ClusterOptions, StoreOptions):
    """Options of a run: store, backend, limits, retries. They never change a pixel."""

    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Chunks that one process builds at once. Default: the number of CPUs that it may use.",
    )
    memory_limit: str | None = Field(
        default=None,
        description=(
            "Memory limit of one worker process, such as '2 GB' or '1.5GiB', for any number of scenes. Chunks that "
            "need more are built in parts, with the same pixels. Default: no limit, which is fastest."
        ),
    )
    limit: int | None = Field(default=None, ge=1, description="Maximum number of chunks to build in this run.")
    look_back_months: int | None = Field(
        default=None,
        ge=0,
        le=1200,
        description=(
            "Search only new months, this many months before them, and incomplete months. Other months remain "
            "unchanged. Default: search all months."
        ),
    )
    initialize: bool = Field(
        default=True,
        description=(
            "Create the store if it does not exist, and extend it to a later end date. Without this option the store "
            "must exist with the same time axis."
        ),
    )
    overwrite: bool = Field(
        default=False, description="Remove the cube at the store's URI if ardcube wrote it, then build it again."
    )
    break_lease: bool = Field(
        default=False,
        description=(
            "Take over the lease of the run that holds the cube. Use it if that run is known to be dead; otherwise "
            "that run stops. Never set it in a schedule."
        ),
    )
    asset_access: Literal["auto", "unsigned", "requester-pays", "signed"] = Field(
        default="auto",
        description=(
            "Access to remote assets: 'auto' by the definition of their collection, and unsigned without one. The "
            "others are for s3:// assets, signed with the credentials of the environment or not; 'unsigned' also "
            "sends no token and no header."
        ),
    )
    asset_endpoint_url: Address | None = Field(
        default=None,
        pattern=r"^https?://[^/]+/?$",
        json_schema_extra=ADDRESS_FORM,
        description=(
            "Endpoint of s3:// assets that are not on AWS, such as https://eodata.dataspace.copernicus.eu. Default: "
            "that of the definition, else AWS_ENDPOINT_URL of the environment, else AWS."
        ),
    )
    asset_region: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9-]+$",
        max_length=40,
        description=(
            "Region of s3:// assets. Default: that of the definition, else AWS_REGION of the environment, else the "
            "region that S3 names."
        ),
    )
    requests: int = Field(
        default=16, ge=1, le=1024, description="Maximum number of requests for scenes in flight, per worker process."
    )
    decode_threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Threads that decode blocks, per worker process, in addition to threads. Default: all cores.",
    )
    reader: Reader = Field(
        default="auto",
        description="Reader of scenes: 'auto' reads blocks if the file format permits it, else through GDAL; 'gdal' "
        "always uses GDAL. The pixels are equal.",
    )
    allow_asset_roots: tuple[Address, ...] = Field(
        default=(),
        title="Allowed asset roots",
        json_schema_extra={"items": {"type": "string", **ADDRESS_FORM}},
        description=(
            "Local folders that a remote catalogue may refer to, and URLs of link-local servers that any catalogue may "
            "refer to. Default: none."
        ),
    )
    skip_bad_scenes: int = Field(
        default=0,
        ge=0,
        le=1000,
        description=(
            "Maximum number of unreadable scenes that a chunk may skip; their ids are recorded. A later run with a "
            "smaller number builds such chunks again. With 0, a chunk fails if one of its scenes cannot be read."
        ),
    )
    allow_loss: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description=(
            "Share of its clear pixels, 0 to 1, that a chunk may lose when it is built again. A chunk that loses more "
            "fails and keeps its stored pixels, because catalogues retract and damage scenes. 1 publishes every chunk."
        ),
    )
    retries: int = Field(default=3, ge=0, le=20, description="Number of retries of a chunk after transient errors.")
    retry_delay_seconds: float = Field(
        default=2.0,
        ge=0,
        le=600,
        title="Retry delay (seconds)",
        description="Seconds before the first retry. Each further retry waits twice as long.",
    )
    patience: str = Field(
        default="15 minutes",
        description=(
            "Time to wait for a store, a catalogue or the workers while they do not answer, such as '90 s' or "
            "'2 hours'. A run that is waiting reports it. '0' waits for nothing."
        ),
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        description=(
            "Chunks per Prefect task run. Default: at most about 30 seconds of work by the time that chunks take, with "
            "at most about 1000 task runs."
        ),
    )
    stac: Address = Field(
        default="none",
        min_length=1,
        title="STAC documents",
        json_schema_extra=ADDRESS_FORM,
        description=(
            "STAC documents that the end of a run writes: 'none', 'inside' (in the store), or the path or URI of a "
            "folder. A folder with another catalogue is refused."
        ),
    )
    report: bool = Field(
        default=False,
        title="Report page",
        description="Write a report page next to the ledger at the end of the run, and link it from the summary.",
    )
    dry_run: bool = Field(default=False, description="Show the plan and write nothing to the store.")
    debug: bool = Field(default=False, description="Log details and show tracebacks.")
    max_chunks: int = Field(
        default=10_000, ge=1, description="Refuse to build a cube with more chunks than this, unless yes is set."
    )
    yes: bool = Field(default=False, description="Build the cube regardless of its number of chunks.")
    price_per_core_hour: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description=(
            "Price of one core for one hour, in any currency, for the money in the plan and in the summary. A thread "
            "of a worker counts as a core."
        ),
    )
    price_per_gb: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        title="Price per GB",
        description="Price of 1,000,000,000 bytes that are read from scenes, in the same currency.",
    )
    price_per_1000_requests: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        title="Price per 1000 requests",
        description="Price of 1,000 requests that read scenes, in the same currency.",
    )

    @property
    def most_chunks(self) -> int:
        """Chunks that a cube may have unless the user confirms it with `yes`."""
        return max(self.max_chunks, _MOST_PLANNED) if self.dry_run else self.max_chunks

    @property
    def local_threads(self) -> int:
        """Chunks that this process builds at once with the local backend."""
        return self.threads or cpu_count()

    @property
    def retry_delays(self) -> list[float]:
        """Seconds before each retry of a transient error: exponential backoff, at most ten minutes."""
        return [min(_LONGEST_DELAY, self.retry_delay_seconds * 2**retry) for retry in range(self.retries)]

    @property
    def memory_bytes(self) -> int | None:
        """Memory limit of one worker process in bytes, or None."""
        return None if self.memory_limit is None else _bytes(self.memory_limit)

    @property
    def patience_seconds(self) -> float:
        """Seconds to wait for a service that does not answer."""
        return to_seconds(self.patience)

    @field_validator("patience", mode="before")
    @classmethod
    def _patience_is_a_duration(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and to_seconds(value) > _LONGEST_PATIENCE:
            raise ValueError(f"{value!r:.40} is longer than a week; give at most 168 hours")
        return value

    @field_validator("memory_limit", mode="before")
    @classmethod
    def _limit_is_a_size(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str):
            _bytes(value)
        return value

    @field_validator("allow_asset_roots")
    @classmethod
    def _roots_are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not root.strip() for root in value):
            raise ValueError("one of the roots is empty; give a folder, or a URL such as http://169.254.1.1")
        return value

    @model_validator(mode="after")
    def _overwrite_creates(self) -> Self:
        if self.overwrite and not self.initialize:
            raise ValueError("overwrite: needs initialize; omit no-initialize")
        return self


def _bytes(size: str) -> int:
    """Convert a size with a decimal unit (2 GB) or a binary unit (2 GiB) to bytes."""
    try:
        count = int(_BYTES.validate_python(size.strip()))
    except (ValidationError, OverflowError):
        count = 0
    if count <= 0:
        raise ValueError(f"{size!r:.40} is not a size; give a number with a unit, such as 2 GB or 1.5GiB")
    return count
