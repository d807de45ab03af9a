"""Four float64 in one vector register, for compiled kernels: numba has no type for them, LLVM has.

Left to itself, numba's vectorizer makes of four bands of a pixel what it likes, from version to version. These are
LLVM's own instructions on vectors of four, which every processor has in some form. Each lane is computed as a number
alone would be, so they change no bit of a result.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from ardcube.kernels.layout import LANES

intrinsic: Any = extending.intrinsic  # whose own type is that of its first argument, which callers do not give
_INTEGER = ir.IntType(32)
_INTEGERS = ir.VectorType(_INTEGER, LANES)
_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)


class Doubles(types.Type):
    """Numba's type of four float64."""


doubles = Doubles("ardcube.kernels.simd.Doubles")


@register_model(Doubles)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _DOUBLES)  # type: ignore[no-untyped-call]


def _constant(*numbers: float) -> ir.Constant:
    return ir.Constant(_DOUBLES, list(numbers))


def pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, item: Any) -> Any:
    """To an item at an index of an array (n,), which must not be negative."""
    made = context.make_array(kind)(context, builder, array)
    place = cgutils.get_item_pointer(context, builder, kind, made, [index], wraparound=False)
    return builder.bitcast(place, item.as_pointer())


# ---- from and to memory, where nothing is checked ------------------------------------------------


@intrinsic
def load(typing, array, index):  # type: ignore[no-untyped-def]
    """Four of an array of unsigned integers (n,), from `index` on."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        bits = signature.args[0].dtype.bitwidth
        vector = ir.VectorType(ir.IntType(bits), LANES)
        place = pointer(context, builder, signature.args[0], args[0], args[1], vector)
        return builder.uitofp(builder.load(place, align=bits // 8), _DOUBLES)

    return doubles(array, types.intp), generate


@intrinsic
def load_doubles(typing, array, index):  # type: ignore[no-untyped-def]
    """Four of an array float64 (n,), from `index` on."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = pointer(context, builder, signature.args[0], args[0], args[1], _DOUBLES)
        return builder.load(place, align=8)

    return doubles(array, types.intp), generate


@intrinsic
def store(typing, array, index, numbers):  # type: ignore[no-untyped-def]
    """Put them into an array float64 (n,), from `index` on."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = pointer(context, builder, signature.args[0], args[0], args[1], _DOUBLES)
        builder.store(args[2], place, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, doubles), generate


@intrinsic
def store_whole(typing, array, index, numbers):  # type: ignore[no-untyped-def]
    """Put them, which must be whole, into an array int32 (n,), from `index` on."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = pointer(context, builder, signature.args[0], args[0], args[1], _INTEGERS)
        builder.store(builder.fptosi(args[2], _INTEGERS), place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, doubles), generate


@intrinsic
def prefetch(typing, array, index):  # type: ignore[no-untyped-def]
    """Ask for what will soon be read at `index`, or beyond the array: then for nothing."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = pointer(context, builder, signature.args[0], args[0], args[1], ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [place.type, _INTEGER, _INTEGER, _INTEGER])
        read, in_all_caches, data = (ir.Constant(_INTEGER, number) for number in (0, 3, 1))
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(ask, [place, read, in_all_caches, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


# ---- from and to single numbers ------------------------------------------------------------------


@intrinsic
def spread(typing, number):  # type: ignore[no-untyped-def]
    """One number in all lanes."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        undefined = ir.Constant(_DOUBLES, ir.Undefined)
        first = builder.insert_element(undefined, args[0], ir.Constant(_INTEGER, 0))
        return builder.shuffle_vector(first, undefined, ir.Constant(_INTEGERS, [0] * LANES))

    return doubles(types.float64), generate


@intrinsic
def split(typing, numbers):  # type: ignore[no-untyped-def]
    """A tuple of four float64."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        lanes = [builder.extract_element(args[0], ir.Constant(_INTEGER, lane)) for lane in range(LANES)]
        return cgutils.pack_array(builder, lanes)

    return types.UniTuple(types.float64, LANES)(doubles), generate


@intrinsic
def transposed(typing, one, two, three, four):  # type: ignore[no-untyped-def]
    """A tuple of the first lanes of all, their second ones, third and fourth."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        def pick(one: Any, other: Any, *lanes: int) -> Any:
            return builder.shuffle_vector(one, other, ir.Constant(_INTEGERS, list(lanes)))

        one, two, three, four = args
        even, odd = pick(one, two, 0, 4, 2, 6), pick(one, two, 1, 5, 3, 7)
        even_after, odd_after = pick(three, four, 0, 4, 2, 6), pick(three, four, 1, 5, 3, 7)
        lanes = [
            pick(even, even_after, 0, 1, 4, 5), pick(odd, odd_after, 0, 1, 4, 5),
            pick(even, even_after, 2, 3, 6, 7), pick(odd, odd_after, 2, 3, 6, 7),
        ]  # fmt: skip
        return cgutils.pack_array(builder, lanes)

    return types.UniTuple(doubles, LANES)(doubles, doubles, doubles, doubles), generate


# ---- lane by lane --------------------------------------------------------------------------------


@intrinsic
def larger(typing, one, other):  # type: ignore[no-untyped-def]
    """The larger of two."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return doubles(doubles, doubles), generate


@intrinsic
def smaller(typing, one, other):  # type: ignore[no-untyped-def]
    """The smaller of two."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return doubles(doubles, doubles), generate


@intrinsic
def where_at_most(typing, numbers, places, last):  # type: ignore[no-untyped-def]
    """Numbers at places up to the last one, else 0."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        numbers, places, last = args
        return builder.select(builder.fcmp_ordered("<=", places, last), numbers, _constant(*[0.0] * LANES))

    return doubles(doubles, doubles, doubles), generate


def _function(name: str, what: str) -> Any:
    """A function of each lane that LLVM has by that name."""

    def of_each(typing, numbers):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            kind = ir.FunctionType(_DOUBLES, [_DOUBLES])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f64"), args)

        return doubles(doubles), generate

    of_each.__doc__ = what
    return intrinsic(of_each)


magnitude = _function("fabs", "Without its sign.")
floor = _function("floor", "Rounded down.")
rounded = _function("rint", "Rounded half to even.")
root = _function("sqrt", "The square root.")


def _operator(operation: Callable[[Any, Any], Any], instruction: str) -> None:
    @infer_global(operation)
    class _Typed(ConcreteTemplate):
        cases: ClassVar = [signature(doubles, doubles, doubles)]

    @lower_builtin(operation, doubles, doubles)
    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return getattr(builder, instruction)(*args)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_operation, _instruction)
