"""The one place where a `CubeSpec` is made."""

from __future__ import annotations

from ardcube.config import AssetAccess, RunConfig
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.stored_cube import StoredCube
from ardcube.pixels.composites.registry import composites_of
from ardcube.pixels.gaps import LAYERS
from ardcube.pixels.masks import CloudMaskHook
from ardcube.pixels.quality.registry import quality_of
from ardcube.planning.plan import CubeSpec
from ardcube.runtime.threads import Threads
from ardcube.storage.place import Place


def cube_spec(
    cube: StoredCube, run: RunConfig, mask: CloudMaskHook, place: Place, ledger: Ledger, access: AssetAccess
) -> CubeSpec:
    """Return what every chunk of a cube has in common.

    Parameters
    ----------
    cube : StoredCube
        Identity of the cube: configuration, grid, periods, encoding.
    run : RunConfig
        Where and how the chunks are built.
    mask : CloudMaskHook
        Cloud mask of the cube.
    place : Place
        Location of the store.
    ledger : Ledger
        Ledger of the store.
    access : AssetAccess
        How the files of scenes are read.
    """
    config = cube.config
    composites = composites_of(config.composites, config.varname, config.bands)
    return CubeSpec(
        fingerprint=cube.fingerprint,
        grid=cube.grid,
        periods=len(cube.periods),
        bands=config.bands,
        varname=config.varname,
        composites=composites,
        quality=quality_of(config.quality, composites, config.varname, mask, cube.identity.get("sensors", ())),
        resampling=config.resampling,
        encoding=cube.encoding,
        mask=mask,
        store_uri=place.uri,
        ledger_uri=ledger.place.uri,
        storage_options=dict(run.storage_options),
        asset_access=access,
        reader=run.reader,
        patience=run.patience_seconds,
        skip_bad_scenes=run.skip_bad_scenes,
        allow_loss=run.allow_loss,
        enough=config.enough,
        layout=cube.config.layout,
        storage_backend=cube.storage_backend,
        threads=Threads(run.requests, run.decode_threads or 0),
        filling=() if cube.filling is None else LAYERS,
        clip=cube.identity.get("clip", ""),
    )
