"""Draw composites of the sample archive side by side, for the documentation.

`composites.jpg` has all composites without a cloud mask, and `fewer-scenes.jpg` the median of all and of fewer scenes.

Run ``python -m benchmarks.pictures``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import ardcube
from ardcube.config.variables import variable_name
from ardcube.ledger.ledger import Ledger
from ardcube.report.true_colour import stretched
from ardcube.sample import write_archive
from ardcube.storage.place import Place

COMPOSITES = (
    "last", "mean", "max", "min", "median", "percentile:25", "geomedian", "medoid", "nearest-to-median", "max-ndvi",
    "std", "mads",
)  # fmt: skip
"""The picture of `std` is scaled as reflectance is. That of `mads` is `emad`, in grey."""
FEWER: dict[str, dict[str, Any]] = {
    "all scenes": {},
    "--max-scenes 6": {"max_scenes": 6},
    "--enough 3": {"enough": 3},
}
"""Options of the cubes of fewer scenes."""
IMAGES = Path(__file__).resolve().parents[1] / "docs/images"
_AREA: dict[str, Any] = {"bbox": (11.935, 46.836, 12.035, 46.886), "resolution": 0.0004}
_COLUMNS, _MARGIN, _LABEL = 3, 6, 16
_DARK, _BRIGHT = 1000, 4000
"""Digital numbers shown as black and as white; reflectance is the number / 10,000 - 0.1."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = f"{folder}/archive"
        write_archive(Path(archive))
        _save(_side_by_side(composites_side_by_side(archive, folder)), "composites.jpg")
        _save(_side_by_side(fewer_side_by_side(archive, folder)), "fewer-scenes.jpg")


def composites_side_by_side(archive: str, folder: str) -> dict[str, NDArray[np.uint8]]:
    """Build all composites without a cloud mask, and return their pictures by name."""
    cube = ardcube.CubeConfig(
        stac_url=archive, start_date="2023-06", end_date="2023-07", period="2M", composites=COMPOSITES, **_AREA,  # type: ignore[arg-type]
    )  # fmt: skip
    ardcube.build(cube, f"{folder}/cube.zarr")
    with xr.open_zarr(f"{folder}/cube.zarr", mask_and_scale=False) as stored:
        return {text: _picture(stored, text) for text in COMPOSITES}


def fewer_side_by_side(archive: str, folder: str) -> dict[str, NDArray[np.uint8]]:
    """Build the masked median of a quarter from all scenes and from fewer, and return the pictures by option."""
    pictures = {}
    for number, (text, options) in enumerate(FEWER.items()):
        uri = f"{folder}/fewer-{number}.zarr"
        cube = ardcube.CubeConfig(
            stac_url=archive, start_date="2023-05", end_date="2023-07", period="3M", cloud_mask="scl",  # type: ignore[arg-type]
            varname="median", **_AREA, **options,
        )  # fmt: skip
        ardcube.build(cube, uri)
        records = Ledger.of_store(Place.at(uri)).records().values()
        scenes = {scene for record in records for scene in record.scenes}
        read = sum(record.byte_counts["read"] for record in records)
        print(f"{text}: {len(scenes)} scenes, {read / 1e6:.1f} MB")
        with xr.open_zarr(uri, mask_and_scale=False) as stored:
            pictures[text] = _picture(stored, "median")
    return pictures


def _save(image: Image.Image, name: str) -> None:
    file = IMAGES / name
    image.save(file, quality=88, optimize=True)
    print(f"{file}: {file.stat().st_size / 1e3:.0f} kB")


def _picture(stored: xr.Dataset, text: str) -> NDArray[np.uint8]:
    """Return the picture of a composite, uint8 (y, x, 3)."""
    if text == "mads":
        grey = stored["emad"][0].to_numpy()[..., None] * 10_000
        rgba = stretched(np.nan_to_num(grey, nan=0).astype(np.uint16), 0, _BRIGHT - _DARK, 65535)
    else:
        dark, fill = (0, 65535) if text == "std" else (_DARK, 0)
        bands = stored[variable_name(text)].sel(band=["red", "green", "blue"])[0].to_numpy()
        rgba = stretched(bands, dark, dark + _BRIGHT - _DARK, fill)
    return np.ascontiguousarray(rgba[:3].transpose(1, 2, 0))


def _side_by_side(pictures: dict[str, NDArray[np.uint8]]) -> Image.Image:
    """Return one image of all pictures, each with its name above it."""
    height, width, _ = next(iter(pictures.values())).shape
    rows = -(-len(pictures) // _COLUMNS)
    step = width + _MARGIN, height + _LABEL + _MARGIN
    sheet = Image.new("RGB", (_COLUMNS * step[0] + _MARGIN, rows * step[1] + _MARGIN), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (text, picture) in enumerate(pictures.items()):
        x, y = _MARGIN + number % _COLUMNS * step[0], _MARGIN + number // _COLUMNS * step[1]
        pen.text((x, y), text, fill="black")
        sheet.paste(Image.fromarray(picture), (x, y + _LABEL))
    return sheet


if __name__ == "__main__":
    main()
