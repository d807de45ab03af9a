"""Write the benchmark archive: synthetic granules with matching STAC items.

The archive has twelve dates of one month, clouds from 5 to 95 %, two UTM zones that overlap, and swaths that end within
the cube. The full archive has rasters of 10,980 x 10,980 pixels in blocks of 1024. Only blocks that the cube or its
neighbourhood can touch hold data; the others are absent, as at the border of a real swath. The layout on disk equals
that of a full granule, in a fifth of the space.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.transform import Affine
from shapely.geometry import Polygon, box, mapping

from ardcube.runtime.cpus import cpu_count
from benchmarks.products import HLS, LANDSAT, MASK, SENTINEL_2, Product
from benchmarks.scenery import Edge, strips

VERSION = 1
"""Version of the pixels and items; increased when a layout changes."""
SEED = 20230601
RESOLUTION = 1 / 3600
BANDS = SENTINEL_2.files
"""File name by asset key, of Sentinel-2."""
_WEST, _NORTH = 11.75, 45.05
"""North-western corner of each cube, in degrees; a whole multiple of the resolution."""
_SLANT = 0.25
"""Degrees of longitude per degree of latitude along a swath's edge."""


@dataclass(frozen=True, slots=True)
class Granule:
    """The raster grid of one MGRS tile, and its part that holds data."""

    tile: str
    epsg: int
    left: int
    """West edge, in m."""
    top: int
    """North edge, in m."""
    size: int
    """Rows and columns of reflectance."""
    data: tuple[int, int, int, int]
    """Rows and columns (y0, y1, x0, x1) of reflectance that can hold data, multiples of 2."""

    def transform(self, pixel: int) -> Affine:
        """Return the transform of a raster with pixels of `pixel` metres."""
        return Affine(pixel, 0, self.left, 0, -pixel, self.top)


@dataclass(frozen=True, slots=True)
class Layout:
    """The size of an archive."""

    name: str
    chunk: int
    """Rows and columns of a chunk, in output pixels."""
    chunks_across: int
    """Chunks from west to east."""
    block: int
    """Rows and columns of a block in a file."""
    granules: tuple[Granule, Granule]
    dates: int
    product: Product = SENTINEL_2

    @property
    def bbox(self) -> tuple[float, float, float, float]:
        """West, south, east, north of the cube, in degrees."""
        side = self.chunk * RESOLUTION
        return _WEST, _NORTH - side, _WEST + self.chunks_across * side, _NORTH


# The data window of the full archive has three by three blocks of the 20 m overview: 61 km by 61 km.
FULL = Layout(
    "full", 1200, 2, 1024,
    (
        Granule("33TTL", 32633, 199_980, 5_000_040, 10_980, (0, 6144, 4096, 10_240)),
        Granule("32TQQ", 32632, 699_960, 5_000_040, 10_980, (0, 6144, 0, 6144)),
    ),
    12,
)  # fmt: skip
CROP = Layout(
    "crop", 300, 1, 256,
    (
        Granule("33TTL", 32633, 241_000, 4_996_000, 1500, (0, 1500, 0, 1500)),
        Granule("32TQQ", 32632, 714_000, 4_995_000, 1500, (0, 1500, 0, 1500)),
    ),
    12,
)  # fmt: skip
TINY = Layout(
    "tiny", 60, 1, 128,
    (
        Granule("33TTL", 32633, 243_000, 4_994_640, 400, (0, 400, 0, 400)),
        Granule("32TQQ", 32632, 715_500, 4_993_200, 400, (0, 400, 0, 400)),
    ),
    3,
)  # fmt: skip
# Chunks on the grid of the first granule. Tiles of HLS have the corners of MGRS tiles, and Landsat counts from the
# centres of pixels.
HLS_TILES = Layout(
    "hls", 1200, 1, 256,
    (
        Granule("33TTL", 32633, 199_980, 5_000_040, 3660, (0, 2048, 1024, 3072)),
        Granule("32TQQ", 32632, 699_960, 5_000_040, 3660, (0, 2048, 0, 2048)),
    ),
    12,
    HLS,
)  # fmt: skip
LANDSAT_SCENES = Layout(
    "landsat", 1200, 1, 256,
    (
        Granule("33TTL", 32633, 199_995, 5_000_025, 7600, (0, 2048, 1024, 3072)),
        Granule("32TQQ", 32632, 699_975, 5_000_025, 7600, (0, 2048, 0, 2048)),
    ),
    12,
    LANDSAT,
)  # fmt: skip
LAYOUTS = {layout.name: layout for layout in (FULL, CROP, TINY, HLS_TILES, LANDSAT_SCENES)}


@dataclass(frozen=True, slots=True)
class Scene:
    """One granule on one date."""

    granule: Granule
    day: date
    number: int
    """Number of the date, from 0; seed of the weather."""
    cover: float
    """Share of clouds, 0 to 1."""
    product: Product
    edge: tuple[float, bool] | None
    """End of the swath on the middle parallel of the cube (0: west, 1: east), and whether the swath is west of it."""

    @property
    def id(self) -> str:
        """The item id in the form of its collection."""
        return self.product.item_id(self.granule.tile, self.day)


_DAYS = (1, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 29)
_COVERS = (0.12, 0.62, 0.05, 0.85, 0.28, 0.95, 0.40, 0.08, 0.75, 0.20, 0.90, 0.55)
_EDGES = {3: (0.7, True), 6: (0.2, False), 9: (0.45, True)}
_SECOND_GRANULE = {4: (0.5, True), 9: (0.3, False)}
"""Number of a date on which the granule of the other zone exists too -> its edge."""


def scenes(layout: Layout) -> tuple[Scene, ...]:
    """Return all scenes of a layout in order of time."""
    found = []
    for number in range(layout.dates):
        day, cover = date(2023, 6, _DAYS[number]), _COVERS[number]
        found.append(Scene(layout.granules[0], day, number, cover, layout.product, _EDGES.get(number)))
        if number in _SECOND_GRANULE or layout.dates - 1 == number < 4:
            edge = _SECOND_GRANULE.get(number)
            found.append(Scene(layout.granules[1], day, number, cover, layout.product, edge))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive on disk."""

    folder: Path
    layout: Layout
    bytes: int
    """Size of all rasters, in bytes."""

    def documents(self, base: str, dates: int | None = None) -> list[dict[str, Any]]:
        """Return the STAC items with absolute hrefs below `base`; the collection is last.

        Parameters
        ----------
        base : str
            URL or folder of the archive.
        dates : int, optional
            More dates than the archive has. Each set of files is then used again every five days from January on. Its
            URLs are `base/again/<n>/...`, so that no cache contains them; the server maps them to the same files.
        """
        collection = json.loads((self.folder / "collection.json").read_text())
        items = [json.loads(path.read_text()) for path in sorted(self.folder.glob("*/*.json"))]
        if dates is None or dates == self.layout.dates:
            placed = [_placed(item, base) for item in items]
        else:
            by_number: dict[int, list[dict[str, Any]]] = {}
            for item in items:
                by_number.setdefault(item["properties"]["ardcube:date_number"], []).append(item)
            placed = [
                _again(item, base, turn // self.layout.dates, date(2023, 1, 3) + timedelta(days=5 * turn))
                for turn in range(dates)
                for item in by_number[turn % self.layout.dates]
            ]
        return [*placed, collection]


def _placed(item: dict[str, Any], base: str) -> dict[str, Any]:
    assets = {
        key: asset | {"href": f"{base}/{item['id']}/{asset['href'].removeprefix('./')}"}
        for key, asset in item["assets"].items()
    }
    cover = {"eo:cloud_cover": 100 * item["properties"]["ardcube:cloud_share"]}
    return item | {"assets": assets, "links": [], "properties": item["properties"] | cover}


def _again(item: dict[str, Any], base: str, repetition: int, day: date) -> dict[str, Any]:
    placed = _placed(item, f"{base}/again/{repetition}")
    name = item["id"].replace(item["properties"]["datetime"][:10].replace("-", ""), f"{day:%Y%m%d}")
    moment = f"{day:%Y-%m-%d}" + item["properties"]["datetime"][10:]
    take = {"s2:datatake_id": f"GS2A_{day:%Y%m%d}T100539_041000_N05.09"}
    return placed | {"id": name, "properties": placed["properties"] | {"datetime": moment} | take}


def ensure_archive(folder: Path, layout: Layout, workers: int | None = None) -> Archive:
    """Write an archive, or keep an equal one that exists.

    Parameters
    ----------
    folder : Path
        Folder of the archive. An incomplete archive, or one of another version, is replaced.
    layout : Layout
        Size of the archive.
    workers : int, optional
        Number of writing processes; default: the number of CPUs.
    """
    existing = _existing(folder, layout)
    if existing is not None:
        return existing
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        everything = scenes(layout)
        workers = workers or cpu_count()
        if workers == 1:
            items = [_write_scene(draft, layout, scene) for scene in everything]
        else:
            with ProcessPoolExecutor(workers) as pool:
                count = len(everything)
                items = list(pool.map(_write_scene, [draft] * count, [layout] * count, everything))
        marker = {"version": VERSION, "seed": SEED, "layout": layout.name, "files": _files(draft)}
        _write_json(draft / "collection.json", _collection(layout.product, items, marker))
        draft.chmod(0o755)  # a server of another user reads it
        shutil.rmtree(folder, ignore_errors=True)
        draft.replace(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return Archive(folder, layout, sum(_files(folder).values()))


def _existing(folder: Path, layout: Layout) -> Archive | None:
    try:
        marker = json.loads((folder / "collection.json").read_text())["ardcube:benchmark"]
    except (OSError, ValueError, KeyError):
        return None
    files = _files(folder)
    wanted = {"version": VERSION, "seed": SEED, "layout": layout.name, "files": files}
    return Archive(folder, layout, sum(files.values())) if marker == wanted else None


def _files(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.glob("*/*.tif"))}


def _write_scene(folder: Path, layout: Layout, scene: Scene) -> dict[str, Any]:
    granule, product = scene.granule, layout.product
    home = folder / scene.id
    home.mkdir()
    y0, y1, x0, x1 = granule.data
    numbers = np.zeros((4, y1 - y0, x1 - x0), product.dtype)
    coarser = product.mask_pixel // product.pixel
    classes = np.full([granule.size // coarser] * 2, product.mask_nodata, product.mask_dtype)
    edge = _edge(layout, scene)
    seed = (SEED, granule.epsg, scene.number)
    for strip in strips(numbers.shape[1:], seed=seed, land_seed=granule.epsg, cover=scene.cover, edge=edge):
        numbers[:, strip.row : strip.row + strip.numbers.shape[1]] = product.numbers(strip.numbers)
        first, coded = (y0 + strip.row) // coarser, product.categories(strip.classes)
        classes[first : first + coded.shape[0], x0 // coarser : x1 // coarser] = coded
    raster = np.full((granule.size, granule.size), product.nodata, product.dtype)
    for band, layer in zip(product.bands, numbers, strict=True):
        raster[y0:y1, x0:x1] = layer
        _write_cog(home / f"{product.files[product.assets[band]]}.tif", raster, granule, layout)
    _write_cog(home / f"{product.files[product.assets[MASK]]}.tif", classes, granule, layout, categorical=True)
    document = _item(layout, scene, home, _footprint(granule, product.pixel, edge))
    _write_json(home / f"{scene.id}.json", document)
    return document


def _edge(layout: Layout, scene: Scene) -> Edge | None:
    """Return the edge of the swath in pixels of the data window.

    The edge is a straight line through two points in degrees.
    """
    if scene.edge is None:
        return None
    share, sees_west = scene.edge
    west, south, east, north = layout.bbox
    lats = np.array([south, north])
    lons = west + share * (east - west) + _SLANT * (lats - (south + north) / 2)
    x, y = Transformer.from_crs(4326, scene.granule.epsg, always_xy=True).transform(lons, lats)
    pixel = layout.product.pixel
    columns = (x - scene.granule.left) / pixel - scene.granule.data[2]
    rows = (scene.granule.top - y) / pixel - scene.granule.data[0]
    slope = (columns[1] - columns[0]) / (rows[1] - rows[0])
    return Edge(float(columns[0] - slope * rows[0]), float(slope), sees_west)


def _footprint(granule: Granule, pixel: int, edge: Edge | None) -> Polygon:
    """Return the outline of the valid pixels in degrees, with segments of 200 pixels."""
    y0, y1, x0, x1 = granule.data
    outline = box(0, 0, x1 - x0, y1 - y0)
    if edge is not None:
        far = -1e5 if edge.sees_west else 1e5
        ends = [(edge.start + edge.slope * row, row) for row in (-1e4, 1e5)]
        outline = outline.intersection(Polygon([*ends, (ends[1][0] + far, 1e5), (ends[0][0] + far, -1e4)]))
    outline = outline.segmentize(200)
    back = Transformer.from_crs(granule.epsg, 4326, always_xy=True)

    def degrees(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        x = granule.left + pixel * (x0 + pixels[:, 0])
        y = granule.top - pixel * (y0 + pixels[:, 1])
        return np.round(np.column_stack(back.transform(x, y)), 6)

    return shapely.transform(outline, degrees)


def _write_cog(
    path: Path, pixels: NDArray[Any], granule: Granule, layout: Layout, *, categorical: bool = False
) -> None:
    product = layout.product
    pixel, nodata = (product.mask_pixel, product.mask_nodata) if categorical else (product.pixel, product.nodata)
    with rasterio.open(
        path, "w", driver="COG", width=pixels.shape[1], height=pixels.shape[0], count=1, dtype=pixels.dtype,
        crs=f"EPSG:{granule.epsg}", transform=granule.transform(pixel), nodata=nodata, blocksize=layout.block,
        compress="DEFLATE", level=6, predictor="NO" if categorical else "STANDARD", sparse_ok="YES",
        overview_count=4, overview_resampling="NEAREST" if categorical else "AVERAGE",
    ) as dataset:  # fmt: skip
        dataset.write(pixels, 1)


def _item(layout: Layout, scene: Scene, home: Path, footprint: Polygon) -> dict[str, Any]:
    granule, product = scene.granule, layout.product
    moment = datetime(scene.day.year, scene.day.month, scene.day.day, 10, 17, 53, tzinfo=UTC)
    assets = {}
    for key, name in product.files.items():
        pixel = product.mask_pixel if key == product.assets[MASK] else product.pixel
        shape = [granule.size * product.pixel // pixel] * 2
        assets[key] = {
            "href": f"./{name}.tif",
            **product.asset(key),
            "proj:shape": shape,
            "proj:transform": list(granule.transform(pixel))[:6],
            "file:size": (home / f"{name}.tif").stat().st_size,
        }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
            "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
        ],
        "id": scene.id,
        "collection": product.collection,
        "geometry": mapping(footprint),
        "bbox": list(footprint.bounds),
        "properties": {
            "datetime": f"{moment:%Y-%m-%dT%H:%M:%S}Z",
            "platform": product.platform,
            "proj:epsg": granule.epsg,
            "proj:code": f"EPSG:{granule.epsg}",
            **product.properties(granule.tile, scene.day),
            "ardcube:date_number": scene.number,
            "ardcube:cloud_share": scene.cover,
        },
        "links": [],
        "assets": assets,
    }


def _collection(product: Product, items: Sequence[dict[str, Any]], marker: dict[str, Any]) -> dict[str, Any]:
    bounds = np.array([item["bbox"] for item in items])
    extent = [*bounds.min(axis=0)[:2].tolist(), *bounds.max(axis=0)[2:].tolist()]
    times = sorted(item["properties"]["datetime"] for item in items)
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": product.collection,
        "description": "Synthetic scenes for benchmarks of ardcube. Land, weather and pixels are invented.",
        "license": "CC0-1.0",
        "extent": {"spatial": {"bbox": [extent]}, "temporal": {"interval": [[times[0], times[-1]]]}},
        "item_assets": {key: product.asset(key) for key in product.files},
        "ardcube:benchmark": marker,
        "links": [],
    }


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")


def write_grid(path: Path, layout: Layout) -> str:
    """Write a raster without data that has the grid of one chunk, in the middle of the first granule's data."""
    granule, pixel = layout.granules[0], layout.product.pixel
    y0, y1, x0, x1 = granule.data
    row, column = ((low + high - layout.chunk) // 2 for low, high in ((y0, y1), (x0, x1)))
    with rasterio.open(
        path, "w", driver="GTiff", width=layout.chunk, height=layout.chunk, count=1, dtype="uint8", sparse_ok=True,
        crs=f"EPSG:{granule.epsg}", transform=granule.transform(pixel) @ Affine.translation(column, row),
    ):  # fmt: skip
        pass
    return str(path)


def ratios(archive: Archive) -> Iterator[tuple[str, float]]:
    """Yield the compression ratio of one band of each scene.

    The ratio is bytes of pixels in blocks with data, per byte of the file.
    """
    product = archive.layout.product
    for scene in scenes(archive.layout):
        y0, y1, x0, x1 = scene.granule.data
        pixels = (y1 - y0) * (x1 - x0) * 4 / 3
        file = archive.folder / scene.id / f"{product.files[product.assets['red']]}.tif"
        yield scene.id, 2 * pixels / file.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layout", choices=LAYOUTS, default="full")
    parser.add_argument("--crop", action="store_const", dest="layout", const="crop", help="the small layout for CI")
    parser.add_argument("--folder", type=Path, default=Path("data/bench"), help="folder of the archives")
    chosen = parser.parse_args()
    start = time.perf_counter()
    archive = ensure_archive(chosen.folder / chosen.layout, LAYOUTS[chosen.layout])
    print(f"{archive.folder}: {archive.bytes / 1e9:.2f} GB in {time.perf_counter() - start:.0f} s")
    for name, ratio in ratios(archive):
        print(f"  {name}  ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
