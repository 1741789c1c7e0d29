"""Arrays that compiled functions borrow: the same memory, and no owner."""

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from eric_fast.kernels.cpu.borrow import borrow


class Held(NamedTuple):
    array: np.ndarray
    nested: tuple
    number: int


@intrinsic
def has_owner(typing_context, array):
    def generate(context, builder, signature, arguments):
        return cgutils.is_not_null(builder, context.make_array(array)(context, builder, arguments[0]).meminfo)

    return types.boolean(array), generate


@njit
def write_borrowed(held):
    owned = has_owner(held.array), has_owner(held.nested[0])
    held = Held(*borrow(held))
    held.array[1] += held.number
    held.nested[0][-1, 0] = 7
    return owned, (has_owner(held.array), has_owner(held.nested[0]))


def test_a_borrowed_array_is_the_same_memory_without_an_owner():
    array, nested = np.arange(4), np.zeros((2, 3), np.float32)
    assert write_borrowed(Held(array, (nested,), 5)) == ((True, True), (False, False))
    assert array.tolist() == [0, 6, 2, 3]
    assert nested.tolist() == [[0, 0, 0], [7, 0, 0]]
