"""Configuration of a cube: everything that determines its pixels and its layout."""

import json
import re
from dataclasses import asdict, is_dataclass
from typing import Any, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from ardcube.config import form_schema
from ardcube.config.area import AreaOptions
from ardcube.config.base import LastMonth
from ardcube.config.dates import TimeOptions
from ardcube.config.encoding import GivenEncoding
from ardcube.config.preset import Preset, with_preset
from ardcube.config.scenes import SceneOptions
from ardcube.config.variables import (
    MEDIAN,
    MEDIAN_VARIABLE,
    QUALITY_NAMES,
    RESERVED_NAMES,
    VARIABLE_NAME,
    QualityName,
    default_variable,
)

Resampling = Literal["nearest", "bilinear", "cubic"]
StoreLayout = Literal["flat", "geozarr"]
_COMPOSITE = re.compile(r"[a-z][a-z0-9-]*(:[^\x00-\x20]+)?")
_LONGEST_COMPOSITE = 300
"""Characters of a composite."""
_LARGEST_TILE = 16384
"""Pixels per side of a tile; four bands of it take 2 GB."""


class GrowingCubeConfig(SceneOptions, AreaOptions, TimeOptions):
    """Options that change the pixels or the layout of a cube; the end may be open."""

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
            "Chunks per side of a shard: N x N chunks of a period are built together and stored as one object, which "
            "suits cubes of very many chunks. 1 stores each chunk as one object. GDAL and QGIS read shards with GDAL "
            "3.13 or newer."
        ),
    )
    layout: StoreLayout = Field(
        default="flat",
        description=(
            "Layout of the store: 'flat', one group that xarray.open_zarr opens, or 'geozarr', a group per level of a "
            "pyramid with one array per band, for web maps and QGIS. It is fixed when the cube is created."
        ),
    )
    bands: tuple[str, ...] = Field(
        default=("red", "green", "blue", "nir"),
        min_length=1,
        json_schema_extra=form_schema.bands,
        description="Reflectance bands to composite: asset keys or common names.",
    )
    preset: Preset | None = Field(
        default=None,
        description=(
            "Options of a published product: 'cdse-quarterly' sets the period, the composite, the cloud mask and its "
            "options. Other values of these are refused."
        ),
    )
    composites: tuple[str, ...] = Field(
        default=(MEDIAN,),
        min_length=1,
        max_length=form_schema.MOST_COMPOSITES,
        json_schema_extra=form_schema.composites,
        description=(
            "Composites of the clear observations: median, mean, min, max, std, percentile:25, geomedian, mads, "
            "medoid, nearest-to-median, max-ndvi, max:EXPRESSION, min:EXPRESSION, first, last, best-pixel, "
            "least-cloudy, or one from an installed package. Each becomes a variable."
        ),
    )
    varname: str = Field(
        default_factory=lambda: MEDIAN_VARIABLE,  # no default in the form, where it would be sent with any composite
        title="Variable name",
        json_schema_extra=form_schema.expects(
            {"pattern": f"^{VARIABLE_NAME.pattern}$", "not": {"enum": sorted(RESERVED_NAMES)}},
            "a name of letters, digits and _ that the store does not use itself",
        ),
        description=(
            "Name of the variable that holds the composite. Default: rgb_median for the median, else the name of the "
            "composite. Several composites use their names."
        ),
    )
    quality: tuple[QualityName, ...] = Field(
        default=(),
        title="Quality layers",
        json_schema_extra={"uniqueItems": True},
        description=(
            "Quality layers, each a variable: valid_count, date (of the chosen observation, else the median), "
            "first_date, last_date, spread, clear_share, sensor_share."
        ),
    )
    cloud_mask: str = Field(
        default="none",
        json_schema_extra=form_schema.cloud_masks,
        description=(
            "Name of the cloud mask: 'none', 'scl', 'qa_pixel', 'fmask', 'cloud_probability', one from an installed "
            "package, or 'auto' for the mask that the definition of the scenes names."
        ),
    )
    cloud_mask_options: dict[str, JsonValue] = Field(
        default_factory=dict,
        description=(
            "Options of the cloud mask, such as buffer=60, allowed_values=[4,5,6] for 'scl', or masked=[cloud,shadow] "
            "for 'qa_pixel' and 'fmask'."
        ),
    )
    enough: int | None = Field(
        default=None,
        ge=1,
        title="First clear days of a pixel",
        description=(
            "Use only the first N clear days of each pixel, in order of the eo:cloud_cover of their scenes; unknown "
            "cloud cover comes last. Needs a cloud mask of scenes, such as scl. Default: all clear days."
        ),
    )
    resampling: Resampling = Field(
        default="bilinear",
        description="Resampling of reflectance bands. Categorical bands always use nearest.",
    )
    encoding: str | None = Field(
        default=None,
        description=(
            "Encoding of reflectance in the cube, such as 'scale=0.0001,offset=-0.2'; with 'min' and 'max', "
            "reflectance beyond them is clipped. Default: chosen so that all reflectance of the "
            "collection fits into 16 bits."
        ),
    )

    @property
    def given_encoding(self) -> GivenEncoding | None:
        """The encoding of the cube, if it was given."""
        return None if self.encoding is None else GivenEncoding.parse(self.encoding)

    @property
    def tile_size(self) -> int:
        """Pixels per side of a tile, the unit of building and storing: a shard, or a chunk without shards."""
        return self.chunk_size * self.shard

    @model_validator(mode="before")
    @classmethod
    def _hook_becomes_name_and_options(cls, values: Any) -> Any:
        """Accept a mask object in Python, such as `cloud_mask=SCLCloudMaskHook(closing=3)`; store it as JSON."""
        hook = values.get("cloud_mask") if isinstance(values, dict) else None
        if is_dataclass(hook) and not isinstance(hook, type) and hasattr(hook, "name"):
            return {**values, "cloud_mask": hook.name, "cloud_mask_options": json.loads(json.dumps(asdict(hook)))}
        return values

    @model_validator(mode="before")
    @classmethod
    def _variable_is_named_after_its_composite(cls, values: Any) -> Any:
        composites = values.get("composites") if isinstance(values, dict) else None
        if isinstance(composites, list | tuple) and composites and all(isinstance(one, str) for one in composites):
            return {"varname": default_variable(tuple(composites)), **values}
        return values

    # Validators of this kind run in reverse order: this one is the last, so that the others see all fields.
    @model_validator(mode="before")
    @classmethod
    def _preset_gives_its_fields(cls, values: Any) -> Any:
        return with_preset(values) if isinstance(values, dict) else values

    @field_validator("encoding")
    @classmethod
    def _encoding_is_written_in_one_way(cls, value: str | None) -> str | None:
        return None if value is None else str(GivenEncoding.parse(value))

    @field_validator("composites")
    @classmethod
    def _composites_are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        value = tuple("".join(text.split()) for text in value)
        for text in value:
            if not _COMPOSITE.fullmatch(text) or len(text) > _LONGEST_COMPOSITE:
                raise ValueError(
                    f"{text!r:.100} is not a composite; write NAME or NAME:PARAMETERS, such as percentile:25"
                )
        twice = sorted({text for text in value if value.count(text) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is given more than once; give each composite once")
        return value

    @field_validator("quality")
    @classmethod
    def _quality_layers_have_one_order(cls, value: tuple[QualityName, ...]) -> tuple[QualityName, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is given more than once; give each layer once")
        return tuple(name for name in QUALITY_NAMES if name in value)

    @field_validator("varname")
    @classmethod
    def _varname_is_a_name(cls, value: str) -> str:
        if not VARIABLE_NAME.fullmatch(value):
            raise ValueError(f"{value!r} is not a valid name of a variable; use letters, digits and _")
        if value in RESERVED_NAMES:
            raise ValueError(f"{value!r} is a name that the store uses itself; choose another name")
        return value

    @field_validator("bands")
    @classmethod
    def _bands_are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        joined = next((band for band in value if "," in band), None)
        if joined is not None:
            parts = [part.strip() for part in joined.split(",") if part.strip()]
            raise ValueError(
                f"{joined!r} is one name with a comma; give each band by itself: "
                f"{' '.join(f'--bands {part}' for part in parts)}, in Python and JSON {json.dumps(parts)}"
            )
        twice = sorted({band for band in value if value.count(band) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is given more than once; give each band once")
        return value

    @model_validator(mode="after")
    def _tile_is_not_too_large(self) -> Self:
        if self.tile_size > _LARGEST_TILE:
            raise ValueError(
                f"shard {self.shard} of chunk_size {self.chunk_size}: {self.tile_size} pixels per side are more than "
                f"{_LARGEST_TILE}; make one of them smaller"
            )
        return self

    @model_validator(mode="after")
    def _bands_can_name_arrays(self) -> Self:
        if self.layout == "flat":
            return self
        for band in self.bands:
            if not VARIABLE_NAME.fullmatch(band) or band in RESERVED_NAMES:
                raise ValueError(
                    f"layout {self.layout}: {band!r:.100} cannot be the name of an array; choose layout flat"
                )
        return self

    @model_validator(mode="after")
    def _several_composites_have_their_names(self) -> Self:
        if len(self.composites) > 1 and self.varname != default_variable(self.composites):
            raise ValueError(
                f"varname {self.varname}: {len(self.composites)} composites use their names; omit varname, or give one "
                "composite"
            )
        return self


class CubeConfig(GrowingCubeConfig):
    """Options that change the pixels or the layout of a cube."""

    end_date: LastMonth = Field(
        description="Last month of the cube, included, such as 2023-03. A day counts for periods of days only.",
    )
