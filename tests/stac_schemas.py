"""Validate STAC documents without network: the core by the schemas of pystac, extensions by published schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyproj.datadir
import pystac
from pystac.validation.stac_validator import JsonSchemaSTACValidator

_FOLDER = Path(__file__).parent / "data" / "stac-schemas"


def validate(document: dict[str, Any]) -> list[str]:
    """Return the addresses of the schemas by which a document was validated: that of the core, then of extensions.

    Raises
    ------
    pystac.errors.STACValidationError
        If the document is invalid.
    """
    validator = JsonSchemaSTACValidator()
    for file in _FOLDER.glob("*.json"):
        schema = json.loads(file.read_text())
        validator.schema_cache[schema["$id"].rstrip("#")] = schema
    projjson = json.loads((Path(pyproj.datadir.get_data_dir()) / "projjson.schema.json").read_text())
    for version in ("v0.4", "v0.7"):  # pyproj contains one version, and no document contains PROJJSON
        validator.schema_cache[f"https://proj.org/schemas/{version}/projjson.schema.json"] = projjson
    kind = {"Feature": pystac.STACObjectType.ITEM, "Collection": pystac.STACObjectType.COLLECTION}[document["type"]]
    return validator.validate(document, kind, document["stac_version"], document["stac_extensions"])


def validate_folder(folder: Path) -> list[dict[str, Any]]:
    """Return the Collection and the Items of a folder after validation."""
    collection = json.loads((folder / "collection.json").read_text())
    links = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    documents = [collection, *(json.loads((folder / link).read_text()) for link in links)]
    for document in documents:
        assert len(validate(document)) == 1 + len(document["stac_extensions"])
    return documents
