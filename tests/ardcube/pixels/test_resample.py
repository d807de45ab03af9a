"""The resampler: the value of an output pixel does not depend on the window in which it is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ardcube.extent.grid import Grid
from ardcube.extent.lattice import Lattice
from ardcube.extent.window import Window
from ardcube.pixels.bitmask import packed
from ardcube.pixels.nodes import SourceAxes
from ardcube.pixels.projection import Coordinates, Projection, project
from ardcube.pixels.resample import fill_weighted, needed_blocks, resample_window, take_nearest
from ardcube.raster.conversion import Conversion
from ardcube.raster.decode import DecodedBlock, Encoding, SourcePixels
from ardcube.raster.gdal import GdalBand
from ardcube.raster.header import Blocks, Level
from tests.ardcube.kernels import numpy_kernels
from tests.grids import projected
from tests.oracle import resampling as oracle
from tests.raster_blocks import DecodedBand, cut, source_pixels
from tests.strategies import FEW, MANY, RANDOM, digital_numbers, grid_at, windows

KERNELS = ("nearest", "bilinear", "cubic")


# ---- the same bits as in NumPy -------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """All arguments of a resampling but the kernel."""

    out: NDArray[Any]
    bands: tuple[int, ...]
    wanted: NDArray[np.bool_]
    at: Coordinates
    values: NDArray[Any]
    blocks: Blocks
    encoding: Encoding


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Output pixels in, at the edge of, and outside of a window of a raster, from magnification to overviews."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = draw(RANDOM)
    dtype = draw(st.sampled_from([np.uint16, np.uint16, np.uint8]))
    count = draw(st.integers(1, 4))
    values = draw(digital_numbers((height, width, count), dtype))
    row, column = draw(st.integers(0, 50)), draw(st.integers(0, 50))
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    # In some examples exactly on edges and centres of source pixels, where a kernel begins and ends.
    snap = draw(st.sampled_from([None, 0.5, 0.25]))
    u, v = column + rng.uniform(-3, width + 3, shape), row + rng.uniform(-3, height + 3, shape)
    if snap:
        u, v = np.round(u / snap) * snap, np.round(v / snap) * snap
    pixel = draw(st.sampled_from([10.0, 20.0, 19.96]))
    transform = Affine(pixel, 0, 399_960.0, 0, -pixel, 5_000_040.0)
    steps = rng.uniform(0.1, draw(st.sampled_from([1.0, 4.0, 12.0])), (2, *shape)) * pixel
    # Any bands of the output, in any order.
    positions = count + draw(st.integers(0, 2))
    return Case(
        out=np.where(rng.random((positions, *shape)) < 0.2, 7, 0).astype(dtype),
        bands=tuple(int(position) for position in rng.permutation(positions)[:count]),
        wanted=rng.random(shape) < 0.9,
        at=Coordinates(transform.c + pixel * u, transform.f - pixel * v, steps[0], steps[1]),
        values=values,
        blocks=Blocks(Level(0, 100, 100, transform, (100, 100)), np.ones((1, 1), bool), row, column, height, width),
        encoding=Encoding(
            nodata=draw(st.sampled_from([0, 0, 1, 65535])),
            shift=draw(st.sampled_from([0.0, 1000.0, -1000.0, 0.5, -2.5, 0.25])) if dtype is np.uint16 else 0.0,
        ),
    )


def resample_into(
    out: NDArray[Any],
    bands: Sequence[int],
    wanted: NDArray[np.bool_],
    at: Coordinates,
    source: SourcePixels,
    resampling: str,
) -> None:
    """Resample at given coordinates, which need not be those of a window of a grid."""
    if resampling == "nearest":
        take_nearest(out, bands, wanted, numpy_kernels.nearest_pixels(at, source.blocks.level), source)
    else:
        fill_weighted(out, bands, wanted, at, source, resampling)


def run(case: Case, kernel: str, resample: Callable[..., None] = resample_into) -> NDArray[Any]:
    out = case.out.copy() if kernel == "nearest" else case.out.astype(np.uint16)
    source = source_pixels(case.values, case.blocks, case.encoding)
    resample(out, case.bands, case.wanted, case.at, source, kernel)
    return out


@pytest.mark.parametrize("kernel", KERNELS)
@FEW
@given(case=cases())
def test_compiled_kernels_give_the_same_bits_as_the_numpy_oracle(kernel: str, case: Case) -> None:
    np.testing.assert_array_equal(run(case, kernel), run(case, kernel, numpy_kernels.resample_into))


@pytest.mark.parametrize("kernel", KERNELS)
@FEW
@given(case=cases())
def test_bands_resampled_together_equal_bands_resampled_alone(kernel: str, case: Case) -> None:
    together = run(case, kernel)
    for position, band in enumerate(case.bands):
        one = replace(case, bands=(band,), values=np.ascontiguousarray(case.values[..., position : position + 1]))
        np.testing.assert_array_equal(run(one, kernel)[band], together[band])


@pytest.mark.parametrize("kernel", KERNELS)
@FEW
@given(case=cases())
def test_only_wanted_pixels_that_are_still_empty_change(kernel: str, case: Case) -> None:
    out = run(case, kernel)
    untouched = np.broadcast_to(~case.wanted, out.shape) | (case.out != 0)
    untouched[[band for band in range(len(out)) if band not in case.bands]] = True
    np.testing.assert_array_equal(out[untouched], case.out[untouched])


@pytest.mark.parametrize("kernel", KERNELS)
@FEW
@given(case=cases())
def test_a_pixel_is_valid_if_and_only_if_its_nearest_source_pixel_is(kernel: str, case: Case) -> None:
    out = run(case, kernel)
    transform = case.blocks.level.transform
    u = np.floor((case.at.x - transform.c) / transform.a + 1e-6).astype(int) - case.blocks.column
    v = np.floor((case.at.y - transform.f) / transform.e + 1e-6).astype(int) - case.blocks.row
    height, width, _ = case.values.shape
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    for position, band in enumerate(case.bands):
        plane = case.values[np.clip(v, 0, height - 1), np.clip(u, 0, width - 1), position]
        nearest = np.where(inside, plane, 0).astype(int)
        valid = (nearest != 0) & (nearest != case.encoding.nodata)
        fresh = case.wanted & (case.out[band] == 0)
        np.testing.assert_array_equal((out[band] != 0)[fresh], valid[fresh])
        if kernel == "nearest":
            expected = np.clip(np.rint(nearest + case.encoding.shift), 1, 65535)
            np.testing.assert_array_equal(out[band][fresh & valid], expected[fresh & valid])


@FEW
@given(case=cases())
def test_bilinear_values_are_within_the_range_of_valid_source_pixels(case: Case) -> None:
    """Weights are renormalised over valid pixels, so zeros and nodata never darken their neighbours."""
    out = run(case, "bilinear").astype(int)
    for position, band in enumerate(case.bands):
        values = case.values[..., position]
        valid = values[(values != 0) & (values != case.encoding.nodata)].astype(int)
        filled = case.wanted & (case.out[band] == 0) & (out[band] != 0)
        if filled.any():
            low, high = np.clip(np.rint(np.array([valid.min(), valid.max()]) + case.encoding.shift), 1, 65535)
            assert low <= out[band][filled].min()
            assert out[band][filled].max() <= high


# ---- numbers -------------------------------------------------------------------------------------


def one_row(
    source: list[int] | NDArray[Any],
    x: list[float],
    kernel: str,
    y: float = 0.5,
    step: float = 1.0,
    nodata: int = 0,
    shift: float = 0.0,
) -> list[int]:
    """Resample a small raster at positions in a row, in pixels of the source."""
    values = np.atleast_2d(np.array(source, np.uint16))[..., None]
    height, width, _ = values.shape
    level = Level(0, height, width, Affine(10, 0, 0, 0, -10, 0), (height, width))
    blocks = Blocks(level, np.ones((1, 1), bool), 0, 0, height, width)
    full = np.full((1, len(x)), 10.0 * step)
    at = Coordinates(np.array([x]) * 10.0, np.full((1, len(x)), -10.0 * y), full, full)
    out = np.zeros((1, 1, len(x)), np.uint16)
    pixels = source_pixels(values, blocks, Encoding(nodata, shift))
    resample_into(out, [0], np.ones((1, len(x)), bool), at, pixels, kernel)
    numbers: list[int] = out[0, 0].tolist()
    return numbers


def test_a_tie_is_rounded_to_the_even_number() -> None:
    assert one_row([1, 2, 3, 4], [1.0, 2.0, 3.0], "bilinear") == [2, 2, 4]  # 1.5, 2.5, 3.5


@pytest.mark.parametrize(("shift", "expected"), [(-1000.0, [1, 1, 64535]), (1000.0, [1001, 2000, 65535])])
def test_a_shift_keeps_valid_pixels_valid(shift: float, expected: list[int]) -> None:
    for kernel in KERNELS:
        assert one_row([1, 1000, 65535], [0.5, 1.5, 2.5], kernel, step=0.1, shift=shift) == expected, kernel


@pytest.mark.parametrize(("shift", "expected"), [(0.5, [10, 12, 12]), (-0.5, [10, 10, 12]), (0.4, [10, 11, 12])])
def test_a_shift_of_part_of_a_number_is_rounded_half_to_even(shift: float, expected: list[int]) -> None:
    for kernel in KERNELS:
        assert one_row([10, 11, 12], [0.5, 1.5, 2.5], kernel, step=0.1, shift=shift) == expected, kernel


def test_cubic_is_clipped_before_the_shift_and_after_it() -> None:
    """Its lobes leave the range of the data: 1.125 b - 0.125 a between two pairs."""
    high, low = [1, 65535, 65535, 1], [65535, 1, 1, 65535]
    assert one_row(high, [2.0], "cubic") == [65535]  # 73,727 before clipping
    assert one_row(low, [2.0], "cubic") == [1]  # -8,191 before clipping
    assert one_row(high, [2.0], "cubic", shift=-1000.0) == [64535]  # not 72,727, clipped to 65,535
    assert one_row(low, [2.0], "cubic", shift=1000.0) == [1001]  # not -7,191, clipped to 1
    assert one_row(high, [2.0], "cubic", shift=1000.0) == [65535]
    assert one_row(low, [2.0], "cubic", shift=-1000.0) == [1]


@pytest.mark.parametrize("kernel", ["bilinear", "cubic"])
def test_weights_are_renormalised_over_valid_pixels(kernel: str) -> None:
    assert one_row([500, 0, 500, 65535, 500], [0.9, 2.5, 4.2], kernel, step=2.0, nodata=65535) == [500, 500, 500]


def test_the_nearest_pixel_counts_where_the_lobes_of_a_cubic_kernel_cancel() -> None:
    """Valid pixels whose weights add up to exactly 0, at the edge of a hole."""
    axis = [-0.0234375, -0.0703125, 0.2265625, 0.8671875, 0.8671875, 0.2265625, -0.0703125, -0.0234375]
    weights = np.rint(np.outer(axis, axis) * 2**14 * 2**4).astype(int)
    sums = {0: frozenset[tuple[int, int]]()}
    others = sorted(((weights[p], p) for p in np.ndindex(8, 8) if p != (4, 4)), key=lambda pair: pair[0])
    for weight, pixel in others:
        for total, pixels in list(sums.items())[:20_000]:
            sums.setdefault(int(total + weight), pixels | {pixel})
        if -int(weights[4, 4]) in sums:
            break
    raster = np.zeros((8, 8), np.uint16)
    raster[4, 4] = 1000
    for pixel in sums[-int(weights[4, 4])]:
        raster[pixel] = 2000
    assert one_row(raster, [4.0], "cubic", y=4.0, step=2.0) == [1000]


# ---- blocks --------------------------------------------------------------------------------------

UTM33 = "EPSG:32633"


def resampled(
    grid: Grid,
    window: Window,
    raster: NDArray[np.uint16],
    level: Level,
    kernel: str,
    wanted: NDArray[np.bool_],
    *,
    whole: bool = False,
) -> NDArray[np.uint16]:
    """Resample bands (row, column, band) from all blocks, or from the needed blocks alone."""
    out = np.zeros((raster.shape[2], *window.shape), np.uint16)
    at = projected(grid, window, UTM33)
    everything = Blocks(level, np.ones(level.block_grid, bool), 0, 0, level.height, level.width)
    blocks = everything if whole else needed_blocks(at, packed(wanted), level, kernel)
    if blocks is not None:
        needed = blocks.needed.ravel()
        cut_bands = [cut(raster[..., band], level.block, predicted=False) for band in range(raster.shape[2])]
        fetched = [DecodedBand([block for block, here in zip(band, needed, strict=True) if here]) for band in cut_bands]
        source = SourcePixels.decode(fetched, blocks, "uint16", Encoding(0))
        resample_window(out, range(raster.shape[2]), wanted, at, source, kernel)
    return out


@pytest.mark.parametrize("kernel", KERNELS)
@FEW
@given(
    data=st.data(),
    resolution=st.sampled_from([1 / 3600, 0.0011, 0.00009]),
    rng=RANDOM,
    share=st.sampled_from([1.0, 0.5, 0.02, 0.002]),
    block=st.tuples(st.integers(1, 30), st.integers(1, 90)),
)
def test_the_needed_blocks_contain_all_pixels_under_the_kernels(
    kernel: str,
    data: st.DataObject,
    resolution: float,
    rng: np.random.Generator,
    share: float,
    block: tuple[int, int],
) -> None:
    grid = grid_at(14.3, 45.1, resolution, pixels=40)
    raster = rng.integers(0, 4, (70, 80, 2)).astype(np.uint16) * 1000
    # The raster covers the middle of the grid, and its edge crosses it.
    at = projected(grid, Window(20, 21, 20, 21), UTM33).coordinates()
    pixel = float(at.step_x[0, 0]) * data.draw(st.sampled_from([0.3, 0.9, 1.0, 2.0]))
    transform = Affine(pixel, 0, float(at.x[0, 0]) - 30 * pixel, 0, -pixel, float(at.y[0, 0]) + 25 * pixel)
    level = Level(0, 70, 80, transform, block)
    window = data.draw(windows(grid, beyond=5))
    wanted = rng.random(window.shape) < share
    found = [resampled(grid, window, raster, level, kernel, wanted, whole=whole) for whole in (True, False)]
    np.testing.assert_array_equal(*found)


def test_no_block_is_needed_without_wanted_pixels_or_outside_of_the_raster() -> None:
    grid = grid_at(14.3, 45.1, 0.00025)
    at = projected(grid, Window(0, 10, 0, 10), UTM33)
    first = at.coordinates()
    x, y = float(first.x[0, 0]), float(first.y[0, 0])
    here = Level(0, 50, 50, Affine(10, 0, x, 0, -10, y), (16, 16))
    elsewhere = replace(here, transform=Affine(10, 0, x + 90_000, 0, -10, y))
    everything = np.ones((10, 10), bool)
    assert needed_blocks(at, packed(~everything), here, "bilinear") is None
    assert needed_blocks(at, packed(everything), elsewhere, "bilinear") is None
    found = needed_blocks(at, packed(everything), here, "bilinear")
    assert found is not None
    assert found.needed.any()
    assert not found.needed.all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("resolution", [0.00006, 0.00025, 0.0004])
def test_resampling_equals_the_oracle(kernel: str, resolution: float) -> None:
    """Except for pixels whose value is, up to rounding errors, half-way between two numbers."""
    rng = np.random.default_rng(1)
    raster = rng.integers(1, 10_000, (120, 110)).astype(np.uint16)
    raster[rng.random(raster.shape) < 0.1] = 0
    raster[40:60, 30:70] = 0
    grid = grid_at(14.3, 45.1, resolution, pixels=60)
    window = Window(0, grid.height, 0, grid.width)
    at = projected(grid, window, UTM33).coordinates()
    transform = Affine(10, 0, float(at.x[5, 5]), 0, -10, float(at.y[5, 5]))
    wanted = rng.random(window.shape) < 0.95
    level = Level(0, 120, 110, transform, (32, 16))
    (found,) = resampled(grid, window, raster[..., None], level, kernel, wanted)

    exact = oracle.project(
        grid.x(np.arange(grid.width)),
        grid.y(np.arange(grid.height)),
        (resolution, -resolution),
        UTM33,
    )
    expected = oracle.resample(oracle.Level(raster, transform, UTM33, raster != 0), exact, wanted, kernel)
    assert (expected != 0).sum() > 500
    different = found != expected
    assert different.sum() <= 2
    assert np.abs(found.astype(int) - expected)[different].max(initial=0) <= 1


# ---- windows -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WindowCase:
    """All arguments of resampling a window of a grid but the kernel."""

    out: NDArray[Any]
    bands: tuple[int, ...]
    wanted: NDArray[np.bool_]
    projection: Projection
    source: SourcePixels


@st.composite
def window_cases(draw: st.DrawFn) -> WindowCase:
    """Windows in a raster, across its edge and outside of it, from magnification to kernels of more than a cell."""
    grid = grid_at(14.3, 45.1, draw(st.sampled_from([1 / 3600, 0.0011, 0.00009, 0.05])), pixels=70)
    rng = draw(RANDOM)
    dtype = draw(st.sampled_from([np.uint16, np.uint16, np.uint8]))
    count = draw(st.integers(1, 4))
    middle = projected(grid, Window(35, 36, 35, 36), UTM33).coordinates()
    pixel = float(middle.step_x[0, 0]) / draw(st.sampled_from([0.3, 0.95, 1.0, 1.6, 2.4, 5.0, 20.0]))
    height, width = draw(st.integers(1, 150)), draw(st.integers(1, 150))
    x, y = float(middle.x[0, 0]), float(middle.y[0, 0])
    transform = Affine(pixel, 0, x - draw(st.floats(0, 1)) * width * pixel, 0, -pixel, y + height / 2 * pixel)
    values = rng.integers(0, draw(st.sampled_from([3, int(np.iinfo(dtype).max)])), (height, width, count)).astype(dtype)
    # Without holes, with few, or with many.
    values[rng.random(values.shape) < draw(st.sampled_from([0.0, 0.001]))] = 0
    values[values == 0] = draw(st.sampled_from([0, 1]))
    window = draw(windows(grid, beyond=5))
    positions = count + draw(st.integers(0, 2))
    row, column = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    corner = transform @ Affine.translation(-column, -row)
    blocks = Blocks(Level(0, 200, 200, corner, (200, 200)), np.ones((1, 1), bool), row, column, height, width)
    shift = draw(st.sampled_from([0.0, 1000.0, -1000.0, 0.5])) if dtype is np.uint16 else 0.0
    return WindowCase(
        out=np.where(rng.random((positions, *window.shape)) < draw(st.sampled_from([0.0, 0.2])), 7, 0).astype(dtype),
        bands=tuple(int(position) for position in rng.permutation(positions)[:count]),
        wanted=rng.random(window.shape) < draw(st.sampled_from([1.0, 0.5, 0.01])),
        projection=projected(grid, window, UTM33),
        source=source_pixels(values, blocks, Encoding(draw(st.sampled_from([0, 0, 2])), shift)),
    )


@pytest.mark.parametrize("kernel", KERNELS)
@MANY
@given(case=window_cases())
def test_a_window_has_the_same_bits_as_the_numpy_oracle(kernel: str, case: WindowCase) -> None:
    window = case.projection.window
    rows, columns = np.arange(window.y0, window.y1), np.arange(window.x0, window.x1)
    at = Coordinates(*case.projection.coordinates_at(rows, columns))
    found, plain = case.out.copy(), case.out.copy()
    resample_window(found, case.bands, case.wanted, case.projection, case.source, kernel)
    numpy_kernels.resample_into(plain, case.bands, case.wanted, at, case.source, kernel)
    np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("kernel", KERNELS)
@FEW
@given(case=window_cases())
def test_a_conversion_applies_once_to_the_pixels_that_a_source_fills(kernel: str, case: WindowCase) -> None:
    conversion = Conversion(11, 3, 40, 5, 60_000)
    plain = replace(case.source, encoding=replace(case.source.encoding, shift=0.0))
    converted = replace(plain, encoding=replace(plain.encoding, conversion=conversion))
    found, numbers = (np.where(case.out != 0, 7, 0).astype(np.uint16) for _ in range(2))
    resample_window(found, case.bands, case.wanted, case.projection, converted, kernel)
    resample_window(numbers, case.bands, case.wanted, case.projection, plain, kernel)
    np.testing.assert_array_equal(found, np.where(case.out != 0, 7, conversion.table()[numbers]))


@pytest.mark.parametrize("resampling", ["bilinear", "cubic"])
@pytest.mark.parametrize(("corner", "passes"), [((0, 0), True), ((-30, 70), True), ((5, 0), False)])
def test_pixels_of_the_sources_own_grid_pass_unchanged(
    resampling: str, corner: tuple[int, int], passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearest pixel is taken, which equals the weighted mean bit for bit; half a pixel off it is not."""
    numbers = np.random.default_rng(5).integers(0, 12_000, (60, 70), np.uint16)
    numbers[numbers < 2000] = 0
    level = Level(0, 60, 70, Affine(10.0, 0, 500_000 + corner[0], 0, -10.0, 5_100_000 + corner[1]), (64, 64))
    blocks = Blocks(level, np.ones((1, 2), bool), 0, 0, 60, 70)
    source = SourcePixels.decode([GdalBand(DecodedBlock(0, 0, numbers))], blocks, "uint16", Encoding(0))
    lattice = Lattice("EPSG:32633", 0.0, 0.0, 10.0, -10.0)
    projection = project(lattice, Window(-510_010, -509_930, 49_990, 50_080), SourceAxes("EPSG:32633", 32))
    assert projection.is_grid_of(level) is passes
    found, weighted = np.zeros((2, 1, 80, 90), np.uint16)
    wanted = np.ones((80, 90), bool)
    resample_window(found, [0], wanted, projection, source, resampling)
    monkeypatch.setattr(Projection, "is_grid_of", lambda *_: False)
    resample_window(weighted, [0], wanted, projection, source, resampling)
    np.testing.assert_array_equal(found, weighted)
    if passes:
        top, left = 10 - corner[1] // 10, 10 + corner[0] // 10
        inside = np.zeros((80, 90), bool)
        inside[max(0, top) : top + 60, max(0, left) : left + 70] = True
        assert found[0][inside].any()
        native = numbers[max(0, -top) :, max(0, -left) :]
        np.testing.assert_array_equal(found[0, max(0, top) : top + 60, max(0, left) : left + 70], native)
        assert not found[0][~inside].any()
