"""A vector of sixteen 64-bit words for Numba, so that its loops use the widest registers there are.

LLVM takes current x86 servers for ones that prefer 256 bits, and vectorises Numba's plain loops so; values of this type
become two 512-bit registers with AVX-512, four 256-bit ones with AVX2, and `select` one ternary-logic instruction.
Addresses are bytes, and must be multiples of 64 where nothing else is said.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.vectors import VectorType, has_feature, spread
from eric_fast.kernels.memory import ALIGNMENT

VECTOR_WORDS = 16  # 64-bit words
WORD_BYTES = 8
VECTOR_BYTES = WORD_BYTES * VECTOR_WORDS
BLOCK_SAMPLES = 64 * VECTOR_WORDS  # whose bits a vector holds
ONES = np.uint64(0xFFFFFFFFFFFFFFFF)

_MAJORITY = 0b11101000  # of three bits, as a truth table
_LLVM_TYPE = ir.VectorType(ir.IntType(64), VECTOR_WORDS)
_VECTOR = VectorType(f"Words{VECTOR_WORDS}x64", _LLVM_TYPE)


def _pointer(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _LLVM_TYPE.as_pointer())


def _load_aligned(alignment: int) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        loaded = builder.load(_pointer(builder, arguments[0]))
        loaded.align = alignment
        return loaded

    return generate


def _store_aligned(alignment: int) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        stored = builder.store(arguments[1], _pointer(builder, arguments[0]))
        stored.align = alignment
        return context.get_dummy_value()

    return generate


@intrinsic
def load(typing_context: Any, address: Any) -> Any:
    """The vector at an address (uint64)."""
    return _VECTOR(types.uint64), _load_aligned(ALIGNMENT)


@intrinsic
def load_anywhere(typing_context: Any, address: Any) -> Any:
    """The vector at an address that is no more than a word's."""
    return _VECTOR(types.uint64), _load_aligned(WORD_BYTES)


@intrinsic
def store(typing_context: Any, address: Any, vector: Any) -> Any:
    """Write a vector to an address (uint64)."""
    return types.void(types.uint64, _VECTOR), _store_aligned(ALIGNMENT)


@intrinsic
def store_anywhere(typing_context: Any, address: Any, vector: Any) -> Any:
    """Write a vector to an address that is no more than a word's."""
    return types.void(types.uint64, _VECTOR), _store_aligned(WORD_BYTES)


@intrinsic
def store_past(typing_context: Any, address: Any, vector: Any) -> Any:
    """As `store`, past the caches: lines of which nothing is read soon need not be read to be written; see `fence`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        stored = builder.store(arguments[1], _pointer(builder, arguments[0]))
        stored.align = ALIGNMENT
        one = ir.Constant(ir.IntType(32), 1)
        stored.set_metadata("nontemporal", builder.module.add_metadata([one]))
        return context.get_dummy_value()

    return types.void(types.uint64, _VECTOR), generate


@intrinsic
def fence(typing_context: Any) -> Any:
    """What `store_past` wrote is there for other threads."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def select(typing_context: Any, bits: Any, high: Any, low: Any) -> Any:
    """Where a bit is set that of `high`, else that of `low`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, high, low = arguments
        return builder.or_(builder.and_(bits, high), builder.and_(builder.not_(bits), low))

    return _VECTOR(_VECTOR, _VECTOR, _VECTOR), generate


@intrinsic
def sum_of(typing_context: Any, first: Any, second: Any, third: Any) -> Any:
    """first ^ second ^ third: the sum of a full adder."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, second, third = arguments
        return builder.xor(builder.xor(first, second), third)

    return _VECTOR(_VECTOR, _VECTOR, _VECTOR), generate


@intrinsic
def carry_of(typing_context: Any, first: Any, second: Any, third: Any) -> Any:
    """Where two of the three or all are set: the carry of a full adder.

    As one ternary-logic instruction, which LLVM doesn't find by itself; without AVX-512 as four, one of which is also
    the sum's.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if has_feature("avx512f"):
            return _call_ternary(builder, _MAJORITY, arguments)
        first, second, third = arguments
        differs = builder.xor(first, second)
        return builder.or_(builder.and_(differs, third), builder.and_(builder.not_(differs), first))

    return _VECTOR(_VECTOR, _VECTOR, _VECTOR), generate


def _call_ternary(builder: Any, table: int, arguments: Any) -> Any:
    """Three vectors to one by a truth table, half by half: only for CPUs with AVX-512."""
    number, n_half = ir.IntType(32), VECTOR_WORDS // 2
    half = ir.VectorType(ir.IntType(64), n_half)
    kind = ir.FunctionType(half, [half, half, half, number])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.pternlog.q.512")

    def list_places(first: int, last: int) -> Any:
        return ir.Constant(ir.VectorType(number, last - first), list(range(first, last)))

    nothing = ir.Constant(_LLVM_TYPE, ir.Undefined)
    take_highs = [
        builder.call(
            function,
            [
                *(builder.shuffle_vector(vector, nothing, list_places(first, first + n_half)) for vector in arguments),
                ir.Constant(number, table),
            ],
        )
        for first in (0, n_half)
    ]
    return builder.shuffle_vector(*take_highs, list_places(0, VECTOR_WORDS))


@intrinsic
def both(typing_context: Any, left: Any, right: Any) -> Any:
    """left & right."""
    return _VECTOR(_VECTOR, _VECTOR), lambda context, builder, signature, arguments: builder.and_(*arguments)


@intrinsic
def either(typing_context: Any, left: Any, right: Any) -> Any:
    """left | right."""
    return _VECTOR(_VECTOR, _VECTOR), lambda context, builder, signature, arguments: builder.or_(*arguments)


@intrinsic
def differ(typing_context: Any, left: Any, right: Any) -> Any:
    """left ^ right."""
    return _VECTOR(_VECTOR, _VECTOR), lambda context, builder, signature, arguments: builder.xor(*arguments)


@intrinsic
def fill(typing_context: Any, word: Any) -> Any:
    """One word (uint64), sixteen times."""
    generate = lambda context, builder, signature, arguments: spread(builder, arguments[0], VECTOR_WORDS)  # noqa: E731
    return _VECTOR(types.uint64), generate


@intrinsic
def invert(typing_context: Any, bits: Any) -> Any:
    """~bits."""
    return _VECTOR(_VECTOR), lambda context, builder, signature, arguments: builder.not_(*arguments)


@intrinsic
def count_ones(typing_context: Any, word: Any) -> Any:
    """How many bits of one word (uint64) are set: int64."""
    generate = lambda context, builder, signature, arguments: builder.ctpop(arguments[0])  # noqa: E731
    return types.int64(types.uint64), generate


@intrinsic
def find_lowest(typing_context: Any, word: Any) -> Any:
    """The place of the lowest set bit of one word (uint64) that isn't zero: int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def count_reached(typing_context: Any, vector: Any, key: Any) -> Any:
    """How many of a vector's words, taken as int64, a key (int64) reaches: int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words, key = arguments
        is_reached = builder.icmp_signed("<=", words, spread(builder, key, VECTOR_WORDS))
        reached = builder.bitcast(is_reached, ir.IntType(VECTOR_WORDS))
        return builder.zext(builder.ctpop(reached), ir.IntType(64))

    return types.int64(_VECTOR, types.int64), generate


@intrinsic
def gather_words(typing_context: Any, addresses: Any) -> Any:
    """The words at sixteen addresses, each a multiple of 8."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(64).as_pointer()
        pointers = builder.inttoptr(arguments[0], ir.VectorType(pointer, VECTOR_WORDS))
        mask = ir.VectorType(ir.IntType(1), VECTOR_WORDS)
        kind = ir.FunctionType(_LLVM_TYPE, [pointers.type, ir.IntType(32), mask, _LLVM_TYPE])
        name = f"llvm.masked.gather.v{VECTOR_WORDS}i64.v{VECTOR_WORDS}{pointer.intrinsic_name}"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        settings = ir.IntType(32)(WORD_BYTES), ir.Constant(mask, [1] * VECTOR_WORDS)
        return builder.call(function, [pointers, *settings, ir.Constant(_LLVM_TYPE, ir.Undefined)])

    return _VECTOR(_VECTOR), generate


@intrinsic
def add_words(typing_context: Any, left: Any, right: Any) -> Any:
    """left + right, word by word."""
    return _VECTOR(_VECTOR, _VECTOR), lambda context, builder, signature, arguments: builder.add(*arguments)


@intrinsic
def take_high(typing_context: Any, words: Any) -> Any:
    """The high 32 bits of each word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.lshr(arguments[0], ir.Constant(_LLVM_TYPE, [32] * VECTOR_WORDS))

    return _VECTOR(_VECTOR), generate


@intrinsic
def add_reached(typing_context: Any, words: Any, step: Any, keys: Any, bounds: Any) -> Any:
    """words + step where a key reaches its bound, both taken as int64, else the word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words, step, keys, bounds = arguments
        is_reached = builder.sext(builder.icmp_signed(">=", keys, bounds), _LLVM_TYPE)
        return builder.add(words, builder.and_(is_reached, step))

    return _VECTOR(_VECTOR, _VECTOR, _VECTOR, _VECTOR), generate


@intrinsic
def any_differs(typing_context: Any, left: Any, right: Any) -> Any:
    """Whether two vectors differ in some word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = builder.bitcast(builder.icmp_unsigned("!=", *arguments), ir.IntType(VECTOR_WORDS))
        return builder.icmp_unsigned("!=", found, found.type(0))

    return types.boolean(_VECTOR, _VECTOR), generate


@intrinsic
def prefetch(typing_context: Any, address: Any) -> Any:
    """Bring the 64 bytes at an address (uint64) near; nothing is read, so any address will do."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        settings = [ir.Constant(number, value) for value in (0, 2, 1)]  # to read, moderate locality, data
        builder.call(function, [builder.inttoptr(arguments[0], byte), *settings])
        return context.get_dummy_value()

    return types.void(types.uint64), generate


@cached_njit
def mark_valid(bits: Any, n: int) -> None:
    """Set the first `n` bits of a block's words, uint64 `[VECTOR_WORDS]`, and clear the others."""
    for w in range(VECTOR_WORDS):
        rest = n - 64 * w
        bits[w] = ONES if rest >= 64 else (np.uint64(1) << np.uint64(max(rest, 0))) - np.uint64(1)
