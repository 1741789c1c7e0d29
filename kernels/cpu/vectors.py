"""Vectors as types of Numba's: their values stay in vector registers, unlike those of Numba's own loops."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import models, register_model


def has_feature(name: str) -> bool:
    """Whether code may use an extension of the processor, such as `avx2`, by LLVM's name."""
    features: str = cpu_target.target_context.codegen().magic_tuple()[2]
    return f"+{name}" in features.split(",")


class VectorType(types.Type):
    """A vector that LLVM calls `llvm_type`; the name tells it from others."""

    def __init__(self, name: str, llvm_type: Any) -> None:
        self.llvm_type = llvm_type
        super().__init__(name)


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, numba_type.llvm_type)


def spread(builder: Any, value: Any, n: int) -> Any:
    """A scalar in every one of `n` lanes."""
    nothing = ir.Constant(ir.VectorType(value.type, n), ir.Undefined)
    first = builder.insert_element(nothing, value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), n), None))
