"""Operands of PTX as expressions of NumPy arrays; every register holds unsigned numbers of its width, or bools."""

import re
from typing import Any

import numpy as np

NUMPY_KINDS = {
    **{f"{letter}{bits}": f"uint{bits}" for letter in "bu" for bits in (8, 16, 32, 64)},
    **{f"s{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"f{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "bf16": "uint16",
    "f16x2": "uint32",
    "bf16x2": "uint32",
    "f32x2": "uint64",
    "pred": "bool",
}
REGISTERS = {"p": "bool", "rs": "uint16", "r": "uint32", "rd": "uint64"}


class UnknownOpcodeError(Exception):
    """PTX that nothing here says the meaning of."""


def find_width(register: str) -> str:
    """The NumPy type of a register's lanes: `%rd3` -> `uint64`."""
    found = re.fullmatch(r"%([a-z]+)\d+", register)
    if found is None or found[1] not in REGISTERS:
        raise UnknownOpcodeError(f"register {register}")
    return REGISTERS[found[1]]


class Constants:
    """Arrays of one value that the code names: `C[3]`."""

    def __init__(self) -> None:
        self.arrays: list[Any] = []

    def name(self, number: int, kind: str) -> str:
        """An expression of this number's bits, of a NumPy type."""
        if kind == "bool":
            array: Any = np.array([bool(number)])
        else:
            bits = 8 * np.dtype(kind).itemsize
            array = np.array([number % (1 << bits)], f"uint{bits}").view(kind)
        self.arrays.append(array)
        return f"C[{len(self.arrays) - 1}]"


def read_operand(operand: str, kind: str, constants: Constants) -> str:
    """An expression of an operand as lanes of a NumPy type; of a wider register the low bits."""
    if operand.startswith("%") and "." in operand:
        return f"T.special['{operand}']"
    if operand.startswith(("%", "!%")):
        have = find_width(operand.removeprefix("!"))
        lanes = f"R['{operand.removeprefix('!')}']"
        if have == "bool" or kind == "bool":
            if have != kind:
                raise UnknownOpcodeError(f"{operand} as {kind}")
            return f"~{lanes}" if operand.startswith("!") else lanes
        bits, wanted = 8 * np.dtype(have).itemsize, 8 * np.dtype(kind).itemsize
        if wanted > bits:
            raise UnknownOpcodeError(f"{operand} as {kind}")
        lanes = lanes if bits == wanted else f"{lanes}.astype(uint{wanted})"
        return lanes if kind == f"uint{wanted}" else f"{lanes}.view({kind})"
    if operand == "global_smem":
        return constants.name(0, kind)
    if operand[:2] in ("0f", "0d"):
        return constants.name(int(operand[2:], 16), kind)
    try:
        return constants.name(int(operand.removesuffix("U"), 0), kind)
    except ValueError:
        raise UnknownOpcodeError(f"operand {operand}") from None


def read_address(operand: str, constants: Constants) -> str:
    """An expression of the addresses `[%rd3 + 8]`: uint64 lanes."""
    found = re.fullmatch(r"\[\s*([%\w]+)\s*(?:\+\s*(-?\w+)\s*)?\]", operand)
    if found is None:
        raise UnknownOpcodeError(f"address {operand}")
    base, offset = found[1], int(found[2] or "0", 0)
    width = find_width(base) if base.startswith("%") else "uint64"
    address = read_operand(base, width, constants)
    address = address if width == "uint64" else f"{address}.astype(uint64)"
    return f"{address} + {constants.name(offset, 'uint64')}" if offset else address


def list_vector(operand: str) -> list[str]:
    """`{%r1, %r2}` -> its registers; one register -> that."""
    return [part.strip() for part in operand.strip("{}").split(",")]
