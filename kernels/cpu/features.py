"""What the processor can do that Numba compiles for."""

from numba.core.registry import cpu_target


def has_feature(name: str) -> bool:
    """Whether code may use an extension of the processor, such as `avx2`, by LLVM's name."""
    features: str = cpu_target.target_context.codegen().magic_tuple()[2]
    return f"+{name}" in features.split(",")
