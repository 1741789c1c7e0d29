"""What each opcode that computes means, as an expression; an opcode or a modifier that isn't here is refused."""

from collections.abc import Callable

from tests.ptx.operands import NUMPY_KINDS, UnknownOpcodeError

Value = Callable[[int, str], str]  # the expression of operand `i`, as lanes of a kind of PTX

SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "and": "&", "or": "|", "xor": "^"}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
COMPARISONS |= {"lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
WIDER = {"s16": "s32", "u16": "u32", "s32": "s64", "u32": "u64"}
FLOATS = ("f32", "f64")
PAIRS = {"f16x2": "larger_f16_pairs", "bf16x2": "larger_bf16_pairs", "bf16": "larger_bf16"}


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
    is_float = kind in FLOATS
    if name == "cvt":
        return _convert(parts, value)
    if name == "setp" and len(modifiers) == 1:
        return _compare(parts, modifiers[0], kind, value)
    if name in ("bfe", "shl", "shr") and not modifiers:
        return _shift(name, kind, operands, value)
    found = None
    if key in ("mov", "selp", "not", "neg", "abs", "popc"):
        found = {
            "mov": "{0}",
            "selp": "np.where({2}, {0}, {1})",
            "not": "~{0}",
            "neg": "-{0}",
            "abs": _absolute(kind),
            "popc": "np.bitwise_count({0}).astype(uint32)",
        }[key]
    elif name in SYMBOLS and (
        not modifiers or (modifiers == ["lo"] and name == "mul") or (modifiers == ["rn"] and is_float)
    ):
        found = f"{{0}} {SYMBOLS[name]} {{1}}"
    elif key in ("min", "max"):
        found = f"np.{'f' if is_float else ''}{name}{'' if is_float else 'imum'}({{0}}, {{1}})"
    elif key == "max.NaN":
        found = f"{PAIRS.get(kind, 'np.maximum')}({{0}}, {{1}})"
    elif key == "mad.lo":
        found = "{0} * {1} + {2}"
    elif key in ("mul.wide", "mad.wide"):
        wide = NUMPY_KINDS[WIDER[kind]]
        product = f"{value(0, kind)}.astype({wide}) * {value(1, kind)}.astype({wide})"
        return product if name == "mul" else f"{product} + {value(2, WIDER[kind])}"
    elif key == "fma.rn" and is_float:
        found = "multiply_add({0}, {1}, {2})"
    elif key in ("div.rn", "sqrt.rn") and is_float:
        found = "{0} / {1}" if name == "div" else "np.sqrt({0})"
    elif key == "prmt":
        found = "permute_bytes({0}, {1}, {2})"
    if found is None:
        raise UnknownOpcodeError(".".join(parts))
    kinds = ["pred" if name == "selp" and i == 2 else kind for i in range(len(operands))]
    return found.format(*(value(i, of_operand) for i, of_operand in enumerate(kinds)))


def _absolute(kind: str) -> str:
    masks = {"f16": "0x7FFF", "bf16": "0x7FFF", "f16x2": "0x7FFF7FFF", "bf16x2": "0x7FFF7FFF"}
    if kind in ("bf16", "f16x2", "bf16x2"):
        return f"{{0}} & {NUMPY_KINDS[kind]}({masks[kind]})"
    return "np.abs({0})"


def _shift(name: str, kind: str, operands: tuple[str, ...], value: Value) -> str:
    if name == "bfe":
        return f"extract_field({value(0, kind)}, {int(operands[1], 0)}, {int(operands[2], 0)})"
    return f"shift_{'left' if name == 'shl' else 'right'}({value(0, kind)}, {value(1, 'u32')})"


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
