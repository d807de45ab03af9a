"""Catalogues, collections and conditions of the scenes of a cube, as options."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ardcube.config import form_schema
from ardcube.config.base import ADDRESS_FORM, ADDRESSES_FORM, Address, Model, check_address
from ardcube.config.pool import (
    CollectionAddress,
    as_texts,
    check_collection,
    definitions_by_collection,
    one_or_several,
)
from ardcube.config.selection import Comparison

EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"


class SceneOptions(Model):
    """Where the scenes of a cube come from, and which are used."""

    query: tuple[str, ...] = Field(
        default=(),
        title="Conditions on scenes",
        description=(
            "Conditions that scenes must meet: comparisons with properties of items, such as 'eo:cloud_cover<60' or "
            "'sat:orbit_state=descending'. A scene without the property is not used."
        ),
    )
    max_scenes: int | None = Field(
        default=None,
        ge=1,
        title="Least cloudy scenes",
        description=(
            "Use only the N least cloudy scenes of each granule (tile, or path and row) in a period, by the "
            "eo:cloud_cover of their items; unknown cloud cover comes last. Default: all scenes."
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
        json_schema_extra=form_schema.one_or_several("file", ADDRESSES_FORM),
        description=(
            "TOML file with a definition of a collection that is not installed. It takes precedence over installed "
            "definitions."
        ),
    )

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

    @field_validator("collection")
    @classmethod
    def _collections_are_named(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for text in as_texts(value):
            check_address(text)
            check_collection(text)
        return value

    @field_validator("collection_file")
    @classmethod
    def _files_have_no_credentials(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        for text in as_texts(value):
            check_address(text)
        return value

    @field_validator("definition")
    @classmethod
    def _definitions_are_named(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        definitions_by_collection(value)
        return value

    @field_validator("query")
    @classmethod
    def _query_is_comparisons(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({str(Comparison.parse(text)) for text in value}))

    @model_validator(mode="after")
    def _collections_are_distinct(self) -> Self:
        given = [(one.stac_url.rstrip("/"), one.collection) for one in self.collections]
        known = [collection for _, collection in given]
        twice = next((one for one in given if given.count(one) > 1), None)
        if twice is not None:
            raise ValueError(f"collection {twice[1]} is given more than once; give each of them once")
        for name in definitions_by_collection(self.definition):
            if name and name not in known:
                raise ValueError(f"definition of {name!r:.100}: no such collection; choose from {', '.join(known)}")
        return self
