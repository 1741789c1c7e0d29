"""Numbers and sums of many samples at a time for Numba: vectors of 32 numbers of 16 bits, and of eight float64.

What makes numbers of bits, a word of each binary digit at a time; see `vectors` for why these are types of their own.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from eric_fast.kernels.cpu.vectors import VectorType, spread
from eric_fast.kernels.decision_tables import SUM_COLUMNS  # float64 in a vector

CODE_SAMPLES = 32  # numbers in a vector: a word of 32 bits has a digit of each

_CODES_IR = ir.VectorType(ir.IntType(16), CODE_SAMPLES)
_SUMS_IR = ir.VectorType(ir.DoubleType(), SUM_COLUMNS)


_CODES = VectorType(f"Codes{CODE_SAMPLES}x16", _CODES_IR)
_SUMS = VectorType(f"Sums{SUM_COLUMNS}x64", _SUMS_IR)


def _repeat(vector: Any, value: int) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def _select_bits(builder: Any, word: Any, n: int) -> Any:
    return builder.bitcast(word, ir.VectorType(ir.IntType(1), n))


@intrinsic
def no_codes(typing_context: Any) -> Any:
    """32 zeros."""
    return _CODES(), lambda context, builder, signature, arguments: _repeat(_CODES_IR, 0)


@intrinsic
def push_digit(typing_context: Any, codes: Any, word: Any) -> Any:
    """Each number doubled, plus its bit of a word (uint32)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        codes, word = arguments
        doubled = builder.add(codes, codes)
        added = builder.add(doubled, _repeat(_CODES_IR, 1))
        return builder.select(_select_bits(builder, word, CODE_SAMPLES), added, doubled)

    return _CODES(_CODES, types.uint32), generate


@intrinsic
def set_none(typing_context: Any, codes: Any, word: Any) -> Any:
    """-1 where the bit of a word (uint32) is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        codes, word = arguments
        return builder.select(_select_bits(builder, word, CODE_SAMPLES), _repeat(_CODES_IR, -1), codes)

    return _CODES(_CODES, types.uint32), generate


def _store_wide(extend: str) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.VectorType(ir.IntType(32), CODE_SAMPLES)
        place = builder.inttoptr(arguments[0], wide.as_pointer())
        stored = builder.store(getattr(builder, extend)(arguments[1], wide), place)
        stored.align = 4
        return context.get_dummy_value()

    return generate


@intrinsic
def store_numbers(typing_context: Any, address: Any, codes: Any) -> Any:
    """Write 32 numbers as unsigned ones of 32 bits to an address (uint64)."""
    return types.void(types.uint64, _CODES), _store_wide("zext")


@intrinsic
def store_answers(typing_context: Any, address: Any, codes: Any) -> Any:
    """Write 32 numbers as signed ones of 32 bits to an address (uint64)."""
    return types.void(types.uint64, _CODES), _store_wide("sext")


@intrinsic
def load_sums(typing_context: Any, address: Any) -> Any:
    """Eight float64 at an address (uint64)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        loaded = builder.load(builder.inttoptr(arguments[0], _SUMS_IR.as_pointer()))
        loaded.align = 8
        return loaded

    return _SUMS(types.uint64), generate


@intrinsic
def store_sums(typing_context: Any, address: Any, sums: Any) -> Any:
    """Write eight float64 to an address (uint64)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        stored = builder.store(arguments[1], builder.inttoptr(arguments[0], _SUMS_IR.as_pointer()))
        stored.align = 8
        return context.get_dummy_value()

    return types.void(types.uint64, _SUMS), generate


@intrinsic
def add_sums(typing_context: Any, left: Any, right: Any) -> Any:
    """left + right."""
    return _SUMS(_SUMS, _SUMS), lambda context, builder, signature, arguments: builder.fadd(*arguments)


@intrinsic
def add_where(typing_context: Any, sums: Any, bits: Any, weight: Any) -> Any:
    """A weight (float64) added where one of eight bits (uint8) is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, bits, weight = arguments
        added = builder.fadd(sums, spread(builder, weight, SUM_COLUMNS))
        return builder.select(_select_bits(builder, bits, SUM_COLUMNS), added, sums)

    return _SUMS(_SUMS, types.uint8, types.float64), generate
