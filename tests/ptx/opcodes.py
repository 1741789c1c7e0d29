"""What each opcode that computes means, as an expression; an opcode or a modifier that isn't here is refused."""

from collections.abc import Callable

from tests.ptx.operands import NUMPY_KINDS, UnknownOpcodeError

Value = Callable[[int, str], str]  # the expression of operand `i`, as lanes of a kind of PTX

BITWISE = {"and": "{0} & {1}", "or": "{0} | {1}", "xor": "{0} ^ {1}", "not": "~{0}"}
WHOLE = {
    **BITWISE,
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul.lo": "{0} * {1}",
    "mad.lo": "{0} * {1} + {2}",
    "neg": "-{0}",
    "abs": "np.abs({0})",
    "min": "np.minimum({0}, {1})",
    "max": "np.maximum({0}, {1})",
    "shl": "shift_left({0}, {1})",
    "shr": "shift_right({0}, {1})",
    "popc": "np.bitwise_count({0}).astype(uint32)",
    "prmt": "permute_bytes({0}, {1}, {2})",
}
REAL = {
    **dict.fromkeys(("add", "add.rn"), "{0} + {1}"),
    **dict.fromkeys(("sub", "sub.rn"), "{0} - {1}"),
    **dict.fromkeys(("mul", "mul.rn"), "{0} * {1}"),
    "div.rn": "{0} / {1}",
    "fma.rn": "multiply_add({0}, {1}, {2})",
    "sqrt.rn": "np.sqrt({0})",
    "neg": "-{0}",
    "abs": "np.abs({0})",
    "min": "np.fmin({0}, {1})",
    "max": "np.fmax({0}, {1})",
    "max.NaN": "np.maximum({0}, {1})",
}
PAIRED = {
    **dict.fromkeys(("add", "add.rn"), "pairwise(np.add, {0}, {1})"),
    **dict.fromkeys(("mul", "mul.rn"), "pairwise(np.multiply, {0}, {1})"),
    "fma.rn": "pairwise(multiply_add, {0}, {1}, {2})",
}
# By kind; `mov` and `selp` are the same for all.
MEANINGS: dict[str, dict[str, str]] = {
    **{f"{letter}{bits}": WHOLE for letter in "bus" for bits in (16, 32, 64)},
    "pred": BITWISE,
    "f32": REAL,
    "f64": REAL,
    "f16": {"abs": "np.abs({0})", "max.NaN": "np.maximum({0}, {1})"},
    "bf16": {"abs": "{0} & uint16(0x7FFF)", "max.NaN": "larger_bf16({0}, {1})"},
    "f16x2": {"abs": "{0} & uint32(0x7FFF7FFF)", "max.NaN": "larger_f16_pairs({0}, {1})"},
    "bf16x2": {"abs": "{0} & uint32(0x7FFF7FFF)", "max.NaN": "larger_bf16_pairs({0}, {1})"},
    "f32x2": PAIRED,
}
MOVES = {"mov": "{0}", "selp": "np.where({2}, {0}, {1})"}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
COMPARISONS |= {"lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
WIDER = {"s16": "s32", "u16": "u32", "s32": "s64", "u32": "u64"}
FLOATS = ("f32", "f64")


def express(parts: tuple[str, ...], operands: tuple[str, ...], value: Value) -> str:
    """An expression of what an instruction computes, as lanes of its type.

    Args:
        parts: of the opcode, its type last.
        operands: those that it reads, as text.
    """
    name, *modifiers, kind = parts
    key = ".".join([name, *modifiers])
    if kind not in NUMPY_KINDS:
        raise UnknownOpcodeError(".".join(parts))
    if name == "cvt":
        return _convert(parts, value)
    if name == "setp" and len(modifiers) == 1:
        return _compare(parts, modifiers[0], kind, value)
    if key == "bfe":
        return f"extract_field({value(0, kind)}, {int(operands[1], 0)}, {int(operands[2], 0)})"
    if key in ("mul.wide", "mad.wide") and kind in WIDER:
        wide = NUMPY_KINDS[WIDER[kind]]
        product = f"{value(0, kind)}.astype({wide}) * {value(1, kind)}.astype({wide})"
        return product if name == "mul" else f"{product} + {value(2, WIDER[kind])}"
    if key == "fma.rn.f32" and kind in ("f16", "bf16"):
        widen = "{}.astype(float32)" if kind == "f16" else "widen_bf16({})"
        factors = ", ".join(widen.format(value(i, kind)) for i in (0, 1))
        return f"multiply_add({factors}, {value(2, 'f32')})"
    template = MOVES.get(key) or MEANINGS.get(kind, {}).get(key)
    if name == "max" and len(operands) == 3 and template == REAL["max.NaN"]:
        template = "np.maximum({0}, np.maximum({1}, {2}))"
    if template is None or f"{{{len(operands) - 1}}}" not in template or f"{{{len(operands)}}}" in template:
        raise UnknownOpcodeError(".".join(parts))
    others = {("selp", 2): "pred", ("shl", 1): "u32", ("shr", 1): "u32"}
    return template.format(*(value(i, others.get((key, i), kind)) for i in range(len(operands))))


def _compare(parts: tuple[str, ...], comparison: str, kind: str, value: Value) -> str:
    a, b = value(0, kind), value(1, kind)
    if kind.startswith(("f", "bf")):
        if kind not in FLOATS or comparison not in ("eq", "lt", "le", "gt", "ge", "neu"):
            raise UnknownOpcodeError(".".join(parts))
        comparison = comparison.removesuffix("u")  # NumPy's `!=` is true of NaN, as `neu`
    if comparison not in COMPARISONS:
        raise UnknownOpcodeError(".".join(parts))
    return f"{a} {COMPARISONS[comparison]} {b}"


def _convert(parts: tuple[str, ...], value: Value) -> str:
    _, *modifiers, target, source = parts
    if modifiers not in ([], ["rn"]) or target not in NUMPY_KINDS or source not in NUMPY_KINDS:
        raise UnknownOpcodeError(".".join(parts))
    whole = "usb"
    if source == "bf16" and target == "f32" and not modifiers:
        return f"widen_bf16({value(0, 'bf16')})"
    is_exact = (source[0] in whole and target[0] in whole) or (source, target) in (("f16", "f32"), ("f32", "f64"))
    is_rounded = source[0] in "us" and target in FLOATS and modifiers == ["rn"]
    if "bf16" in (source, target) or not ((is_exact and not modifiers) or is_rounded):
        raise UnknownOpcodeError(".".join(parts))
    return f"{value(0, source)}.astype({NUMPY_KINDS[target]})"
