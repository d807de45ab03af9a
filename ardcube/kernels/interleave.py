"""Compiled: bands of a block are put into a window side by side, and TIFF's predictor undone; eight numbers at once.

As in `ardcube.kernels.simd`, what numba has no type for is said in LLVM's own vectors. Integers wrap around, so their
order changes nothing.
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

_EIGHT = 2 * LANES


class Eight(types.Type):
    """Numba's type of eight unsigned integers: pixels of one band, or two pixels of four."""

    def __init__(self, bits: int) -> None:
        self.vector = ir.VectorType(ir.IntType(bits), _EIGHT)
        super().__init__(f"ardcube.kernels.interleave.Eight({bits})")


@register_model(Eight)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.vector)  # type: ignore[no-untyped-call]


def _picked(builder: Any, one: Any, other: Any, *numbers: int) -> Any:
    """Numbers of two vectors; those of the other one are counted on."""
    places = ir.Constant(ir.VectorType(ir.IntType(32), _EIGHT), list(numbers))
    return builder.shuffle_vector(one, other, places)


@intrinsic
def _load(typing, array, index):  # type: ignore[no-untyped-def]
    """Eight of an array (n,), from `index` on."""
    kind = Eight(array.dtype.bitwidth)

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = pointer(context, builder, array, args[0], args[1], kind.vector)
        return builder.load(place, align=array.dtype.bitwidth // 8)

    return kind(array, types.intp), generate


@intrinsic
def _store(typing, array, index, numbers):  # type: ignore[no-untyped-def]
    """Put them into an array (n,), from `index` on."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = pointer(context, builder, array, args[0], args[1], numbers.vector)
        builder.store(args[2], place, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, numbers), generate


@intrinsic
def _twice(typing, band, one, two, three, four):  # type: ignore[no-untyped-def]
    """Four integers, modulo the type of a band, and again."""
    kind = Eight(band.dtype.bitwidth)

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        numbers = ir.Constant(kind.vector, ir.Undefined)
        for lane in range(_EIGHT):
            number = builder.trunc(args[1 + lane % LANES], kind.vector.element)
            numbers = builder.insert_element(numbers, number, ir.Constant(ir.IntType(32), lane))
        return numbers

    return kind(band, types.int64, types.int64, types.int64, types.int64), generate


@intrinsic
def _woven(typing, one, two, three, four):  # type: ignore[no-untyped-def]
    """Eight pixels of four bands as a tuple of four times two pixels."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pairs = []
        for half in ((0, 8, 1, 9, 2, 10, 3, 11), (4, 12, 5, 13, 6, 14, 7, 15)):
            before, after = _picked(builder, *args[:2], *half), _picked(builder, *args[2:], *half)
            for pair in ((0, 1, 8, 9, 2, 3, 10, 11), (4, 5, 12, 13, 6, 7, 14, 15)):
                pairs.append(_picked(builder, before, after, *pair))
        return cgutils.pack_array(builder, pairs)

    return types.UniTuple(one, LANES)(one, two, three, four), generate


def _summation(lanes: int) -> Any:
    """A function that adds up pixels of so many bands."""

    def of_each(typing, numbers, before):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            total, sums = args
            none, step = ir.Constant(numbers.vector, [0] * _EIGHT), lanes
            while step < _EIGHT:
                total = builder.add(
                    total, _picked(builder, none, total, *range(step), *range(_EIGHT, 2 * _EIGHT - step))
                )
                step *= 2
            last = [*range(_EIGHT - lanes, _EIGHT)] * (_EIGHT // lanes)
            return builder.add(total, _picked(builder, sums, sums, *last))

        return numbers(numbers, before), generate

    of_each.__doc__ = "Differences from pixel to pixel as sums, which go on from the last pixel of the sums before."
    return intrinsic(of_each)


_add_up_one, _add_up_four = _summation(1), _summation(LANES)


@jit
def place_one(band, predicted, skip, width, values, row, column, nodata, holes):  # type: ignore[no-untyped-def]
    """Copy a band (row, column), from column `skip` on, to a place of `values` (row, column, 1).

    Both must have one data type, and rows without gaps: nothing is checked.
    Where `predicted`, it holds differences along the rows (TIFF's predictor 2), modulo the data type. Cells of `holes`
    (row, column) in which a value is 0 or `nodata`, of the same data type, are set, unless it has no size.
    """
    numbers, whole = values.reshape(values.size), width - width % _EIGHT
    for i in range(band.shape[0]):
        line, place, total = band[i], (row + i) * values.shape[1] + column, 0
        if predicted:
            # Unsigned, or numba asks of each index whether it counts from the end, which takes as long as the adding.
            for j in range(np.uint64(skip)):
                total += line[j]
        sums = _twice(line, total, total, total, total)
        for j in range(0, whole, _EIGHT):
            found = _load(line, skip + j)
            if predicted:
                found = sums = _add_up_one(found, sums)
            _store(numbers, place + j, found)
        for j in range(whole, width):
            before = numbers[place + j - 1] if predicted and j > 0 else total
            numbers[place + j] = before + line[skip + j]
        if holes.size:
            find_holes(numbers, place, column, width, 1, nodata, holes[(row + i) >> HOLE_BITS])


@jit
def place_four(  # type: ignore[no-untyped-def]
    one, two, three, four, predicted, skip, width, values, row, column, nodata, holes
):
    """What `place_one` does, of four bands at once: to a place of `values` (row, column, 4)."""
    numbers, whole = values.reshape(values.size), width - width % _EIGHT
    for i in range(one.shape[0]):
        a, b, c, d = one[i], two[i], three[i], four[i]
        place = ((row + i) * values.shape[1] + column) * LANES
        p = q = r = s = 0
        if predicted:
            for j in range(np.uint64(skip)):
                p += a[j]
                q += b[j]
                r += c[j]
                s += d[j]
        sums = _twice(a, p, q, r, s)
        for j in range(0, whole, _EIGHT):
            at = skip + j
            first, second, third, fourth = _woven(_load(a, at), _load(b, at), _load(c, at), _load(d, at))
            if predicted:
                first = _add_up_four(first, sums)
                second = _add_up_four(second, first)
                third = _add_up_four(third, second)
                fourth = sums = _add_up_four(fourth, third)
            at = place + j * LANES
            _store(numbers, at, first)
            _store(numbers, at + _EIGHT, second)
            _store(numbers, at + 2 * _EIGHT, third)
            _store(numbers, at + 3 * _EIGHT, fourth)
        for j in range(whole, width):
            at = place + j * LANES
            if predicted and j > 0:
                p, q, r, s = numbers[at - 4], numbers[at - 3], numbers[at - 2], numbers[at - 1]
            numbers[at], numbers[at + 1] = p + a[skip + j], q + b[skip + j]
            numbers[at + 2], numbers[at + 3] = r + c[skip + j], s + d[skip + j]
        if holes.size:
            find_holes(numbers, place, column, width, LANES, nodata, holes[(row + i) >> HOLE_BITS])


@jit
def find_holes(numbers, place, column, width, lanes, nodata, found):  # type: ignore[no-untyped-def]
    """Set the cells of a row of pixels in which a number is 0 or `nodata`.

    The row begins at `place` of `numbers` (n,), and at `column` of the window whose cells are `found` (cell,).
    """
    none, stop = nodata - nodata, 0
    while stop < width:
        start, cell = stop, (column + stop) >> HOLE_BITS
        stop = min(width, ((cell + 1) << HOLE_BITS) - column)
        hole = False
        for j in range(np.uint64(place + start * lanes), np.uint64(place + stop * lanes)):
            hole |= (numbers[j] == none) | (numbers[j] == nodata)
        found[cell] |= hole
