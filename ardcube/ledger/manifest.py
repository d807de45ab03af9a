"""The scenes of one period as a GeoParquet file beside the store, so that workers need no catalogue.

Imported, Arrow takes its memory from the C library, unless `ARROW_DEFAULT_MEMORY_POOL` says otherwise: its own heap
keeps 25 to 30 MB of every worker after the first manifest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from threading import Lock
from typing import Any, overload

import numpy as np
import orjson
import pyarrow as pa
import shapely
from pyarrow import parquet

from ardcube.catalog.malformed import MALFORMED, describe
from ardcube.catalog.scene import BandAsset, Scene
from ardcube.catalog.spatial_index import SceneIndex
from ardcube.errors import StoreError
from ardcube.extent.periods import Period
from ardcube.fingerprint import digest
from ardcube.storage.place import Options, Place

if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
    pa.set_memory_pool(pa.system_memory_pool())

_SCENES_KEPT = 20_000
"""Scenes of several periods that a process keeps, some 50 MB: batches go through all periods, tile by tile."""
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("datetime", pa.timestamp("us", tz="UTC")),
        ("acquisition", pa.string()),
        ("baseline", pa.list_(pa.int64())),
        ("revision", pa.string()),
        ("bands", pa.string()),
        ("geometry", pa.binary()),
    ]
)


def write_manifest(ledger: Place, period: Period, scenes: Sequence[Scene]) -> str:
    """Write the scenes of a period below ``items/`` and return the file's name, relative to the ledger.

    The name holds a hash of the content: a file never changes, so that chunks in flight keep the scenes
    that they were planned with.
    """
    content = digest([[scene.id, scene.revision, asset_hrefs(scene), _stated(scene)] for scene in scenes])
    name = f"items/{period.label}-{content}.parquet"
    if not ledger.exists(name):
        buffer = pa.BufferOutputStream()
        parquet.write_table(_to_table(scenes), buffer, compression="zstd")
        ledger.write(name, buffer.getvalue().to_pybytes())
    return name


def asset_hrefs(scene: Scene) -> list[str]:
    """Where the bands of a scene are read from."""
    return [asset.href for asset in scene.bands.values()]


def _stated(scene: Scene) -> str:
    """What the item says of its files, which are held to it."""
    return ";".join([f"{asset.height},{asset.width},{asset.crs},{asset.dtype}" for asset in scene.bands.values()])


def read_manifest(ledger_uri: str, name: str, options: Options | None = None) -> SceneIndex:
    """Read a period's scenes; kept for a while, since neighbouring chunks want the same file.

    Raises
    ------
    StoreError
        If it was removed, or damaged; the latter also later, when a scene of it is looked at.
    """
    known = ledger_uri, name, json.dumps(dict(options or {}), sort_keys=True)
    with _lock:
        index = _kept.pop(known, None)
    if index is None:
        index = _read(ledger_uri, name, options)
    with _lock:
        _kept[known] = index
        while len(_kept) > 1 and sum(len(kept.scenes) + 1 for kept in _kept.values()) > _SCENES_KEPT:
            del _kept[next(iter(_kept))]
    return index


_kept: dict[tuple[str, str, str], SceneIndex] = {}
"""Used last comes last. Not counted by periods: eight of a continent are much, and a tile has more of its own."""
_lock = Lock()


def _read(ledger_uri: str, name: str, options: Options | None) -> SceneIndex:
    content = Place.at(ledger_uri, options).read(name)
    if content is None:
        raise StoreError(
            f"the scenes that were planned, {ledger_uri}/{name}, are gone; run the build again, which searches them"
        )
    with _told(f"{ledger_uri}/{name}"):
        # Not through a Python file: arrow's threads hold it longer than the reading takes, and abort a process that
        # ends meanwhile (https://github.com/apache/arrow/issues/33975).
        table = parquet.ParquetFile(pa.BufferReader(content)).read().select(_SCHEMA.names).cast(_SCHEMA)
        scenes = StoredScenes(table, f"{ledger_uri}/{name}")
        if not np.isfinite(shapely.bounds(scenes.footprints)).all():
            raise ValueError("a scene without a footprint")
        return SceneIndex(scenes, scenes.footprints)


@contextmanager
def _told(file: str) -> Iterator[None]:
    """Say of which file it is that something is wrong."""
    try:
        yield
    except (*MALFORMED, pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{file} is damaged ({describe(error)}); remove it and run the build again, which writes it anew"
        ) from error


class StoredScenes(Sequence[Scene]):
    """Scenes of a manifest, each made when it is looked at: a continent has thousands, of which a chunk meets ten.

    Parameters
    ----------
    table : pyarrow.Table
        The manifest.
    file : str
        Its name, for a message.
    """

    def __init__(self, table: pa.Table, file: str) -> None:
        self._file = file
        self.footprints = shapely.from_wkb(table["geometry"].to_numpy())
        """object (scene,)"""
        self._table = table.select([name for name in _SCHEMA.names if name != "geometry"])

    def __len__(self) -> int:
        """How many there are."""
        return len(self.footprints)

    @overload
    def __getitem__(self, which: int) -> Scene: ...
    @overload
    def __getitem__(self, which: slice) -> list[Scene]: ...
    def __getitem__(self, which: int | slice) -> Scene | list[Scene]:
        """One scene, or some."""
        if isinstance(which, slice):
            return [self[index] for index in range(*which.indices(len(self)))]
        position = range(len(self))[which]
        with _told(self._file):
            (row,) = self._table.slice(position, 1).to_pylist()
            return Scene(
                id=row["id"],
                datetime=row["datetime"].replace(tzinfo=UTC),
                footprint=self.footprints[which],
                acquisition=row["acquisition"],
                baseline=tuple(row["baseline"]),
                revision=row["revision"],
                bands={band: BandAsset(**asset) for band, asset in orjson.loads(row["bands"]).items()},
            )


def _to_table(scenes: Sequence[Scene]) -> pa.Table:
    columns: dict[str, Any] = {name: [getattr(scene, name) for scene in scenes] for name in _SCHEMA.names[:-2]}
    columns["bands"] = [orjson.dumps(scene.bands).decode() for scene in scenes]
    columns["geometry"] = shapely.to_wkb(np.array([scene.footprint for scene in scenes], object))
    return pa.table(columns, _SCHEMA.with_metadata({"geo": json.dumps(_geo())}))


def _geo() -> dict[str, Any]:
    """What GeoParquet 1.0 asks of a file: which column is a geometry, and its CRS as PROJJSON."""
    from pyproj import CRS

    geometry = {"encoding": "WKB", "geometry_types": [], "crs": CRS("EPSG:4326").to_json_dict()}
    return {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
