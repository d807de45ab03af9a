"""The sample archive behind servers: its files over HTTP, its items as catalogues of every kind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.earth_search import read_catalogue
from tests.servers.range_server import RangeServer

EACH_READ_IS_A_REQUEST = {"CPL_VSIL_CURL_NON_CACHED": "/vsicurl/"}
"""Environment of a build whose every read comes to the server; else GDAL answers many from its memory."""
QUICK_RETRIES = {"GDAL_HTTP_MAX_RETRY": "1", "GDAL_HTTP_RETRY_DELAY": "0.01"}
"""Environment of a build that does not wait for a server that a test keeps broken."""


@dataclass(frozen=True, slots=True)
class Remote:
    """An archive whose files a server sends."""

    files: RangeServer
    collection: dict[str, Any]
    items: list[dict[str, Any]]

    @classmethod
    def of(cls, archive: Path, files: RangeServer) -> Remote:
        """Items of an archive with hrefs of the server that serves it, and without links to the archive's files."""
        collection, items = read_catalogue(archive, files.url)
        return cls(files, {**collection, "links": []}, [{**item, "links": []} for item in items])

    def write(self, folder: Path) -> Path:
        """Write it as a folder that holds `collection.json` and all items in `items.json`."""
        folder.mkdir()
        (folder / "collection.json").write_text(json.dumps(self.collection))
        (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": self.items}))
        return folder

    def asked(self, scene: str) -> int:
        """How many requests for files of a scene came in since the last `reset` of the server."""
        return sum(request.path.startswith(f"{scene}/") for request in self.files.requests)
