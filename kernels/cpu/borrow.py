"""Arrays whose references aren't counted, for loops that several threads run over the same arrays."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def borrow(typing_context: Any, arrays: Any) -> Any:
    """The same array, or a tuple of the same arrays and numbers, that doesn't keep its memory alive.

    Numba counts the references to an array with atomic instructions, at each slice and field of a tuple. Threads that
    do so for one array wait for each other. Whoever calls the function that borrows keeps the arrays.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _drop_owner(context, builder, arrays, arguments[0])

    return arrays(arrays), generate


def _drop_owner(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.BaseTuple):
        parts = [
            _drop_owner(context, builder, part, builder.extract_value(value, i)) for i, part in enumerate(kind.types)
        ]
        return context.make_tuple(builder, kind, parts)
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = ir.Constant(array.meminfo.type, None)
        array.parent = ir.Constant(array.parent.type, None)
        return array._getvalue()
    return value
