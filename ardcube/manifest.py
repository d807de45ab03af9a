"""The scenes of one period as a GeoParquet file beside the store, so that workers need no catalogue."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache

import geopandas

from ardcube.periods import Period
from ardcube.scene_index import SceneIndex
from ardcube.scenes import BandAsset, Scene, digest
from ardcube.storage import Options, Place

_COLUMNS = ("id", "datetime", "acquisition", "baseline", "revision", "bands")


def write_manifest(ledger: Place, period: Period, scenes: Sequence[Scene]) -> str:
    """Write the scenes of a period below ``items/`` and return the file's name, relative to the ledger.

    The name holds a hash of the content: a file never changes, so that chunks in flight keep the scenes
    that they were planned with.
    """
    content = digest([[scene.id, scene.revision, asset_hrefs(scene)] for scene in scenes])
    name = f"items/{period.label}-{content}.parquet"
    if not ledger.exists(name):
        buffer = io.BytesIO()
        _to_frame(scenes).to_parquet(buffer, index=False)
        ledger.write(name, buffer.getvalue())
    return name


def asset_hrefs(scene: Scene) -> list[str]:
    """Where the bands of a scene are read from."""
    return [asset.href for asset in scene.bands.values()]


def read_manifest(ledger_uri: str, name: str, options: Options | None = None) -> SceneIndex:
    """Read a period's scenes; kept for a while, since neighbouring chunks want the same file.

    Raises
    ------
    FileNotFoundError
        If it was removed while chunks were in flight.
    """
    return _read(ledger_uri, name, json.dumps(dict(options or {}), sort_keys=True))


@lru_cache(maxsize=8)
def _read(ledger_uri: str, name: str, options: str) -> SceneIndex:
    content = Place.at(ledger_uri, json.loads(options)).read(name)
    if content is None:
        raise FileNotFoundError(f"{ledger_uri}/{name}")
    frame = geopandas.read_parquet(io.BytesIO(content))
    scenes = [
        Scene(
            id=row.id,
            datetime=row.datetime.to_pydatetime(),
            footprint=row.geometry,
            acquisition=row.acquisition,
            baseline=tuple(int(part) for part in row.baseline),
            revision=row.revision,
            bands={band: BandAsset(**asset) for band, asset in json.loads(row.bands).items()},
        )
        for row in frame.itertuples()
    ]
    return SceneIndex(scenes)


def _to_frame(scenes: Sequence[Scene]) -> geopandas.GeoDataFrame:
    columns: dict[str, list[object]] = {name: [getattr(scene, name) for scene in scenes] for name in _COLUMNS}
    columns["baseline"] = [list(scene.baseline) for scene in scenes]
    columns["bands"] = [json.dumps({band: asdict(asset) for band, asset in scene.bands.items()}) for scene in scenes]
    return geopandas.GeoDataFrame(columns, geometry=[scene.footprint for scene in scenes], crs="EPSG:4326")
