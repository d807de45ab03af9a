"""The report page of a cube, as a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ardcube.api.existing import Uri, find_cube, text_of


def write_report(uri: Uri, output: Uri, *, storage_options: Mapping[str, Any] | None = None) -> Path:
    """Write a page about a cube: one HTML file that works without a server and without network.

    The page shows pictures by period, the map of chunks, clear days and cost over time, failures by cause, the request,
    and how to open the cube. Its size is bounded: large cubes are sampled.

    Parameters
    ----------
    uri : str or path
        Store of the cube.
    output : str or path
        File of the page, on this machine. An earlier report page is replaced; any other file is kept.
    storage_options : mapping, optional
        Options of the store's filesystem. The page shows them without credentials.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If there is no cube at the URI, if the folder of the file is missing, or if the file exists and is not a report
        page.
    StoreError
        If the store or its ledger is damaged.
    """
    from ardcube.report.html.write import check_output, write_page
    from ardcube.store.versions import for_checking

    path = Path(text_of(output))
    check_output(path)
    found = find_cube(uri, storage_options)
    place = for_checking(found.place, found.cube.storage_backend)
    write_page(place, storage_options or {}, found.ledger, found.cube, path)
    return path
