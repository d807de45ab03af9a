"""Manifests: the scenes of one period as a GeoParquet file in the ledger, so that workers need no catalogue."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
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
from ardcube.ledger.columns import column, time_of
from ardcube.storage.place import Options, Place

_SCENES_KEPT = 20_000
"""Scenes in memory, some 50 MB; of several periods, because batches go through all periods, tile by tile."""
_ROWS = 20_000
"""Scenes of a row group: a column of text has at most 2 GB."""
_WRITTEN = re.compile(r"items/\d{1,4}-\d{2}(-\d{2})?-[0-9a-f]{16}\.parquet", re.ASCII)
"""Names that `write_manifest` gives; other files in the folder are not touched."""
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("datetime", pa.timestamp("us", tz="UTC")),
        ("solar_hours", pa.int64()),
        ("acquisition", pa.string()),
        ("baseline", pa.list_(pa.int64())),
        ("generated", pa.string()),
        ("revision", pa.string()),
        ("sensor", pa.string()),
        ("cloud_cover", pa.float64()),
        ("problem", pa.string()),
        ("granule", pa.string()),
        ("bands", pa.string()),
        ("geometry", pa.binary()),
    ]
)


def write_manifest(ledger: Place, period: Period, scenes: Sequence[Scene]) -> str:
    """Write the scenes of a period below ``items/`` and return the name of the file, relative to the ledger.

    The name holds a hash of the content. A file never changes, so that chunks in flight keep the scenes that
    they were planned with.
    """
    # With the bounds, because the longitudes of a footprint are those of the cube.
    fields: list[Any] = [[s.id, s.revision, s.footprint.bounds, _hrefs(s), _raster_fields(s)] for s in scenes]
    if len({scene.sensor for scene in scenes}) > 1:  # otherwise names are those of earlier versions
        fields.append([scene.sensor for scene in scenes])
    content = digest(fields)
    name = f"items/{period.label}-{content}.parquet"
    if not ledger.exists(name):
        buffer, schema = pa.BufferOutputStream(), _SCHEMA.with_metadata({"geo": json.dumps(_geo())})
        with parquet.ParquetWriter(buffer, schema, compression="zstd") as writer:
            for start in range(0, len(scenes), _ROWS):
                writer.write_table(_to_table(scenes[start : start + _ROWS], schema))
        ledger.write(name, buffer.getvalue().to_pybytes())
    return name


def remove_unplanned(ledger: Place, planned: Collection[str]) -> None:
    """Remove the manifests that the recorded plan does not name, so that a cube keeps one of each period.

    The run must hold the lease: no other run may have planned chunks with them.

    Parameters
    ----------
    ledger : Place
        Folder of the ledger.
    planned : collection of str
        Names of the manifests to keep.
    """
    names = (name for name in ledger.list("items") if _WRITTEN.fullmatch(name))
    ledger.remove([name for name in names if name not in planned])


def _hrefs(scene: Scene) -> list[str]:
    """Return the addresses of the bands of a scene."""
    return [asset.href for asset in scene.bands.values()]


def _raster_fields(scene: Scene) -> str:
    """Return shape, CRS and type that the item states of its files, and the method of their overviews.

    The tests of classes are part of the revision.
    """
    fields = [(asset.height, asset.width, asset.crs, asset.dtype, asset.overviews) for asset in scene.bands.values()]
    return ";".join([",".join(map(str, values)) for values in fields])


def read_manifest(ledger_uri: str, name: str, options: Options | None = None, patience: float = 0.0) -> SceneIndex:
    """Read the scenes of a period, and keep them in memory, because neighbouring chunks need the same file.

    Raises
    ------
    StoreError
        If the file is missing or damaged. Damage to one scene is found later, when the scene is read.
    """
    key = ledger_uri, name, json.dumps(dict(options or {}), sort_keys=True)
    with _lock:
        index = _kept.pop(key, None)
    if index is None:
        index = _read(Place.at(ledger_uri, options).waiting(patience), name)
    with _lock:
        _kept[key] = index
        while len(_kept) > 1 and sum(len(kept.scenes) + 1 for kept in _kept.values()) > _SCENES_KEPT:
            del _kept[next(iter(_kept))]
    return index


_kept: dict[tuple[str, str, str], SceneIndex] = {}
"""Manifests in memory, the one used last at the end."""
_lock = Lock()


def _read(ledger: Place, name: str) -> SceneIndex:
    content = ledger.read(name)
    if content is None:
        raise StoreError(
            f"{ledger.uri}/{name}: the planned scenes are missing; run the build again, which searches the catalogue"
        )
    with _damage_as_store_error(f"{ledger.uri}/{name}"):
        # Arrow's own buffer, because threads that hold a Python file abort a process that exits meanwhile
        # (https://github.com/apache/arrow/issues/33975).
        table = parquet.ParquetFile(pa.BufferReader(content)).read()
        if "sensor" not in table.column_names:  # earlier versions had scenes of one sensor
            table = table.append_column("sensor", column([""] * len(table), pa.string()))
        if "cloud_cover" not in table.column_names:  # earlier versions had no use for it
            table = table.append_column("cloud_cover", pa.nulls(len(table), pa.float64()))
        if "granule" not in table.column_names:
            table = table.append_column("granule", column([""] * len(table), pa.string()))
        table = table.select(_SCHEMA.names).cast(_SCHEMA)
        scenes = StoredScenes(table, f"{ledger.uri}/{name}")
        if not np.isfinite(shapely.bounds(scenes.footprints)).all():
            raise ValueError("a scene without a footprint")
        return SceneIndex(scenes, scenes.footprints)


@contextmanager
def _damage_as_store_error(file: str) -> Iterator[None]:
    """Raise the errors of a damaged manifest as StoreError that names the file."""
    try:
        yield
    except (*MALFORMED, pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{file} is damaged ({describe(error)}); remove it and run the build again, which writes a new one"
        ) from error


class StoredScenes(Sequence[Scene]):
    """Scenes of a manifest, each parsed when it is used: a continent has thousands, a chunk needs about ten.

    Parameters
    ----------
    table : pyarrow.Table
        Manifest.
    file : str
        Name of the file, for messages.
    """

    def __init__(self, table: pa.Table, file: str) -> None:
        self._file = file
        self.footprints = shapely.from_wkb(np.array(table["geometry"].to_pylist(), object))
        """object (scene,)"""
        self._table = table.drop_columns(["geometry", "datetime"])
        self._times = table.select(["datetime"]).cast(pa.schema([("datetime", pa.int64())]))["datetime"]

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self.footprints)

    @overload
    def __getitem__(self, which: int) -> Scene: ...
    @overload
    def __getitem__(self, which: slice) -> list[Scene]: ...
    def __getitem__(self, which: int | slice) -> Scene | list[Scene]:
        """Return one scene, or the scenes of a slice."""
        if isinstance(which, slice):
            return [self[index] for index in range(*which.indices(len(self)))]
        position = range(len(self))[which]
        with _damage_as_store_error(self._file):
            (row,) = self._table.slice(position, 1).to_pylist()
            return Scene(
                id=row["id"],
                datetime=time_of(self._times[position].as_py()),
                footprint=self.footprints[which],
                solar_hours=row["solar_hours"],
                acquisition=row["acquisition"],
                baseline=tuple(row["baseline"]),
                generated=row["generated"],
                revision=row["revision"],
                sensor=row["sensor"],
                cloud_cover=row["cloud_cover"],
                problem=row["problem"],
                granule=row["granule"],
                bands={band: BandAsset(**asset) for band, asset in orjson.loads(row["bands"]).items()},
            )


def _to_table(scenes: Sequence[Scene], schema: pa.Schema) -> pa.Table:
    columns: dict[str, Sequence[Any]] = {name: [getattr(scene, name) for scene in scenes] for name in schema.names[:-2]}
    columns["bands"] = [orjson.dumps(scene.bands) for scene in scenes]
    columns["geometry"] = shapely.to_wkb(np.array([scene.footprint for scene in scenes], object)).tolist()
    return pa.Table.from_arrays([column(columns[field.name], field.type) for field in schema], schema=schema)


def _geo() -> dict[str, Any]:
    """Return the metadata that GeoParquet 1.0 requires: the column of geometries, and its CRS as PROJJSON."""
    from pyproj import CRS

    geometry = {"encoding": "WKB", "geometry_types": [], "crs": CRS("EPSG:4326").to_json_dict()}
    return {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
