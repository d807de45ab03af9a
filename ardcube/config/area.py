"""Area and grid of a cube, as options."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ardcube.config import form_schema
from ardcube.config.base import ADDRESS_FORM, Address, Model

DEFAULT_CRS = "EPSG:4326"
UTM = "utm"
"""Name for the CRS of the UTM zone of the area's centre."""
DEFAULT_RESOLUTION = 1 / 3600
"""Degrees per pixel: one arc second, about 31 m along a meridian."""


class AreaOptions(Model):
    """Area and grid of a cube."""

    bbox: tuple[float, float, float, float] | None = Field(
        default=None,
        title="Bounding box (degrees)",
        json_schema_extra=form_schema.bounding_box,
        description=(
            "Bounding box in degrees: min_lon, min_lat, max_lon, max_lat. Across the antimeridian max_lon is "
            "above 180 (179 -17 181 -16). Give this or a geometry file, not both."
        ),
    )
    geometry_file: Address | None = Field(
        default=None,
        json_schema_extra=ADDRESS_FORM,
        description=(
            "File of geometries (.shp, .gpkg or .geojson, any CRS). Their bounds are the area of the cube. "
            "Give this or a bounding box, not both."
        ),
    )
    geometry_layer: str | None = Field(
        default=None,
        description="Layer of the geometry file. Needed if several layers of the file have geometries.",
    )
    feature: str | None = Field(
        default=None,
        max_length=1000,
        description=(
            "Use only the features of the geometry file that have a value in a field: FIELD=VALUE, such as name=Zagreb."
        ),
    )
    use_geometry_mask: bool = Field(
        default=False,
        description="Build only the tiles that intersect geometries of the geometry file.",
    )
    clip: bool = Field(
        default=False,
        description=(
            "Build only the pixels whose centre is inside of geometries of the geometry file. All others are nodata. "
            "Tiles without such a pixel are not built."
        ),
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
    like: Address | None = Field(
        default=None,
        json_schema_extra=ADDRESS_FORM,
        description=(
            "Raster file or Zarr cube whose grid the cube gets: CRS, origin, pixel size and shape. Replaces the area, "
            "the CRS and the resolution."
        ),
    )

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

    @field_validator("crs")
    @classmethod
    def _crs_is_written_in_one_way(cls, value: str) -> str:
        text = value.strip()
        if text.isdecimal():
            return f"EPSG:{text}"
        return text.lower() if text.lower() == UTM else text

    @field_validator("feature")
    @classmethod
    def _feature_is_a_field_and_a_value(cls, value: str | None) -> str | None:
        if value is not None and not all(value.partition("=")):
            raise ValueError(f"{value!r:.100} is not FIELD=VALUE; give one such as name=Zagreb")
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
    def _one_area_is_given(self) -> Self:
        if self.like is not None:
            changed = {
                "bbox": self.bbox is not None,
                "geometry_file": self.geometry_file is not None and not self.clip,
                "crs": self.crs != DEFAULT_CRS,
                "resolution": self.resolution is not None,
                "align": self.align != "edge",
            }
            given = next((name for name, is_given in changed.items() if is_given), None)
            if given is not None:
                raise ValueError(f"like and {given}: both are given; like gives the whole grid, so omit {given}")
        if self.bbox is not None and self.geometry_file is not None:
            raise ValueError("bbox and geometry_file: both are given; give one of them")
        if self.bbox is None and self.geometry_file is None and self.like is None:
            raise ValueError("bbox and geometry_file: none of them is given; give one of them, or like")
        if self.geometry_layer is not None and self.geometry_file is None:
            raise ValueError("geometry_layer: needs a geometry_file; give one or omit the layer")
        if self.feature is not None and self.geometry_file is None:
            raise ValueError("feature: needs a geometry_file; give one or omit the feature")
        if self.clip and self.geometry_file is None:
            raise ValueError("clip: needs a geometry_file; give one or omit clip")
        if self.use_geometry_mask and self.geometry_file is None:
            raise ValueError("use_geometry_mask: needs a geometry_file; give one or omit the mask")
        return self
