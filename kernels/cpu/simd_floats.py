"""Vectors of sixteen float32 for Numba.

LLVM splits a vector into what the CPU has (AVX-512, AVX2, NEON), so this is as portable as a loop. Arrays, 1-D, hold
float32, int8, or the bits of 16-bit floats: int16 for float16 and uint16 for bfloat16. Indexes and strides are int64.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from eric_fast.kernels.cpu.vectors import VectorType, spread

LANES = 16
WORD = 32

_I32, _F32 = ir.IntType(32), ir.FloatType()
_INTS, _FLOATS = ir.VectorType(_I32, LANES), ir.VectorType(_F32, LANES)
_NUMBERS = ir.Constant(_INTS, list(range(LANES)))
LanesOf = VectorType("Lanes", _FLOATS)
# LLVM's names of the operators of `packing`, in order: bit 0 equal, 1 greater, 2 less, 3 unordered
_ORDERED, _UNORDERED = (None, "==", ">", ">=", "<", "<=", "!=", "ord"), ("uno", "==", ">", ">=", "<", "<=", "!=", None)


def _splat(value: Any, kind: Any) -> Any:
    return ir.Constant(ir.VectorType(kind, LANES), [value] * LANES)


def point(context: Any, builder: Any, array_type: Any, array: Any, index: Any, pointee: Any = None) -> Any:
    """A pointer to array[index], cast to a pointer to `pointee` if given."""
    pointer = builder.gep(context.make_array(array_type)(context, builder, array).data, [index])
    return builder.bitcast(pointer, pointee.as_pointer()) if pointee else pointer


def _widen(builder: Any, raw: Any, dtype: Any) -> Any:
    """Convert sixteen numbers from the dtype that they are stored as to float32, exactly."""
    if dtype == types.float32:
        return raw
    if dtype == types.int8:
        return builder.sitofp(raw, _FLOATS)
    bits = builder.zext(raw, _INTS)
    if dtype == types.uint16:
        return builder.bitcast(builder.shl(bits, _splat(16, _I32)), _FLOATS)
    # float16: shifted into place the exponent is 112 too small; infinities and NaN have the highest one in both.
    # As fast as the CPU's own conversion, and there where the CPU has none.
    size = builder.and_(bits, _splat(0x7FFF, _I32))
    number = builder.fmul(builder.bitcast(builder.shl(size, _splat(13, _I32)), _FLOATS), _splat(2.0**112, _F32))
    special = builder.icmp_unsigned(">=", size, _splat(0x7C00, _I32))
    highest = builder.select(special, _splat(0x7F800000, _I32), _splat(0, _I32))
    sign = builder.shl(builder.and_(bits, _splat(0x8000, _I32)), _splat(16, _I32))
    return builder.bitcast(builder.or_(builder.or_(builder.bitcast(number, _INTS), highest), sign), _FLOATS)


@intrinsic
def load_lanes(_: Any, array: Any, index: Any) -> Any:
    """array[index : index + 16]"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dtype = signature.args[0].dtype
        stored = ir.VectorType(context.get_data_type(dtype), LANES)
        raw = builder.load(point(context, builder, signature.args[0], args[0], args[1], stored))
        raw.align = dtype.bitwidth // 8
        return _widen(builder, raw, dtype)

    return LanesOf(array, types.int64), generate


@intrinsic
def gather(_: Any, array: Any, index: Any, step: Any, count: Any) -> Any:
    """array[index + step * lane] in the first `count` lanes; the rest hold anything."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, index, step, count = args
        dtype = signature.args[0].dtype
        kind = context.get_data_type(dtype)
        kept = cgutils.alloca_once(builder, ir.VectorType(kind, LANES))
        first = builder.bitcast(kept, kind.as_pointer())
        n = builder.select(builder.icmp_signed("<", count, count.type(LANES)), count, count.type(LANES))
        with cgutils.for_range(builder, n) as loop:  # a loop, as sixteen loads side by side take long to compile
            place = builder.add(index, builder.mul(step, loop.index))
            value = builder.load(point(context, builder, signature.args[0], array, place))
            builder.store(value, builder.gep(first, [loop.index]))
        return _widen(builder, builder.load(kept), dtype)

    return LanesOf(array, types.int64, types.int64, types.int64), generate


@intrinsic
def store_lanes(_: Any, array: Any, index: Any, lanes: Any) -> Any:
    """array[index : index + 16] = lanes"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], point(context, builder, signature.args[0], args[0], args[1], _FLOATS)).align = 4
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), generate


@intrinsic
def fill_lanes(_: Any, value: Any) -> Any:
    """The same number in every lane."""
    return LanesOf(types.float32), lambda context, builder, signature, args: spread(builder, args[0], LANES)


@intrinsic
def keep_lanes(_: Any, lanes: Any, count: Any, other: Any) -> Any:
    """The first `count` lanes, and `other` in the rest."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        inside = builder.icmp_signed("<", _NUMBERS, spread(builder, builder.trunc(args[1], _I32), LANES))
        return builder.select(inside, args[0], spread(builder, args[2], LANES))

    return LanesOf(LanesOf, types.int64, types.float32), generate


@intrinsic
def add(_: Any, x: Any, y: Any) -> Any:
    """x + y."""
    return LanesOf(LanesOf, LanesOf), lambda context, builder, signature, args: builder.fadd(*args)


@intrinsic
def add_norm_term(_: Any, total: Any, x: Any, kept: Any, squared: Any, one: Any) -> Any:
    """total + a * (a & squared | one), where a = x & kept: adds |x|, x * x or x, depending on the masks (uint32)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total, x, *masks = args
        kept, squared, one = (spread(builder, mask, LANES) for mask in masks)
        a = builder.and_(builder.bitcast(x, _INTS), kept)
        b = builder.bitcast(builder.or_(builder.and_(a, squared), one), _FLOATS)
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        multiply_add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
        return builder.call(multiply_add, [builder.bitcast(a, _FLOATS), b, total])

    return LanesOf(LanesOf, LanesOf, types.uint32, types.uint32, types.uint32), generate


def _larger(builder: Any, x: Any, y: Any) -> Any:
    """The larger; NaN where either is."""
    either = builder.or_(builder.fcmp_ordered(">", x, y), builder.fcmp_unordered("uno", x, x))
    return builder.select(either, x, y)


@intrinsic
def larger(_: Any, x: Any, y: Any) -> Any:
    """The larger of each lane; NaN where either is."""
    return LanesOf(LanesOf, LanesOf), lambda context, builder, signature, args: _larger(builder, *args)


def _fold(builder: Any, lanes: Any, combine: Callable[[Any, Any, Any], Any]) -> Any:
    """Combine the lanes to one number, a half with the other until one is left."""
    half = LANES // 2
    while half:
        nothing = ir.Constant(lanes.type, ir.Undefined)
        index = ir.VectorType(_I32, half)
        low = builder.shuffle_vector(lanes, nothing, ir.Constant(index, list(range(half))))
        high = builder.shuffle_vector(lanes, nothing, ir.Constant(index, list(range(half, 2 * half))))
        lanes, half = combine(builder, low, high), half // 2
    return builder.extract_element(lanes, ir.Constant(_I32, 0))


@intrinsic
def sum_lanes(_: Any, lanes: Any) -> Any:
    """The sum of all lanes: float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fold(builder, args[0], lambda builder, x, y: builder.fadd(x, y))

    return types.float32(LanesOf), generate


@intrinsic
def largest_lane(_: Any, lanes: Any) -> Any:
    """The largest of all lanes, NaN if one is: float32."""
    return types.float32(LanesOf), lambda context, builder, signature, args: _fold(builder, args[0], _larger)


@intrinsic
def sum_rows(_: Any, array: Any, index: Any) -> Any:
    """Lane i: the sum of array[index + 16 * i : index + 16 * i + 16], in a third of the time of sixteen `sum_lanes`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = []
        for i in range(LANES):
            place = builder.add(args[1], ir.Constant(args[1].type, LANES * i))
            row = builder.load(point(context, builder, signature.args[0], args[0], place, _FLOATS))
            row.align = 4
            rows.append(row)
        # Two rows become one that holds the halves of both, added; bit b of a lane then says which of the two
        for b in (8, 4, 2, 1):
            lanes = [n if not n & b else n - b + LANES for n in range(LANES)]
            low, high = ir.Constant(_INTS, lanes), ir.Constant(_INTS, [n + b for n in lanes])
            half = len(rows) // 2
            rows = [
                builder.fadd(
                    builder.shuffle_vector(rows[i], rows[i + half], low),
                    builder.shuffle_vector(rows[i], rows[i + half], high),
                )
                for i in range(half)
            ]
        return rows[0]

    return LanesOf(array, types.int64), generate


@intrinsic
def transpose_tile(_: Any, source: Any, index: Any, stride: Any, target: Any, to: Any, to_stride: Any) -> Any:
    """target[to + j * to_stride + i] = source[index + i * stride + j] for i, j below 16; floats of any width."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, index, stride, target, to, to_stride = args
        dtype = signature.args[0].dtype
        stored = ir.VectorType(context.get_data_type(dtype), LANES)
        rows = []
        for i in range(LANES):
            place = builder.add(index, builder.mul(stride, ir.Constant(stride.type, i)))
            row = builder.load(point(context, builder, signature.args[0], source, place, stored))
            row.align = dtype.bitwidth // 8
            rows.append(row)
        # Rows i and i + 8 interleaved, four times: index bits (row, lane) turn by one place each time
        half = LANES // 2
        pairs = [n // 2 + LANES * (n % 2) for n in range(LANES)]
        low = ir.Constant(_INTS, pairs)
        high = ir.Constant(_INTS, [n + half for n in pairs])
        for _step in range(4):
            rows = [
                builder.shuffle_vector(rows[i], rows[i + half], lanes) for i in range(half) for lanes in (low, high)
            ]
        for j in range(LANES):
            place = builder.add(to, builder.mul(to_stride, ir.Constant(to_stride.type, j)))
            pointer = point(context, builder, signature.args[3], target, place, stored)
            builder.store(rows[j], pointer).align = dtype.bitwidth // 8
        return context.get_dummy_value()

    index_types = (types.int64, types.int64)
    return types.void(source, *index_types, target, *index_types), generate


@intrinsic
def compare_word(_: Any, array: Any, index: Any, constant: Any, operator: Any) -> Any:
    """uint32: bit i is `array[index + i] operator constant`; floats of any width, int8 operator of `packing`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, index, constant, operator = args
        dtype = signature.args[0].dtype
        stored = ir.VectorType(context.get_data_type(dtype), WORD)
        values = builder.load(point(context, builder, signature.args[0], array, index, stored))
        values.align = dtype.bitwidth // 8
        constants = spread(builder, constant, WORD)
        done = builder.append_basic_block("compared")
        choice = builder.switch(operator, done)  # a program has few operators: the branch is foreseen
        with builder.goto_block(done):
            word = builder.phi(_I32)
        word.add_incoming(ir.Constant(_I32, 0), builder.block)  # operator 0: never true
        for code in range(1, 16):
            block = builder.append_basic_block(f"operator{code}")
            choice.add_case(ir.Constant(operator.type, code), block)
            with builder.goto_block(block):
                if code == 15:
                    bits = ir.Constant(_I32, 0xFFFFFFFF)
                else:
                    name = _ORDERED[code] if code < 8 else _UNORDERED[code - 8]
                    compare = builder.fcmp_ordered if code < 8 else builder.fcmp_unordered
                    bits = builder.bitcast(compare(name, values, constants), _I32)
                builder.branch(done)
                word.add_incoming(bits, block)
        builder.position_at_end(done)
        return word

    return types.uint32(array, types.int64, array.dtype, types.int8), generate
