"""Find the mask file next to a raster, such as `red.tif.msk`, which GDAL writes for files without an internal mask."""

from __future__ import annotations

import os

from ardcube.catalog.hrefs import local_file
from ardcube.config import FileAccess
from ardcube.raster.header import Header
from ardcube.raster.object_store import read_if_present

_SUFFIX = ".msk"
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF, because a server may answer every request with a web page."""


def find_mask_file(href: str, header: Header, access: FileAccess) -> str:
    """Return the address of the mask file of a raster, or an empty text if it has none.

    A remote file is asked for its mask file only if it declares no nodata and contains no mask: the request
    would be wasted on nearly all files that do.

    Raises
    ------
    TransientError
        If a server does not answer whether it has a mask file.
    """
    path = local_file(href)
    if path is not None:
        return f"{path}{_SUFFIX}" if os.path.isfile(f"{path}{_SUFFIX}") else ""  # noqa: PTH113  (Path raises for long names)
    if header.masked or header.nodata is not None:
        return ""
    address, mark, query = href.partition("?")
    mask = f"{address}{_SUFFIX}{mark}{query}"
    return mask if read_if_present(mask, len(_SIGNATURES[0]), access).startswith(_SIGNATURES) else ""
