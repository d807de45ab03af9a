"""Draw composites of the sample archive side by side, without a cloud mask: `docs/images/composites.jpg`.

Run ``python -m benchmarks.pictures``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import ardcube
from ardcube.config.variables import variable_name
from ardcube.report.quicklook import stretched
from ardcube.sample import write_archive

COMPOSITES = (
    "last", "mean", "max", "min", "median", "percentile:25", "geomedian", "medoid", "nearest-to-median", "max-ndvi",
    "std", "mads",
)  # fmt: skip
"""The picture of `std` is scaled as reflectance is. That of `mads` is `emad`, in grey."""
FILE = Path(__file__).resolve().parents[1] / "docs/images/composites.jpg"
_COLUMNS, _MARGIN, _LABEL = 3, 6, 16
_DARK, _BRIGHT = 1000, 4000
"""Digital numbers shown as black and as white; reflectance is the number / 10,000 - 0.1."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_archive(Path(folder, "archive"))
        cube = ardcube.CubeConfig(
            stac_url=f"{folder}/archive", bbox=(11.935, 46.836, 12.035, 46.886), start_date="2023-06",  # type: ignore[arg-type]
            end_date="2023-07", period="2M", resolution=0.0004, composites=COMPOSITES,  # type: ignore[arg-type]
        )  # fmt: skip
        ardcube.build(cube, f"{folder}/cube.zarr")
        with xr.open_zarr(f"{folder}/cube.zarr", mask_and_scale=False) as stored:
            pictures = {text: _picture(stored, text) for text in COMPOSITES}
    _side_by_side(pictures).save(FILE, quality=88, optimize=True)
    print(f"{FILE}: {FILE.stat().st_size / 1e3:.0f} kB")


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
