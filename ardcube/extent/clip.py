"""Geometries that clip a cube: a pixel is inside if its centre is inside (pure).

Pixel centres are transformed into the CRS of the geometries and tested there. The edges are therefore straight lines
in that CRS, and no edge is approximated. A centre exactly on an edge is inside.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from ardcube.errors import InputError
from ardcube.extent.lattice import DEGREES, canonical_crs, crs_of, is_same_crs, transformer
from ardcube.extent.reproject import to_degrees
from ardcube.fingerprint import digest

_INWARD = 1e-9
"""Share of its size by which a polygon shrinks before its range is checked, because it may end at the map's edge."""
_RETURNED = 1e-6
"""Difference to the largest coordinate at which a vertex counts as returned from degrees."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Polygons of a geometry file, in the CRS of the file, with a text that identifies them."""

    crs: str
    """EPSG code, or WKT."""
    polygons: tuple[Polygon, ...]
    """In an order that does not depend on the file. They may overlap."""

    @classmethod
    def of(cls, geometries: Sequence[BaseGeometry], crs: str, subject: str) -> Self:
        """Return the polygons of geometries; points and lines contain no pixel.

        Parameters
        ----------
        geometries : sequence of geometry
            Valid geometries.
        crs : str
            Their CRS.
        subject : str
            Beginning of an error.

        Raises
        ------
        InputError
            If a polygon is not within the range of its CRS.
        """
        crs = DEGREES if is_same_crs(crs, DEGREES) else canonical_crs(crs)
        parts = _polygons(shapely.force_2d(np.asarray(geometries, object)))
        if crs_of(crs).is_geographic and crs != DEGREES:
            try:
                parts = _polygons([to_degrees(part, crs, crs) for part in parts])
            except ValueError as error:
                raise InputError(f"{subject}: {error}; check its CRS and coordinates") from error
        elif crs != DEGREES:
            _check_range(parts, crs, subject)
        normal = shapely.normalize(np.array(parts, object))
        return cls(crs, tuple(sorted(normal, key=lambda part: part.wkb)))

    @property
    def fingerprint(self) -> str:
        """Hash of the CRS and of all coordinates."""
        return digest(self._document())

    def to_json(self) -> bytes:
        """Return the polygons as a document, without loss."""
        return json.dumps(self._document()).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Return the polygons of a document.

        Raises
        ------
        ValueError, KeyError, TypeError, ShapelyError
            If the document is damaged.
        """
        document = json.loads(content)
        return cls(str(document["crs"]), tuple(_polygons(shapely.from_wkb(document["polygons"]))))

    def _document(self) -> dict[str, object]:
        return {"crs": self.crs, "polygons": [part.wkb_hex for part in self.polygons]}


def _polygons(geometries: Sequence[BaseGeometry] | NDArray[np.object_]) -> list[Polygon]:
    """Return the polygons of geometries, also of nested collections."""
    parts = shapely.get_parts(np.asarray(geometries, object))
    while (shapely.get_type_id(parts) >= shapely.GeometryType.MULTIPOINT).any():
        parts = shapely.get_parts(parts)
    return [part for part in parts if isinstance(part, Polygon) and not part.is_empty]


def _check_range(parts: Sequence[Polygon], crs: str, subject: str) -> None:
    """Raise InputError if a place has other coordinates than a polygon gives it, because no pixel would be found there.

    Such a polygon crosses the edge of the map: a Mercator easting beyond 180 degrees.
    """
    there, back = transformer(crs, DEGREES), transformer(DEGREES, crs)
    for part in parts:
        west, south, east, north = part.bounds
        centre = np.array([(west + east) / 2, (south + north) / 2])
        points = centre + (shapely.get_coordinates(part) - centre) * (1 - _INWARD)
        returned = np.stack(back.transform(*there.transform(*points.T)), axis=1)
        if not (np.abs(returned - points) <= _RETURNED * np.abs(points).max()).all():
            raise InputError(
                f"{subject} has vertices outside of the range of its CRS, so pixels cannot be clipped by it; reproject "
                "it with `ogr2ogr -t_srs EPSG:4326 fixed.gpkg FILE`"
            )
