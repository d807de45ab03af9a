"""Configuration of a cube: everything that determines its pixels and its layout."""

import json
import re
from dataclasses import asdict, is_dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, field_validator, model_validator

from ardcube.config import form_schema
from ardcube.config.base import ADDRESS_FORM, ADDRESSES_FORM, Address, LastMonth, Model, Month, check_address
from ardcube.config.encoding import GivenEncoding
from ardcube.config.period import FORM_PATTERN, MOST_MONTHS, PeriodRule
from ardcube.config.pool import (
    CollectionAddress,
    as_texts,
    check_collection,
    definitions_by_collection,
    one_or_several,
)
from ardcube.config.selection import Comparison, parse_months, written_months
from ardcube.config.variables import MEDIAN, MEDIAN_VARIABLE, RESERVED_NAMES, VARIABLE_NAME, default_variable

EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
DEFAULT_CRS = "EPSG:4326"
UTM = "utm"
"""Name for the CRS of the UTM zone of the area's centre."""
DEFAULT_RESOLUTION = 1 / 3600
"""Degrees per pixel: one arc second, about 31 m along a meridian."""

Resampling = Literal["nearest", "bilinear", "cubic"]
_COMPOSITE = re.compile(r"[a-z][a-z0-9-]*(:[^\x00-\x20]+)?")
_LONGEST_COMPOSITE = 300
"""Characters of a composite."""
_LAST_YEAR = 9998
_LARGEST_TILE = 16384
"""Pixels per side of a tile; four bands of it take 2 GB."""


class GrowingCubeConfig(Model):
    """Options that change the pixels or the layout of a cube; the end may be open."""

    start_date: Month = Field(
        description="First month of the cube, such as 2023-01. A day counts for periods of days only.",
    )
    end_date: LastMonth | None = Field(
        default=None,
        description=(
            "Last month that the cube may have, included. A day counts for periods of days only. Default: no end; "
            "the cube grows with each run."
        ),
    )
    bbox: tuple[float, float, float, float] | None = Field(
        default=None,
        title="Bounding box (degrees)",
        json_schema_extra=form_schema.bounding_box,
        description=(
            "Bounding box in degrees: min_lon, min_lat, max_lon, max_lat. Across the antimeridian max_lon is "
            "above 180 (179 -17 181 -16). Give this or a geometry file, not both."
        ),
    )
    geometry_file: str | None = Field(
        default=None,
        description=(
            "File of geometries (.shp, .gpkg or .geojson, any CRS). Their bounds are the area of the cube. "
            "Give this or a bounding box, not both."
        ),
    )
    geometry_layer: str | None = Field(
        default=None,
        description="Layer of the geometry file. Needed if several layers of the file have geometries.",
    )
    use_geometry_mask: bool = Field(
        default=False,
        description="Build only the tiles that intersect geometries of the geometry file.",
    )
    months: str | None = Field(
        default=None,
        title="Months of the year",
        description="Months to keep of every year, such as 5-9, 11-2 or 3,6-8. Default: all.",
    )
    query: tuple[str, ...] = Field(
        default=(),
        title="Conditions on scenes",
        description=(
            "Conditions that scenes must meet: comparisons with properties of items, such as 'eo:cloud_cover<60' or "
            "'sat:orbit_state=descending'. A scene without the property is not used."
        ),
    )
    period: str | None = Field(
        default=None,
        max_length=1000,
        json_schema_extra=form_schema.expects(
            {"pattern": FORM_PATTERN}, "1M, 10D, season, year, or the path of a .csv file"
        ),
        description=(
            "Periods: 1M to 24M, 1D to 183D (counted from January 1st), 'season' (DJF, MAM, JJA, SON), 'year', or a "
            "CSV file of first and last days, which may overlap. Default: 1M."
        ),
    )
    time_frequency_months: int | None = Field(
        default=None,
        ge=1,
        le=MOST_MONTHS,
        title="Time frequency (months)",
        description="Length of one period, in months: another way to give the period.",
    )
    crs: str = Field(
        default=DEFAULT_CRS,
        title="CRS",
        max_length=20_000,
        description=(
            "CRS of the cube: an EPSG code such as EPSG:32633, WKT, or 'utm' for the zone of the area's centre."
        ),
    )
    epsg: int | None = Field(
        default=None, ge=1, title="EPSG code", description="EPSG code of the cube's CRS: another way to give the CRS."
    )
    resolution: float | None = Field(
        default=None,
        title="Resolution (CRS units)",
        gt=0,
        description=(
            "Pixel size, in units of the CRS. Default: 1/3600 degree; in metres, the pixel size of the finest band."
        ),
    )
    align: Literal["edge", "center"] = Field(
        default="edge",
        description="Part of pixels that is at whole multiples of the resolution: their edges or their centres.",
    )
    like: str | None = Field(
        default=None,
        description=(
            "Raster file or Zarr cube whose grid the cube gets: CRS, origin, pixel size and shape. Replaces the area, "
            "the CRS and the resolution."
        ),
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
            "Chunks per side of a shard: N x N chunks of a period are built together and stored as one object, which "
            "suits cubes of very many chunks. 1 stores each chunk as one object. GDAL and QGIS read shards with GDAL "
            "3.13 or newer."
        ),
    )
    bands: tuple[str, ...] = Field(
        default=("red", "green", "blue", "nir"),
        min_length=1,
        json_schema_extra=form_schema.bands,
        description="Reflectance bands to composite: asset keys or common names.",
    )
    composites: tuple[str, ...] = Field(
        default=(MEDIAN,),
        min_length=1,
        max_length=form_schema.MOST_COMPOSITES,
        json_schema_extra=form_schema.composites,
        description=(
            "Composites of the clear observations: median, mean, min, max, std, percentile:25, geomedian, mads, "
            "medoid, nearest-to-median, max-ndvi, max:EXPRESSION, min:EXPRESSION, first, last, or one from an "
            "installed package. Each becomes a variable."
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
    stac_url: Address = Field(
        default=EARTH_SEARCH,
        title="Catalogue",
        json_schema_extra=ADDRESS_FORM,
        description=(
            "Catalogue: the URL of a STAC API, or the path of a folder of items, an ItemCollection file, "
            "or a stac-geoparquet file."
        ),
    )
    collection: Annotated[str | tuple[str, ...], BeforeValidator(one_or_several)] = Field(
        default="sentinel-2-c1-l2a",
        json_schema_extra=form_schema.one_or_several("collection", ADDRESSES_FORM),
        description=(
            "Id of the STAC collection. Several collections are pooled. CATALOGUE#ID names a collection of another "
            "catalogue, such as https://earth-search.aws.element84.com/v1#landsat-c2-l2."
        ),
    )
    definition: Annotated[str | tuple[str, ...] | None, BeforeValidator(one_or_several)] = Field(
        default=None,
        json_schema_extra=form_schema.one_or_several("definition", {}),
        description=(
            "Name of the definition of bands and encoding; `ardcube collections` lists them. COLLECTION=NAME names "
            "the one of a collection. Default: each item is recognized by its assets and properties."
        ),
    )
    collection_file: Annotated[str | tuple[str, ...] | None, BeforeValidator(one_or_several)] = Field(
        default=None,
        json_schema_extra=form_schema.one_or_several("file", {}),
        description=(
            "TOML file with a definition of a collection that is not installed. It takes precedence over installed "
            "definitions."
        ),
    )

    @property
    def kept_months(self) -> frozenset[int]:
        """Months of the year that are kept, 1 to 12; empty for all."""
        return frozenset() if self.months is None else parse_months(self.months)

    @property
    def period_rule(self) -> PeriodRule:
        """Kind of the periods."""
        if self.period is not None:
            return PeriodRule.parse(self.period)
        return PeriodRule("months", self.time_frequency_months or 1)

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The conditions on scenes."""
        return tuple(map(Comparison.parse, self.query))

    @property
    def collections(self) -> tuple[CollectionAddress, ...]:
        """The collections, each in its catalogue."""
        return tuple(CollectionAddress.parse(text, self.stac_url) for text in as_texts(self.collection))

    def definition_of(self, collection: str) -> str | None:
        """Return the name of the definition that the user gave for a collection, or None."""
        named = definitions_by_collection(self.definition)
        return named.get(collection, named.get(""))

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

    @model_validator(mode="before")
    @classmethod
    def _code_becomes_crs(cls, values: Any) -> Any:
        """Accept the code alone; cubes of version 0.1 have it too."""
        if not isinstance(values, dict) or type(values.get("epsg")) is not int:
            return values
        crs = f"EPSG:{values['epsg']}"
        if values.get("crs") not in (None, DEFAULT_CRS, crs):
            raise ValueError(f"crs {values['crs']!r:.100} and epsg {values['epsg']}: both are given; give one of them")
        return {**values, "crs": crs, "epsg": None}

    @model_validator(mode="before")
    @classmethod
    def _months_become_time_frequency(cls, values: Any) -> Any:
        """Store whole months in one way, which cubes of earlier versions have too."""
        if not isinstance(values, dict):
            return values
        period, months = values.get("period"), values.get("time_frequency_months")
        try:
            rule = PeriodRule.parse(period) if isinstance(period, str) else PeriodRule("months", 1)
        except ValueError:
            return values  # the validator of the field reports it
        if period is None:
            return values if months is not None else {**values, "time_frequency_months": 1}
        if not isinstance(period, str):
            return values
        if months is not None and (rule.kind != "months" or str(months).strip() != str(rule.length)):
            raise ValueError(
                f"period {rule!s:.100} and time_frequency_months {months!r:.20}: both are given and differ; give one"
            )
        is_months = rule.kind == "months"
        return {
            **values,
            "period": None if is_months else str(rule),
            "time_frequency_months": rule.length if is_months else None,
        }

    @field_validator("period")
    @classmethod
    def _period_is_known(cls, value: str | None) -> str | None:
        return None if value is None else str(PeriodRule.parse(value))

    @field_validator("crs")
    @classmethod
    def _crs_is_written_in_one_way(cls, value: str) -> str:
        text = value.strip()
        if text.isdecimal():
            return f"EPSG:{text}"
        return text.lower() if text.lower() == UTM else text

    @field_validator("collection")
    @classmethod
    def _collections_are_named(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for text in as_texts(value):
            check_address(text)
            check_collection(text)
        return value

    @field_validator("definition")
    @classmethod
    def _definitions_are_named(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        definitions_by_collection(value)
        return value

    @field_validator("months")
    @classmethod
    def _months_are_in_order(cls, value: str | None) -> str | None:
        return None if value is None else written_months(parse_months(value))

    @field_validator("query")
    @classmethod
    def _query_is_comparisons(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({str(Comparison.parse(text)) for text in value}))

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

    @field_validator("bbox", mode="before")
    @classmethod
    def _edges_become_a_list(cls, value: Any) -> Any:
        """Accept the four labelled numbers of the Prefect form."""
        if not isinstance(value, dict):
            return value
        if set(value) != set(form_schema.EDGES):
            raise ValueError(
                f"its keys are {', '.join(map(str, value)) or 'missing'}; give {', '.join(form_schema.EDGES)}"
            )
        return [value[edge] for edge in form_schema.EDGES]

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
                f"{given} has a minimum that is not below its maximum; give min_lon min_lat max_lon max_lat, with a "
                "max_lon above 180 across the antimeridian"
            )
        if not (-180 <= west < 180 and east - west <= 360 and south >= -90 and north <= 90):
            raise ValueError(
                f"{given} is not a box in degrees on Earth; give a min_lon within -180..180, at most 360 degrees of "
                "longitude, and latitudes within -90..90"
            )
        return value

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        self._check_dates()
        self._check_collections()
        if self.like is not None:
            given = [
                name
                for name, is_given in (
                    ("bbox", self.bbox is not None),
                    ("geometry_file", self.geometry_file is not None),
                    ("crs", self.crs != DEFAULT_CRS),
                    ("resolution", self.resolution is not None),
                    ("align", self.align != "edge"),
                )
                if is_given
            ]
            if given:
                raise ValueError(f"like and {given[0]}: both are given; like gives the whole grid, so omit {given[0]}")
        if self.bbox is not None and self.geometry_file is not None:
            raise ValueError("bbox and geometry_file: both are given; give one of them")
        if self.bbox is None and self.geometry_file is None and self.like is None:
            raise ValueError("bbox and geometry_file: none of them is given; give one of them, or like")
        if self.tile_size > _LARGEST_TILE:
            raise ValueError(
                f"shard {self.shard} of chunk_size {self.chunk_size}: {self.tile_size} pixels per side are more than "
                f"{_LARGEST_TILE}; make one of them smaller"
            )
        if self.geometry_layer is not None and self.geometry_file is None:
            raise ValueError("geometry_layer: needs a geometry_file; give one or omit the layer")
        if self.use_geometry_mask and self.geometry_file is None:
            raise ValueError("use_geometry_mask: needs a geometry_file; give one or omit the mask")
        return self

    def _check_dates(self) -> None:
        """Raise ValueError if the end is before the start, or too late."""
        if self.end_date is None:
            return
        if self.end_date.year > _LAST_YEAR:
            raise ValueError(
                f"end_date {self.end_date}: after the last year of the calendar; choose one before {_LAST_YEAR + 1}"
            )
        shown = "%Y-%m-%d" if self.period_rule.has_days else "%Y-%m"
        start, end = self.start_date.strftime(shown), self.end_date.strftime(shown)
        if end < start:
            raise ValueError(f"end_date {end}: before start_date {start}; swap them")

    def _check_collections(self) -> None:
        """Raise ValueError if a collection comes twice, or a definition is named for another one."""
        given = [(one.stac_url.rstrip("/"), one.collection) for one in self.collections]
        known = [collection for _, collection in given]
        twice = next((one for one in given if given.count(one) > 1), None)
        if twice is not None:
            raise ValueError(f"collection {twice[1]} is given more than once; give each of them once")
        for name in definitions_by_collection(self.definition):
            if name and name not in known:
                raise ValueError(f"definition of {name!r:.100}: no such collection; choose from {', '.join(known)}")

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
