"""The two models at the border: what is built (`CubeConfig`) and where and how (`RunConfig`).

They validate what a person, a form or a deployment hands in, once. Their fields are the options of the
command line and of the Prefect form, so a field's description is what both show.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from ardcube import form
from ardcube.redaction import CREDENTIAL_IN_ADDRESS, SECRET_NAMES

EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
DEFAULT_RESOLUTION = 1 / 3600
"""One arc second in degrees, about 31 m on a meridian."""

Access = Literal["unsigned", "requester-pays", "signed"]
Reader = Literal["auto", "gdal"]
Resampling = Literal["nearest", "bilinear", "cubic"]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_SECRET = re.compile(rf"^(key|sas|sas_.*)$|{SECRET_NAMES}|connection_string", re.IGNORECASE)
_CREDENTIAL = re.compile(CREDENTIAL_IN_ADDRESS, re.IGNORECASE)
_STORED = "would be stored with the run for all to read"
_RESERVED_NAMES = {"time", "latitude", "longitude", "band", "time_bnds", "spatial_ref", "observation_count"}


_BYTES = TypeAdapter(ByteSize)
_FIRST_YEAR = 2015
"""Sentinel-2A was launched in June."""
_LAST_YEAR = 9998
_LARGEST_TILE = 16384
"""Pixels a side; four bands of so many are 2 GB."""


def _as_date(value: Any) -> Any:
    """Accept every form of the command line: a date, or a date with a time that is ignored."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, str):
        for pattern in ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"):
            try:
                return datetime.strptime(value.removesuffix("Z"), pattern).date()
            except ValueError:
                continue
        raise ValueError(f"{value!r} is not a date; write it like 2023-01-01")
    return value


MonthDate = Annotated[date, BeforeValidator(_as_date)]


def _no_credential(address: str) -> str:
    """Refuse an address that holds a credential, without repeating it."""
    if _CREDENTIAL.search(address):
        raise ValueError(
            f"the address holds a user or a secret parameter, which {_STORED}; leave it out and put credentials into "
            "the environment"
        )
    return address


Address = Annotated[str, AfterValidator(_no_credential)]
_ADDRESS = form.expects(
    {"not": {"type": "string", "pattern": f"(?i){CREDENTIAL_IN_ADDRESS}"}},
    f"an address without credentials, since they {_STORED}; put them into the environment",
)


class _Model(BaseModel):
    # Input is hidden in errors, since somebody may have put a secret there; messages say what was given where it helps.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        field_title_generator=lambda name, _field: name.replace("_", " ").capitalize(),
        json_schema_extra=form.present,
    )

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        try:
            self.model_dump_json()
        except ValueError:
            raise ValueError("a text holds half a character, which no file can hold; write it anew") from None
        return self


class GrowingCubeConfig(_Model):
    """All that changes a pixel of the cube, or the layout that holds it; its end may be left open."""

    start_date: MonthDate = Field(
        description="First month of the cube. Everything but year and month is ignored.",
    )
    end_date: MonthDate | None = Field(
        default=None,
        description=(
            "Last month that the cube ever gets, included. Left out, the cube goes on. Everything but year and month "
            "is ignored."
        ),
    )
    bbox: tuple[float, float, float, float] | None = Field(
        default=None,
        title="Bounding box (degrees)",
        json_schema_extra=form.bounding_box,
        description=(
            "Bounding box in degrees: min_lon, min_lat, max_lon, max_lat. Across the antimeridian max_lon is "
            "above 180 (179 -17 181 -16). Use this or a geometry file, not both."
        ),
    )
    geometry_file: str | None = Field(
        default=None,
        description=(
            "File of geometries (.shp, .gpkg, .geojson, any CRS) whose bounds are the cube's. "
            "Use this or a bounding box, not both."
        ),
    )
    use_geometry_mask: bool = Field(
        default=False,
        description="Build only the tiles that intersect the geometries of the geometry file.",
    )
    time_frequency_months: int = Field(
        default=1, ge=1, le=24, title="Time frequency (months)", description="Length of one period, in months."
    )
    resolution: float = Field(
        default=DEFAULT_RESOLUTION, gt=0, le=10, title="Resolution (degrees)", description="Pixel size, in degrees."
    )
    chunk_size: int = Field(
        default=1200,
        ge=16,
        le=16384,
        title="Chunk size (pixels)",
        description="Rows and columns of one Zarr chunk, in pixels.",
    )
    shard: int = Field(
        default=1,
        title="Shard (chunks a side)",
        ge=1,
        le=64,
        description=(
            "Chunks on each side of a shard: N x N chunks of a period are built together and stored as one object, "
            "for cubes of very many chunks. GDAL and QGIS read shards from GDAL 3.13 on; 1 stores each chunk by itself."
        ),
    )
    bands: tuple[str, ...] = Field(
        default=("red", "green", "blue", "nir"),
        min_length=1,
        json_schema_extra=form.bands,
        description="Reflectance bands to composite, by asset key or common name.",
    )
    varname: str = Field(
        default="rgb_median",
        title="Variable name",
        json_schema_extra=form.expects(
            {"pattern": f"^{_NAME.pattern}$", "not": {"enum": sorted(_RESERVED_NAMES)}},
            "a name of letters, digits and _ that the store itself does not take",
        ),
        description="Name of the composite's variable in the store.",
    )
    epsg: Literal[4326] = Field(
        default=4326, title="EPSG code", description="EPSG code of the cube's CRS. Only 4326 is supported."
    )
    cloud_mask: str = Field(
        default="none",
        json_schema_extra=form.cloud_masks,
        description="Cloud mask by name: 'none', 'scl', or one that an installed package adds.",
    )
    cloud_mask_options: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Parameters of the cloud mask, such as closing=3 or allowed_values=[4,5,6] for 'scl'.",
    )
    resampling: Resampling = Field(
        default="bilinear",
        description="Resampling of reflectance bands; categorical bands are always nearest.",
    )
    stac_url: Address = Field(
        default=EARTH_SEARCH,
        title="Catalogue",
        json_schema_extra=_ADDRESS,
        description=(
            "Catalogue: the URL of a STAC API, or a local folder of items, an ItemCollection file, "
            "or a stac-geoparquet file."
        ),
    )
    collection: str = Field(default="sentinel-2-c1-l2a", description="STAC collection to read.")

    @property
    def tile_size(self) -> int:
        """Rows and columns of what is built and stored in one go, in pixels: a shard, else a chunk."""
        return self.chunk_size * self.shard

    @model_validator(mode="before")
    @classmethod
    def _hook_becomes_name_and_options(cls, values: Any) -> Any:
        """Let Python code hand in a mask itself, `cloud_mask=SCLCloudMaskHook(closing=3)`; a model stays JSON."""
        hook = values.get("cloud_mask") if isinstance(values, dict) else None
        if is_dataclass(hook) and not isinstance(hook, type) and hasattr(hook, "name"):
            return {**values, "cloud_mask": hook.name, "cloud_mask_options": json.loads(json.dumps(asdict(hook)))}
        return values

    @field_validator("varname")
    @classmethod
    def _varname_is_a_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(f"{value!r} cannot name a variable; use letters, digits and _")
        if value in _RESERVED_NAMES:
            raise ValueError(f"{value!r} is taken by the store itself; choose another name")
        return value

    @field_validator("bands")
    @classmethod
    def _bands_are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({band for band in value if value.count(band) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} given more than once; name each band once")
        return value

    @field_validator("bbox", mode="before")
    @classmethod
    def _edges_become_a_list(cls, value: Any) -> Any:
        """Accept the four labelled numbers of the form."""
        if not isinstance(value, dict):
            return value
        if set(value) != set(form.EDGES):
            raise ValueError(f"{', '.join(map(str, value)) or 'nothing'} is given; give {', '.join(form.EDGES)}")
        return [value[edge] for edge in form.EDGES]

    @field_validator("bbox")
    @classmethod
    def _bbox_is_on_earth(
        cls, value: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float] | None:
        if value is None:
            return None
        west, south, east, north = value
        given = " ".join(f"{number:g}" for number in value)
        if west >= east or south >= north:
            raise ValueError(
                f"{given} has a minimum that is not below its maximum; the order is min_lon min_lat max_lon "
                "max_lat, and across the antimeridian max_lon is above 180"
            )
        if not (-180 <= west < 180 and east - west <= 360 and south >= -90 and north <= 90):
            raise ValueError(
                f"{given} lies outside the world; longitudes start within -180..180 and span at most 360, "
                "latitudes are within -90..90"
            )
        return value

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.end_date is not None and self.end_date.year > _LAST_YEAR:
            raise ValueError(f"end_date {self.end_date} lies beyond the calendar; choose one before {_LAST_YEAR + 1}")
        if self.end_date is not None and _month(self.end_date) < _month(self.start_date):
            raise ValueError(
                f"end_date {self.end_date:%Y-%m} lies before start_date {self.start_date:%Y-%m}; swap them"
            )
        if self.bbox is not None and self.geometry_file is not None:
            raise ValueError("bbox and geometry_file are both given; give one of them")
        if self.bbox is None and self.geometry_file is None:
            raise ValueError("neither bbox nor geometry_file is given; give one of them")
        if self.tile_size > _LARGEST_TILE:
            raise ValueError(
                f"shard {self.shard} of chunk_size {self.chunk_size} is {self.tile_size} pixels a side, more than "
                f"{_LARGEST_TILE}; choose a smaller one of the two"
            )
        if self.use_geometry_mask and self.geometry_file is None:
            raise ValueError("use_geometry_mask needs geometry_file; give one or leave the mask out")
        return self


class CubeConfig(GrowingCubeConfig):
    """All that changes a pixel of the cube, or the layout that holds it."""

    end_date: MonthDate = Field(
        description="Last month of the cube, included. Everything but year and month is ignored.",
    )


class RefreshConfig(_Model):
    """Up to when a growing cube is built; resolved when a run begins."""

    delay_days: int = Field(
        default=5,
        ge=0,
        le=366,
        description="Days after the end of a month until it is built, so that scenes that are processed late are in.",
    )
    as_of: MonthDate | None = Field(
        default=None,
        description=(
            "Day that the run takes for today, to build what a run of that day would have built. "
            "Default: the day on which the run begins, in UTC. Never set it in a schedule."
        ),
    )

    @field_validator("as_of")
    @classmethod
    def _day_has_scenes(cls, value: date | None) -> date | None:
        if value is not None and value.year < _FIRST_YEAR:
            raise ValueError(f"{value} lies before the first scenes; choose a day from {_FIRST_YEAR} on, or none")
        return value


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


def _month(day: date) -> tuple[int, int]:
    return day.year, day.month


class RunConfig(_Model):
    """Where the cube goes and how the work is run; never changes a pixel."""

    fsspec_uri: Address = Field(
        min_length=1,
        title="Store (URI)",
        json_schema_extra=_ADDRESS,
        description="Where the store is written: a local path, file://, s3:// or any fsspec URI.",
    )
    storage_backend: Literal["fsspec"] = Field(
        default="fsspec", description="How the store is reached; fsspec serves every URI."
    )
    storage_options: dict[str, JsonValue] = Field(
        default_factory=dict,
        json_schema_extra=form.without_names(
            f"(?i){_SECRET.pattern}",
            f"no credentials, since they {_STORED}; put them into the environment",
            _ADDRESS,
        ),
        description=(
            "Options of the store's filesystem, such as endpoint_url. Credentials belong in the environment, "
            "never here."
        ),
    )
    credentials_block: str | None = Field(
        default=None,
        json_schema_extra=form.secret_block,
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
        json_schema_extra=_ADDRESS,
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
        json_schema_extra={"items": {"type": "string", **_ADDRESS}},
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
                f"{', '.join(secret)} {_STORED}; put credentials into the environment, such as AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY"
            )
        for text in _texts(value):
            _no_credential(text)
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
