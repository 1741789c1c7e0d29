"""PTX to Python: a function for each block of instructions, over all threads at once."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.ptx import arithmetic
from tests.ptx.machine import WARP, Code, Step
from tests.ptx.opcodes import express
from tests.ptx.operands import (
    NUMPY_KINDS,
    Constants,
    UnknownOpcodeError,
    find_width,
    list_vector,
    read_address,
    read_operand,
)
from tests.ptx.text import Instruction, Routine

REDUCTIONS = {
    "redux.sync.add.s32": ("np.add", "int32"),
    "redux.sync.max.NaN.f32": ("np.maximum", "float32"),
}


def translate(routine: Routine, numbers: Sequence[int] | None = None) -> list[Code]:
    """The code of a kernel; raises UnknownOpcodeError with the line of what isn't known.

    numbers: of the blocks to translate, all of them unless given.
    """
    constants = Constants()
    source = []
    numbers = range(len(routine.blocks)) if numbers is None else numbers
    for number in numbers:
        source.append(f"def block_{number}(T, R, who):")
        for instruction in routine.blocks[number]:
            try:
                lines = _Translator(instruction, routine, constants).translate()
            except UnknownOpcodeError as error:
                raise UnknownOpcodeError(f"line {instruction.line}, {instruction.opcode}: {error}") from None
            source += [f"    T.line = {instruction.line}", *(f"    {line}" for line in lines)]
        source.append("    return Step('next')")
    names: dict[str, Any] = {"np": np, "C": constants.arrays, "Step": Step}
    names |= {kind: getattr(np, kind) for kind in set(NUMPY_KINDS.values()) - {"bool"}}
    names |= {name: function for name, function in vars(arithmetic).items() if callable(function)}
    exec(compile("\n".join(source), f"<{routine.name}>", "exec"), names)
    return [names[f"block_{number}"] for number in numbers]


class _Translator:
    """One instruction; `mask` is the name of the threads that run it."""

    def __init__(self, instruction: Instruction, routine: Routine, constants: Constants) -> None:
        self.instruction, self.routine, self.constants = instruction, routine, constants
        self.operands, self.parts = instruction.operands, instruction.parts
        self.mask = "who" if instruction.predicate is None else "m"

    def translate(self) -> list[str]:
        """Lines of Python."""
        name = self.parts[0]
        if name in ("bra", "bar", "barrier", "ret"):
            return self._translate_control()
        lines = []
        if self.instruction.predicate is not None:
            lines.append(f"m = T.narrow(who, {self._read(self.instruction.predicate, 'bool')})")
        if name in ("ld", "st"):
            return lines + self._translate_copy()
        if name in ("red", "atom"):
            return lines + self._translate_addition()
        if name in ("ldmatrix", "stmatrix"):
            return lines + self._translate_matrix()
        if name in ("shfl", "redux"):
            return lines + self._translate_exchange()
        if name == "mov" and "{" in "".join(self.operands):
            return lines + self._translate_packing()
        target, *sources = self.operands
        lanes = express(self.parts, tuple(sources), lambda i, kind: self._read(sources[i], NUMPY_KINDS[kind]))
        return [*lines, self._write(target, lanes)]

    def _read(self, operand: str, kind: str) -> str:
        return read_operand(operand, kind, self.constants)

    def _read_half(self, operand: str, bits: int) -> str:
        """A part of a wider register; NaN where nothing was written: LLVM packs such registers beside what it wants."""
        lanes = self._read(operand, f"uint{bits}")
        if not operand.startswith("%"):
            return lanes
        nothing = self.constants.name(0x7FF8DEAD7FC0DEAD, find_width(operand))
        return lanes.replace(f"R['{operand}']", f"R.get('{operand}', {nothing})")

    def _write(self, register: str, lanes: str) -> str:
        width = find_width(register)
        lanes = lanes if width == "bool" else f"to_width({lanes}, {width})"
        return f"T.merge(R, '{register}', {self.mask}, {lanes})"

    def _refuse(self) -> UnknownOpcodeError:
        return UnknownOpcodeError("its modifiers or operands have no meaning here")

    def _translate_control(self) -> list[str]:
        name, predicate = self.parts[0], self.instruction.predicate
        if name == "bra" and self.parts[1:] in ((), ("uni",)):
            target = self.routine.labels[self.operands[0]]
            if predicate is None:
                return [f"return Step('jump', {target})"]
            return [f"return Step('branch', {target}, {self._read(predicate, 'bool')})"]
        if predicate is not None:
            raise self._refuse()
        if self.instruction.opcode == "ret":
            return ["return Step('end')"]
        is_whole = self.instruction.opcode in ("bar.sync", "barrier.sync") and self.operands == ("0",)
        is_warp = self.instruction.opcode == "bar.warp.sync" and self.routine.n_threads == WARP
        if not is_whole and not is_warp:
            raise self._refuse()
        return ["return Step('wait')"]

    def _translate_copy(self) -> list[str]:
        name, space, *modifiers, kind = self.parts
        size, vectors = np.dtype(NUMPY_KINDS[kind]).itemsize, [m for m in modifiers if re.fullmatch(r"v[248]", m)]
        if modifiers != vectors or space not in ("global", "shared", "param"):
            raise self._refuse()
        memory, registers = (self.operands[1], self.operands[0])[:: 1 if name == "ld" else -1]
        vector = list_vector(registers)
        if len(vector) != (int(vectors[0][1:]) if vectors else 1):
            raise self._refuse()
        if space == "param":
            parameter = f"T.grid.parameters['{memory.strip('[] ')}']"
            number = f"np.array([{parameter} % {1 << 8 * size}], uint{8 * size})"
            return [self._write(vector[0], self._interpret(number, kind))]
        address = read_address(memory, self.constants)
        if name == "ld":
            lines = [f"v = T.load('{space}', {address}, {size}, {len(vector)}, {self.mask})"]
            return lines + [self._write(r, self._interpret(f"v[{k}]", kind)) for k, r in enumerate(vector)]
        values = ", ".join(self._read(register, f"uint{8 * size}") for register in vector)
        return [f"T.store('{space}', {address}, {size}, [{values}], {self.mask})"]

    def _interpret(self, lanes: str, kind: str) -> str:
        """Unsigned lanes as what the kind says, so that a wider register extends them so."""
        return f"{lanes}.view({NUMPY_KINDS[kind]})" if kind.startswith("s") else lanes

    def _translate_addition(self) -> list[str]:
        *modifiers, kind = self.parts[1:]
        if modifiers != ["global", "gpu", "relaxed", "add"] or kind not in ("u32", "s32", "u64"):
            raise self._refuse()
        *old, memory, value = self.operands
        size = np.dtype(NUMPY_KINDS[kind]).itemsize
        lanes = self._read(list_vector(value)[0], f"uint{8 * size}")
        forget = [f"R.pop('{old[0]}', None)"] if old else []  # what was there before isn't known: not to be read
        return [f"T.add({read_address(memory, self.constants)}, {size}, {lanes}, {self.mask})", *forget]

    def _translate_matrix(self) -> list[str]:
        """8x8 matrices of 16-bit numbers: thread 8j + i has the address of row i of matrix j, and words of all rows."""
        name, count = self.parts[0], int(self.parts[4][1:])
        if self.parts[1:] != ("sync", "aligned", "m8n8", f"x{count}", "shared", "b16"):
            raise self._refuse()
        memory, registers = self.operands if name == "stmatrix" else self.operands[::-1]
        lines = [f"a = {read_address(memory, self.constants)}"]
        for j, register in enumerate(list_vector(registers)):
            lines.append(f"w = T.exchange(a, {self.mask}, {8 * j} + T.lane // 4) + 4 * (T.lane % 4).astype(uint64)")
            if name == "ldmatrix":
                lines.append(f"v = T.load('shared', w, 4, 1, {self.mask})[0]")
                lines.append(self._write(register, "v"))
            else:
                lines.append(f"T.store('shared', w, 4, [{self._read(register, 'uint32')}], {self.mask})")
        return lines

    def _translate_exchange(self) -> list[str]:
        target, source, *others = self.operands
        if self.instruction.opcode in REDUCTIONS:
            operation, kind = REDUCTIONS[self.instruction.opcode]
            return [self._write(target, f"T.reduce({operation}, {self._read(source, kind)}, {self.mask})")]
        orders = {"bfly": "T.lane ^ {}", "idx": "{}"}
        if self.parts[:2] != ("shfl", "sync") or self.parts[2] not in orders or self.parts[3:] != ("b32",):
            raise self._refuse()
        if others[1:] != ["31", "-1"]:
            raise self._refuse()
        order = orders[self.parts[2]].format(self._read(others[0], "uint32"))
        return [self._write(target, f"T.exchange({self._read(source, 'uint32')}, {self.mask}, {order})")]

    def _translate_packing(self) -> list[str]:
        target, source = self.operands
        if target.startswith("{"):
            registers, whole = list_vector(target), find_width(source)
            bits = 8 * np.dtype(whole).itemsize // len(registers)
            return [
                self._write(register, f"(R['{source}'] >> {whole}({k * bits})).astype(uint{bits})")
                for k, register in enumerate(registers)
                if register != "_"
            ]
        whole, parts = find_width(target), list_vector(source)
        bits = 8 * np.dtype(whole).itemsize // len(parts)
        terms = [
            f"{self._read_half(part, bits)}.astype({whole}) << {whole}({k * bits})" for k, part in enumerate(parts)
        ]
        return [self._write(target, " | ".join(f"({term})" for term in terms))]


def count_shared_unit(routine: Routine) -> int:
    """The bytes of the smallest access to shared memory, at most 4."""
    kinds = [i.parts[-1] for block in routine.blocks for i in block if i.parts[1:2] == ("shared",)]
    return min([4, *(np.dtype(NUMPY_KINDS[kind]).itemsize for kind in kinds)])


def list_opcodes(routines: Sequence[Routine]) -> list[str]:
    """The opcodes that occur."""
    return sorted({i.opcode for routine in routines for block in routine.blocks for i in block})
