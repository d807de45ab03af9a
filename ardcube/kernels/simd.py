"""SIMD vectors of four float64 for numba, written as LLVM instructions (docs/simd.md).

Numba has no type for a vector, and its vectorizer treats the same loop differently from version to version. Each lane
is computed as a single number would be, so no bit of a result changes. LLVM supports these vectors on every processor.
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

intrinsic: Any = extending.intrinsic  # its declared type includes the typing context, which callers do not pass
_INT32 = ir.IntType(32)
_WORD = 64
"""Bits of a word of a mask."""
_INT32_VECTOR = ir.VectorType(_INT32, LANES)
_VECTOR = ir.VectorType(ir.DoubleType(), LANES)


class Vector(types.Type):
    """Numba's type of four float64."""


vector = Vector("ardcube.kernels.simd.Vector")


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


def _constant(*numbers: float) -> ir.Constant:
    return ir.Constant(_VECTOR, list(numbers))


def pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, item: Any) -> Any:
    """Return a pointer to an item at an index, not negative, of an array (n,)."""
    made = context.make_array(kind)(context, builder, array)
    address = cgutils.get_item_pointer(context, builder, kind, made, [index], wraparound=False)
    return builder.bitcast(address, item.as_pointer())


# ---- load and store; indices are not checked -----------------------------------------------------


@intrinsic
def load(typing, array, index):  # type: ignore[no-untyped-def]
    """Load four numbers of an array of unsigned integers (n,), from `index` on."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        bits = signature.args[0].dtype.bitwidth
        integers = ir.VectorType(ir.IntType(bits), LANES)
        address = pointer(context, builder, signature.args[0], args[0], args[1], integers)
        return builder.uitofp(builder.load(address, align=bits // 8), _VECTOR)

    return vector(array, types.intp), generate


@intrinsic
def load_float64(typing, array, index):  # type: ignore[no-untyped-def]
    """Load four numbers of an array float64 (n,), from `index` on."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        address = pointer(context, builder, signature.args[0], args[0], args[1], _VECTOR)
        return builder.load(address, align=8)

    return vector(array, types.intp), generate


@intrinsic
def store(typing, array, index, numbers):  # type: ignore[no-untyped-def]
    """Store a vector in an array float64 (n,), from `index` on."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        address = pointer(context, builder, signature.args[0], args[0], args[1], _VECTOR)
        builder.store(args[2], address, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def store_int32(typing, array, index, numbers):  # type: ignore[no-untyped-def]
    """Store a vector of whole numbers in an array int32 (n,), from `index` on."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        address = pointer(context, builder, signature.args[0], args[0], args[1], _INT32_VECTOR)
        builder.store(builder.fptosi(args[2], _INT32_VECTOR), address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def prefetch(typing, array, index):  # type: ignore[no-untyped-def]
    """Load the cache line at `index` into the caches; an index outside of the array has no effect."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        address = pointer(context, builder, signature.args[0], args[0], args[1], ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [address.type, _INT32, _INT32, _INT32])
        read, in_all_caches, data = (ir.Constant(_INT32, number) for number in (0, 3, 1))
        instruction = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(instruction, [address, read, in_all_caches, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def within_range(typing, numbers, index, low, span):  # type: ignore[no-untyped-def]
    """Return which of the 64 unsigned integers of an array (n,), from `index` on, are in `low..low + span`.

    The first number is the lowest bit of the result, uint64.
    """

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        kind = ir.VectorType(ir.IntType(signature.args[0].dtype.bitwidth), _WORD)
        address = pointer(context, builder, signature.args[0], args[0], args[1], kind)
        loaded = builder.load(address, align=signature.args[0].dtype.bitwidth // 8)

        def repeat(number: Any) -> Any:
            first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(_INT32, 0))
            indices = ir.Constant(ir.VectorType(_INT32, _WORD), [0] * _WORD)
            return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), indices)

        # Numbers below `low` wrap around to large ones.
        inside = builder.icmp_unsigned("<=", builder.sub(loaded, repeat(args[2])), repeat(args[3]))
        return builder.bitcast(inside, ir.IntType(_WORD))

    return types.uint64(numbers, types.intp, numbers.dtype, numbers.dtype), generate


# ---- single numbers and vectors ------------------------------------------------------------------


@intrinsic
def broadcast(typing, number):  # type: ignore[no-untyped-def]
    """Return a vector with one number in all lanes."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(undefined, args[0], ir.Constant(_INT32, 0))
        return builder.shuffle_vector(first, undefined, ir.Constant(_INT32_VECTOR, [0] * LANES))

    return vector(types.float64), generate


@intrinsic
def split(typing, numbers):  # type: ignore[no-untyped-def]
    """Return the lanes of a vector as a tuple of four float64."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        lanes = [builder.extract_element(args[0], ir.Constant(_INT32, lane)) for lane in range(LANES)]
        return cgutils.pack_array(builder, lanes)

    return types.UniTuple(types.float64, LANES)(vector), generate


@intrinsic
def transpose(typing, one, two, three, four):  # type: ignore[no-untyped-def]
    """Return four vectors: the first lanes of all arguments, their second lanes, third and fourth."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        def shuffle(one: Any, other: Any, *lanes: int) -> Any:
            return builder.shuffle_vector(one, other, ir.Constant(_INT32_VECTOR, list(lanes)))

        one, two, three, four = args
        even, odd = shuffle(one, two, 0, 4, 2, 6), shuffle(one, two, 1, 5, 3, 7)
        even_after, odd_after = shuffle(three, four, 0, 4, 2, 6), shuffle(three, four, 1, 5, 3, 7)
        lanes = [
            shuffle(even, even_after, 0, 1, 4, 5), shuffle(odd, odd_after, 0, 1, 4, 5),
            shuffle(even, even_after, 2, 3, 6, 7), shuffle(odd, odd_after, 2, 3, 6, 7),
        ]  # fmt: skip
        return cgutils.pack_array(builder, lanes)

    return types.UniTuple(vector, LANES)(vector, vector, vector, vector), generate


# ---- lane by lane --------------------------------------------------------------------------------


@intrinsic
def maximum(typing, one, other):  # type: ignore[no-untyped-def]
    """Return the larger number of each lane."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return vector(vector, vector), generate


@intrinsic
def minimum(typing, one, other):  # type: ignore[no-untyped-def]
    """Return the smaller number of each lane."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return vector(vector, vector), generate


@intrinsic
def zero_after(typing, numbers, positions, last):  # type: ignore[no-untyped-def]
    """Return the numbers of lanes whose position is at most `last`, and 0 in the other lanes."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        numbers, positions, last = args
        return builder.select(builder.fcmp_ordered("<=", positions, last), numbers, _constant(*[0.0] * LANES))

    return vector(vector, vector, vector), generate


def _llvm_function(name: str, docstring: str) -> Any:
    """Return a function that applies LLVM's function of that name to each lane."""

    def of_each(typing, numbers):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            kind = ir.FunctionType(_VECTOR, [_VECTOR])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f64"), args)

        return vector(vector), generate

    of_each.__doc__ = docstring
    return intrinsic(of_each)


absolute = _llvm_function("fabs", "Return the absolute values.")
floor = _llvm_function("floor", "Round down.")
rint = _llvm_function("rint", "Round half to even.")
sqrt = _llvm_function("sqrt", "Return the square roots.")


def _define_operator(operation: Callable[[Any, Any], Any], instruction: str) -> None:
    @infer_global(operation)
    class _Typed(ConcreteTemplate):
        cases: ClassVar = [signature(vector, vector, vector)]

    @lower_builtin(operation, vector, vector)
    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return getattr(builder, instruction)(*args)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define_operator(_operation, _instruction)
