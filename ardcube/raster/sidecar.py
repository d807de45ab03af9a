"""Find the mask files next to rasters, such as `red.tif.msk`."""

from __future__ import annotations

import os

from ardcube.catalog.hrefs import local_file


def has_mask_file(href: str) -> bool:
    """Return whether a mask file is next to a local raster.

    Remote files are not asked for theirs, because each would cost a request, and nearly none has one.
    """
    path = local_file(href)
    return path is not None and os.path.isfile(f"{path}.msk")  # noqa: PTH113  (Path.is_file raises for long names)
