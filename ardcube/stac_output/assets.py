"""The assets of a cube: its store, its variables, and the pictures and GeoTIFFs of a period."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ardcube.extent.periods import Period
from ardcube.stac_output.folder import WITHIN
from ardcube.stac_output.variables import BASE_GROUP, Variable

if TYPE_CHECKING:
    import pystac

ZARR_TYPE = "application/vnd.zarr; version=3"
"""Media type of Zarr stores, by the STAC best practices."""
ICECHUNK_TYPE = "application/vnd.zarr+icechunk"
"""Media type of repositories of icechunk, which xpystac opens."""
_OF_PICTURES = {
    ".png": ("quicklook", "image/png", ["overview"]),
    ".tif": ("cog", "image/tiff; application=geotiff; profile=cloud-optimized", ["data"]),
}
"""Kind, media type and roles of an asset, by the suffix of its file."""


@dataclass(frozen=True, slots=True)
class CubeAssets:
    """Makes the assets of a cube."""

    store: str
    """Address of the store: absolute, or `.` if the documents are part of it."""
    variables: Sequence[Variable]
    bands: Sequence[str]
    metres: float
    """Side of a pixel in metres."""
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the store's filesystem that are no secrets."""
    files: Sequence[str] = ()
    """Names of the files in the folder of the documents."""
    tag: str = ""
    """Version of icechunk; empty for a plain store."""

    def of_cube(self) -> dict[str, pystac.Asset]:
        """Return the assets of the Collection."""
        return {"zarr": self._group(self._href(".", ""))}

    def of_period(self, period: Period) -> dict[str, pystac.Asset]:
        """Return the assets of an Item: the store, its variables, and the files whose names contain the period."""
        import pystac

        found = {"zarr": self._group(self._href("..", ""))}
        for variable in self.variables:
            fields = variable.fields(self.bands) | {
                "raster:spatial_resolution": round(self.metres, 3),
                "zarr:node_type": "array",
                "zarr:zarr_format": 3,
            }
            roles = ["metadata"] if variable.summary["type"] == "auxiliary" else ["data", "reflectance"]
            # The arrays of icechunk have no address, so their path is a field.
            href = self._href("..", "" if self.tag else variable.path)
            fields |= {"ardcube:path": variable.path, **self._version} if self.tag else {}
            found[variable.name] = pystac.Asset(href, variable.title, None, self._type, roles, fields)
        # Not followed by a day or another digit, because 2023-05 is the beginning of 2023-05-11.
        label = re.compile(rf"(?<![\d-]){re.escape(period.label)}(?![\d]|-\d)")
        for name in self.files:
            kind = _OF_PICTURES.get(PurePosixPath(name).suffix)
            if kind is None or not label.search(name):
                continue
            rest = label.sub("", PurePosixPath(name).stem).strip("_-.")
            key = f"{kind[0]}_{rest}" if rest else kind[0]
            found[key] = pystac.Asset(f"../{name}", None, None, kind[1], kind[2])
        return found

    def _group(self, href: str) -> pystac.Asset:
        import pystac

        is_layered = any(variable.path.startswith(f"{BASE_GROUP}/") for variable in self.variables)
        options: dict[str, Any] = {"consolidated": not self.tag} | ({"group": BASE_GROUP} if is_layered else {})
        fields: dict[str, Any] = {
            "xarray:open_kwargs": options,
            "zarr:consolidated": not self.tag,
            "zarr:node_type": "group",
            "zarr:zarr_format": 3,
            **self._version,
        }
        if self.storage_options:
            fields["xarray:storage_options"] = dict(self.storage_options)
        return pystac.Asset(href, "Zarr store of all periods", None, self._type, ["data"], fields)

    @property
    def _type(self) -> str:
        return ICECHUNK_TYPE if self.tag else ZARR_TYPE

    @property
    def _version(self) -> dict[str, str]:
        return {"icechunk:tag": self.tag} if self.tag else {}

    def _href(self, up: str, path: str) -> str:
        """Return the address of the store, or of an array in it.

        Parameters
        ----------
        up : str
            Folder of the Collection, relative to the document.
        path : str
            Path within the store.
        """
        root = up if self.store == WITHIN else self.store.rstrip("/")
        return f"{root}/{path}" if path else root
