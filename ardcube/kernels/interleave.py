"""Compiled: copy blocks into a window, interleave their bands, and undo TIFF's predictor; eight numbers at once.

Vectors of integers are LLVM instructions, as in `ardcube.kernels.simd` (docs/simd.md). Integers wrap around, so the
order of additions changes no result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from ardcube.kernels.jit import jit
from ardcube.kernels.layout import HOLE_BITS, LANES
from ardcube.kernels.simd import intrinsic, pointer

_WIDTH = 2 * LANES
"""Integers in a vector: eight pixels of one band, or two pixels of four bands."""


class IntegerVector(types.Type):
    """Numba's type of a vector of unsigned integers."""

    def __init__(self, bits: int) -> None:
        self.vector = ir.VectorType(ir.IntType(bits), _WIDTH)
        super().__init__(f"ardcube.kernels.interleave.IntegerVector({bits})")


@register_model(IntegerVector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.vector)  # type: ignore[no-untyped-call]


def _shuffle(builder: Any, one: Any, other: Any, *lanes: int) -> Any:
    """Return chosen lanes of two vectors; the lanes of `other` are numbered from `_WIDTH` on."""
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), _WIDTH), list(lanes)))


@intrinsic
def _load(typing, array, index):  # type: ignore[no-untyped-def]
    """Load a vector from an array (n,), from `index` on."""
    kind = IntegerVector(array.dtype.bitwidth)

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        address = pointer(context, builder, array, args[0], args[1], kind.vector)
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return kind(array, types.intp), generate


@intrinsic
def _store(typing, array, index, numbers):  # type: ignore[no-untyped-def]
    """Store a vector in an array (n,), from `index` on."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        address = pointer(context, builder, array, args[0], args[1], numbers.vector)
        builder.store(args[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, numbers), generate


@intrinsic
def _repeat_pixel(typing, band, one, two, three, four):  # type: ignore[no-untyped-def]
    """Return a vector of four integers, modulo the data type of `band`, twice in a row."""
    kind = IntegerVector(band.dtype.bitwidth)

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        numbers = ir.Constant(kind.vector, ir.Undefined)
        for lane in range(_WIDTH):
            number = builder.trunc(args[1 + lane % LANES], kind.vector.element)
            numbers = builder.insert_element(numbers, number, ir.Constant(ir.IntType(32), lane))
        return numbers

    return kind(band, types.int64, types.int64, types.int64, types.int64), generate


@intrinsic
def _interleave(typing, one, two, three, four):  # type: ignore[no-untyped-def]
    """Return eight pixels of four bands as four vectors of two pixels each."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pairs = []
        for half in ((0, 8, 1, 9, 2, 10, 3, 11), (4, 12, 5, 13, 6, 14, 7, 15)):
            before, after = _shuffle(builder, *args[:2], *half), _shuffle(builder, *args[2:], *half)
            for pair in ((0, 1, 8, 9, 2, 3, 10, 11), (4, 5, 12, 13, 6, 7, 14, 15)):
                pairs.append(_shuffle(builder, before, after, *pair))
        return cgutils.pack_array(builder, pairs)

    return types.UniTuple(one, LANES)(one, two, three, four), generate


def _running_sum(lanes: int) -> Any:
    """Return a function that turns differences between pixels of `lanes` bands into running sums."""

    def of_each(typing, numbers, before):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            total, sums = args
            zeros, step = ir.Constant(numbers.vector, [0] * _WIDTH), lanes
            while step < _WIDTH:
                shifted = _shuffle(builder, zeros, total, *range(step), *range(_WIDTH, 2 * _WIDTH - step))
                total = builder.add(total, shifted)
                step *= 2
            last = [*range(_WIDTH - lanes, _WIDTH)] * (_WIDTH // lanes)
            return builder.add(total, _shuffle(builder, sums, sums, *last))

        return numbers(numbers, before), generate

    of_each.__doc__ = "Return running sums, which continue from the last pixel of the sums before."
    return intrinsic(of_each)


_sum_one_band, _sum_four_bands = _running_sum(1), _running_sum(LANES)


@jit
def copy_band(band, predicted, skip, width, values, row, column, nodata, holes):  # type: ignore[no-untyped-def]
    """Copy `width` columns of a band (row, column), from column `skip` on, into `values` (row, column, 1).

    The upper left pixel goes to `row` and `column`. Both arrays must have one data type and rows without gaps; nothing
    is checked. If `predicted`, the band holds differences along its rows (TIFF's predictor 2), modulo the data type.
    Each cell of `holes` (row, column) in which a value is 0 or `nodata`, of the same data type, is set. If `holes` has
    no size, missing data is not looked for.
    """
    numbers, vectorized = values.reshape(values.size), width - width % _WIDTH
    for i in range(band.shape[0]):
        line, start, total = band[i], (row + i) * values.shape[1] + column, 0
        if predicted:
            # With a signed index numba checks for negative values, which takes as long as the addition.
            for j in range(np.uint64(skip)):
                total += line[j]
        sums = _repeat_pixel(line, total, total, total, total)
        for j in range(0, vectorized, _WIDTH):
            found = _load(line, skip + j)
            if predicted:
                found = sums = _sum_one_band(found, sums)
            _store(numbers, start + j, found)
        for j in range(vectorized, width):
            before = numbers[start + j - 1] if predicted and j > 0 else total
            numbers[start + j] = before + line[skip + j]
        if holes.size:
            find_holes(numbers, start, column, width, 1, nodata, holes[(row + i) >> HOLE_BITS])


@jit
def interleave_bands(  # type: ignore[no-untyped-def]
    one, two, three, four, predicted, skip, width, values, row, column, nodata, holes
):
    """Copy four bands at once into `values` (row, column, 4); see `copy_band`."""
    numbers, vectorized = values.reshape(values.size), width - width % _WIDTH
    for i in range(one.shape[0]):
        a, b, c, d = one[i], two[i], three[i], four[i]
        start = ((row + i) * values.shape[1] + column) * LANES
        p = q = r = s = 0
        if predicted:
            for j in range(np.uint64(skip)):
                p += a[j]
                q += b[j]
                r += c[j]
                s += d[j]
        sums = _repeat_pixel(a, p, q, r, s)
        for j in range(0, vectorized, _WIDTH):
            at = skip + j
            first, second, third, fourth = _interleave(_load(a, at), _load(b, at), _load(c, at), _load(d, at))
            if predicted:
                first = _sum_four_bands(first, sums)
                second = _sum_four_bands(second, first)
                third = _sum_four_bands(third, second)
                fourth = sums = _sum_four_bands(fourth, third)
            at = start + j * LANES
            _store(numbers, at, first)
            _store(numbers, at + _WIDTH, second)
            _store(numbers, at + 2 * _WIDTH, third)
            _store(numbers, at + 3 * _WIDTH, fourth)
        for j in range(vectorized, width):
            at = start + j * LANES
            if predicted and j > 0:
                p, q, r, s = numbers[at - 4], numbers[at - 3], numbers[at - 2], numbers[at - 1]
            numbers[at], numbers[at + 1] = p + a[skip + j], q + b[skip + j]
            numbers[at + 2], numbers[at + 3] = r + c[skip + j], s + d[skip + j]
        if holes.size:
            find_holes(numbers, start, column, width, LANES, nodata, holes[(row + i) >> HOLE_BITS])


@jit
def find_holes(numbers, start, column, width, lanes, nodata, found):  # type: ignore[no-untyped-def]
    """Set the cells of a row of pixels in which a number is 0 or `nodata`.

    The row begins at `start` of `numbers` (n,), and at `column` of the window whose cells are `found` (cell,).
    """
    zero, stop = nodata - nodata, 0
    while stop < width:
        first, cell = stop, (column + stop) >> HOLE_BITS
        stop = min(width, ((cell + 1) << HOLE_BITS) - column)
        hole = False
        for j in range(np.uint64(start + first * lanes), np.uint64(start + stop * lanes)):
            hole |= (numbers[j] == zero) | (numbers[j] == nodata)
        found[cell] |= hole
