"""A small synthetic Sentinel-2 archive with STAC items, for trying the program offline.

Three granules in two UTM zones, three months, six dates a month; clouds, swath edges, and the flaws of a real
archive that a cube must get right (`scenes`).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.transform import Affine

from ardcube.errors import InputError
from ardcube.sample.items import BANDS, Band, collection, item
from ardcube.sample.land import Land, reflectance, survey
from ardcube.sample.scenes import (
    BBOX,
    CHUNK_SIZE,
    COLLECTION,
    END_DATE,
    RESOLUTION,
    START_DATE,
    Flaw,
    Granule,
    Scene,
    scenes,
)
from ardcube.sample.weather import Weather, classify, seen, sky

VERSION = 1
"""Raised whenever the pixels or the items of a seed change."""
_MARKER = "ardcube:sample"
_NOISE = (0.0006, 0.002)
"""Sensor noise: standard deviation in reflectance, and as a share of the signal."""
_STEP = 20
"""Digital numbers are multiples of this: files a third smaller, and no eye sees a reflectance of 0.002."""


@dataclass(frozen=True, slots=True)
class SampleArchive:
    """Where the sample archive stands, and a build that shows it off."""

    folder: Path
    """Folder of the archive, to be given as the catalogue."""
    items: int
    """STAC items."""
    scenes: int
    """Items that a cube uses: those that no newer processing replaces."""
    bytes: int
    """Size of all files."""
    bbox: tuple[float, float, float, float] = BBOX
    """Longitudes and latitudes, in degrees: west, south, east, north."""
    start_date: date = START_DATE
    end_date: date = END_DATE
    collection: str = COLLECTION
    resolution: float = RESOLUTION
    """Pixel size in degrees."""
    chunk_size: int = CHUNK_SIZE
    """Pixels."""


@dataclass(frozen=True, slots=True)
class _Ground:
    """A granule's pixels on Earth, and the land on them."""

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    land: Land


def write_archive(folder: Path, *, seed: int = 2023) -> SampleArchive:
    """Write the sample archive, or keep the one that stands there already.

    Parameters
    ----------
    folder : Path
        Folder to create. `collection.json` is written into it, and one folder per item.
    seed : int
        Chooses land, weather and noise; one seed gives the same pixels everywhere.

    Raises
    ------
    InputError
        If the folder holds anything else than this archive; nothing is touched then.
    """
    folder = folder.resolve()
    if folder.exists():
        if not folder.is_dir():
            raise InputError(f"{folder} is a file; name a folder for the sample archive")
        if any(folder.iterdir()):
            return _standing(folder, seed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and renamed, so that a folder that exists holds a whole archive.
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(draft, seed)
        draft.chmod(0o755)
        draft.replace(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return _archive(folder)


def _standing(folder: Path, seed: int) -> SampleArchive:
    """Accept the archive that stands in a folder, if it is the very one that would be written."""
    advice = "name another folder for the sample archive, or remove this one"
    try:
        marker = json.loads((folder / "collection.json").read_text())[_MARKER]
        version, made_of, files = marker["version"], marker["seed"], marker["files"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder} is not empty and holds no sample archive of ardcube; {advice}") from None
    if (version, made_of) != (VERSION, seed):
        raise InputError(
            f"{folder} holds a sample archive of version {version}, seed {made_of}, not of version {VERSION}, "
            f"seed {seed}; {advice}"
        )
    if _files(folder) != files:
        raise InputError(f"{folder} holds a sample archive that was changed since it was written; {advice}")
    return _archive(folder)


def _files(folder: Path) -> dict[str, int]:
    """Bytes of every item's files, by path within the archive."""
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.glob("*_L2A/*.*"))}


def _archive(folder: Path) -> SampleArchive:
    everything = scenes()
    return SampleArchive(
        folder=folder,
        items=len(everything),
        scenes=sum(scene.flaw is not Flaw.SUPERSEDED for scene in everything),
        bytes=sum(_files(folder).values()) + (folder / "collection.json").stat().st_size,
    )


def _write(folder: Path, seed: int) -> None:
    everything = scenes()
    granules = tuple(dict.fromkeys(scene.granule for scene in everything))
    # NumPy lets go of the interpreter for most of the work. A few threads only, for memory.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        surveys = pool.map(lambda granule: _survey(granule, seed), granules)
        ground = dict(zip(granules, surveys, strict=True))
        items = list(pool.map(lambda scene: _write_scene(folder, scene, ground[scene.granule], seed), everything))
    marker = {"version": VERSION, "seed": seed, "files": _files(folder)}
    _write_json(folder / "collection.json", collection(items, marker=marker))


def _survey(granule: Granule, seed: int) -> _Ground:
    rows, columns = granule.shape(10)
    x, y = np.meshgrid(granule.left + 10 * np.arange(columns) + 5, granule.top - 10 * np.arange(rows) - 5)
    lon, lat = Transformer.from_crs(granule.epsg, 4326, always_xy=True).transform(x, y)
    return _Ground(lon, lat, survey(lon, lat, seed=seed))


def _write_scene(folder: Path, scene: Scene, ground: _Ground, seed: int) -> dict[str, Any]:
    """Write a scene's files and its item, and give the item."""
    numbers, classes = _pixels(scene, ground, seed)
    home = folder / scene.id
    home.mkdir()
    for band, layer in zip(BANDS, (*numbers, classes), strict=True):
        _write_cog(home / f"{band.name}.tif", layer, scene.granule, band)
    counts = np.bincount(classes.ravel(), minlength=12) / classes.size
    document = item(
        scene,
        sizes={band.key: (home / f"{band.name}.tif").stat().st_size for band in BANDS},
        classes={code: float(share) for code, share in enumerate(counts)},
    )
    _write_json(home / f"{scene.id}.json", document)
    return document


def _pixels(scene: Scene, ground: _Ground, seed: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Digital numbers, uint16 (band, y, x), and scene classes on twice the pixel, uint8 (y, x)."""
    weather = Weather((seed, scene.day.toordinal()), scene.cloud, scene.haze)
    bare = reflectance(ground.land, scene.day.timetuple().tm_yday)
    above = sky(ground.lon, ground.lat, weather)
    value = seen(bare, above, weather)
    if scene.flaw is Flaw.SUPERSEDED:
        # An older atmospheric correction, told apart at a glance from the one that replaced it.
        value = value * np.float32(1.05) + np.float32(0.02)
    # Noise is the granule's own: two granules of one pass are alike, never equal.
    noise = np.random.default_rng([seed, zlib.crc32(scene.id.encode())])
    spread = np.float32(_NOISE[0]) + np.float32(_NOISE[1]) * value
    value += noise.standard_normal(value.shape, np.float32) * spread
    numbers = np.rint((value - np.float32(scene.true_offset)) * np.float32(10_000 / _STEP)) * _STEP
    start, slant = scene.edge
    east = ground.lon > start + slant * ground.lat
    outside = east if scene.orbit == 22 else ~east
    numbers = np.where(outside, 0, np.clip(numbers, 1, 65_535)).astype(np.uint16)
    # A pixel of 20 m takes the class of its north-western quarter.
    classes = np.where(outside, 0, classify(ground.land, bare, above)).astype(np.uint8)[::2, ::2]
    return numbers, classes


def _write_cog(path: Path, pixels: NDArray[Any], granule: Granule, band: Band) -> None:
    """Write a cloud-optimized GeoTIFF with overviews of 2 and 4, whose averages leave out nodata."""
    with rasterio.open(
        path,
        "w",
        driver="COG",
        width=pixels.shape[1],
        height=pixels.shape[0],
        count=1,
        dtype=pixels.dtype,
        crs=f"EPSG:{granule.epsg}",
        transform=Affine(*granule.transform(band.pixel)),
        nodata=0,
        blocksize=256,
        num_threads="ALL_CPUS",  # rasterio holds the interpreter while GDAL compresses
        compress="DEFLATE",
        level=6,
        predictor="NO" if band.wavelength is None else "STANDARD",
        overview_count=2,
        overview_resampling="NEAREST" if band.wavelength is None else "AVERAGE",
    ) as dataset:
        dataset.write(pixels, 1)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")
