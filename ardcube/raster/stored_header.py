"""Headers of files as fields of JSON, and back (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from affine import Affine

from ardcube.raster.cog import Cog
from ardcube.raster.geotiff import CogLevel
from ardcube.raster.header import DTYPES, Header, Level
from ardcube.raster.version import FileVersion


def to_fields(cog: Cog) -> dict[str, Any]:
    """Return the header, the positions of the blocks and the version of a file."""
    header, version = cog.header, cog.version
    return {
        "crs": header.crs,
        "dtype": header.dtype,
        "nodata": header.nodata,
        "samples": header.samples,
        "version": [version.size, version.e_tag, version.modified],
        "levels": [
            {
                "shape": level.shape,
                "transform": list(level.transform)[:6],
                "block": level.block,
                "resampling": level.resampling,
                "offsets": at.offsets.ravel().tolist(),
                "sizes": at.sizes.ravel().tolist(),
                "deflated": at.deflated,
                "predicted": at.predicted,
            }
            for level, at in zip(header.levels, cog.layout, strict=True)
        ],
    }


def from_fields(href: str, fields: Mapping[str, Any]) -> Cog:
    """Return the file at an address from the fields of its header.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the fields are damaged.
    """
    levels, layout = [], []
    for index, one in enumerate(fields["levels"]):
        height, width = map(int, one["shape"])
        rows, columns = map(int, one["block"])
        level = Level(index, height, width, Affine(*map(float, one["transform"])), (rows, columns), one["resampling"])
        offsets, sizes = (np.array(one[name], np.int64).reshape(level.block_grid) for name in ("offsets", "sizes"))
        if offsets.min() < 0 or sizes.min() < 0:
            raise ValueError("a block before the first byte")
        levels.append(level)
        layout.append(CogLevel(offsets, sizes, bool(one["deflated"]), bool(one["predicted"])))
    nodata, dtype = fields["nodata"], str(fields["dtype"])
    if dtype not in DTYPES or not levels:
        raise ValueError(f"data type {dtype:.20} or no level")
    size, e_tag, modified = fields["version"]
    declared, samples = None if nodata is None else int(nodata), int(fields["samples"])
    header = Header(str(fields["crs"]), dtype, declared, tuple(levels), samples=samples)
    return Cog(href, header, tuple(layout), version=FileVersion(int(size), str(e_tag), str(modified)))
