"""Write the files of the sample archive.

It has three granules in two UTM zones and six dates in each of three months, with clouds, swath edges, and the flaws of
real archives that a cube must handle (`scenes`).
"""

from __future__ import annotations

import json
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
from ardcube.runtime.cpus import cpu_count
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
"""Version of the archive; increment it if the pixels or items of a seed change."""
_MARKER = "ardcube:sample"
_NOISE = (0.0006, 0.002)
"""Sensor noise: standard deviation in reflectance, and as a fraction of the signal."""
_STEP = 20
"""Step of digital numbers, 0.002 in reflectance: it makes files a third smaller and is not visible."""


@dataclass(frozen=True, slots=True)
class SampleArchive:
    """Location of the sample archive, and options of a build that uses it."""

    folder: Path
    """Folder of the archive; it is the local catalogue."""
    items: int
    """STAC items."""
    scenes: int
    """Items without those that a newer processing replaces."""
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
    """Longitude and latitude of a granule's pixels, and the land there."""

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    land: Land


def write_archive(folder: Path, *, seed: int = 2023) -> SampleArchive:
    """Write the sample archive, or return the existing one.

    Parameters
    ----------
    folder : Path
        Folder to create, with `collection.json` and one folder per item.
    seed : int
        Seed of land, weather and noise; the pixels of a seed are the same on every machine.

    Raises
    ------
    InputError
        If the folder has other content than this archive. The content remains unchanged.
    """
    folder = folder.resolve()
    if folder.exists():
        if not folder.is_dir():
            raise InputError(f"{folder}: is a file; give a folder for the sample archive")
        if any(folder.iterdir()):
            return _existing(folder, seed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Written to a temporary folder and renamed, so that an existing folder has a complete archive.
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(draft, seed)
        draft.chmod(0o755)
        draft.replace(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return _archive(folder)


def _existing(folder: Path, seed: int) -> SampleArchive:
    """Return the archive in a folder if it equals the one that would be written."""
    advice = "give another folder, or remove this one"
    try:
        marker = json.loads((folder / "collection.json").read_text())[_MARKER]
        version, made_of, files = marker["version"], marker["seed"], marker["files"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder}: is not empty and not a sample archive of ardcube; {advice}") from None
    if (version, made_of) != (VERSION, seed):
        raise InputError(
            f"{folder}: its sample archive has version {version} and seed {made_of}, not version {VERSION} and seed "
            f"{seed}; {advice}"
        )
    if _files(folder) != files:
        raise InputError(f"{folder}: its sample archive was changed after it was written; {advice}")
    return _archive(folder)


def _files(folder: Path) -> dict[str, int]:
    """Return the size of each item's files in bytes, by path within the archive."""
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
    # NumPy releases the interpreter lock for most of the work. More threads would need more memory.
    with ThreadPoolExecutor(min(4, cpu_count())) as pool:
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
    """Write the files and the item of a scene; return the item."""
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
    """Return digital numbers, uint16 (band, y, x), and classes of pixels of twice the size, uint8 (y, x)."""
    weather = Weather((seed, scene.day.toordinal()), scene.cloud, scene.haze)
    bare = reflectance(ground.land, scene.day.timetuple().tm_yday)
    above = sky(ground.lon, ground.lat, weather)
    value = seen(bare, above, weather)
    if scene.flaw is Flaw.SUPERSEDED:
        # An older atmospheric correction that is visibly different from the newer one.
        value = value * np.float32(1.05) + np.float32(0.02)
    # Noise differs between granules: two granules of one pass are similar, but not equal.
    noise = np.random.default_rng([seed, zlib.crc32(scene.id.encode())])
    spread = np.float32(_NOISE[0]) + np.float32(_NOISE[1]) * value
    value += noise.standard_normal(value.shape, np.float32) * spread
    numbers = np.rint((value - np.float32(scene.true_offset)) * np.float32(10_000 / _STEP)) * _STEP
    start, slant = scene.edge
    east = ground.lon > start + slant * ground.lat
    outside = east if scene.orbit == 22 else ~east
    numbers = np.where(outside, 0, np.clip(numbers, 1, 65_535)).astype(np.uint16)
    # A pixel of 20 m has the class of its north-western quarter.
    classes = np.where(outside, 0, classify(ground.land, bare, above)).astype(np.uint8)[::2, ::2]
    return numbers, classes


def _write_cog(path: Path, pixels: NDArray[Any], granule: Granule, band: Band) -> None:
    """Write a cloud-optimized GeoTIFF with overviews of 2 and 4; averages ignore nodata."""
    method = "NEAREST" if band.wavelength is None else "AVERAGE"
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
        num_threads=cpu_count(),  # rasterio holds the interpreter lock while GDAL compresses
        compress="DEFLATE",
        level=6,
        predictor="NO" if band.wavelength is None else "STANDARD",
        overview_count=2,
        overview_resampling=method,
    ) as dataset:
        dataset.update_tags(OVERVIEW_RESAMPLING=method)  # classes are read from overviews that state their method
        dataset.write(pixels, 1)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")
