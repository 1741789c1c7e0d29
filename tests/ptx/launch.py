"""Kernels' launches, compiled for a GPU that isn't there and run here.

Triton's interpreter must be off: `TRITON_INTERPRET` must not be set when this is imported.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # Triton warns where it is left open

import numpy as np
import torch
import triton
from numpy.typing import NDArray
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from eric_fast.kernels.gpu import evaluate as gpu
from tests.ptx.machine import Code, Grid, find_base
from tests.ptx.memory import Memory
from tests.ptx.text import Routine, parse_ptx
from tests.ptx.translate import count_shared_unit, translate

TYPES = {
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
    torch.float32: "fp32",
    torch.float64: "fp64",
    torch.int8: "i8",
    torch.int16: "i16",
    torch.int32: "i32",
    torch.int64: "i64",
}
# Arguments that hold nothing before a launch; counts are added to, so they are zero.
BLANK = {f"p_{name}" for name in (*gpu.Scratch._fields, *gpu.Outputs._fields)} - {"p_counts"} | {"p_norms"}
BLANK_WORDS = {"pack_columns_kernel", "pack_runs", "pack_short", "pack_pixels"}  # where p_words is an output
Edit = Callable[[Routine], Routine]


@dataclass(frozen=True)
class Signature:
    """How a launch compiles: `types` of arguments (`constexpr` among them), `constants`, `aligned` and `options`."""

    types: dict[str, str]
    constants: dict[str, Any]
    aligned: tuple[str, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """What Triton compiles once."""

    kernel: str
    signature: Signature


@dataclass(frozen=True)
class Compiled:
    """A kernel for one signature. `n_shared`: bytes. `arguments`: those that it takes at a launch."""

    n_shared: int
    arguments: tuple[str, ...]
    routine: Routine
    code: list[Code]


@dataclass
class Runner:
    """Runs launches for one architecture, 80, 90 or 100; kernels are compiled once for each signature.

    Attributes:
        edit: changes a kernel before it runs, or None.
        compiled: by variant.
        reports: what launches reported, since `clear`.
        used: what was launched. lines: of PTX, that ran; of a store, if a thread stored.
    """

    architecture: int
    edit: Edit | None = None
    compiled: dict[str, Compiled] = field(default_factory=dict)
    reports: list[str] = field(default_factory=list)
    used: list[Variant] = field(default_factory=list)
    lines: set[int] = field(default_factory=set)

    @contextmanager
    def take_launches(self) -> Iterator[None]:
        """Launches of Triton's kernels on CPU tensors run here."""
        plain = JITFunction.run

        def run(kernel: Any, *args: Any, grid: Any, warmup: bool = False, **keywords: Any) -> None:
            self.launch(kernel, args, keywords, grid)

        JITFunction.run = run
        try:
            yield
        finally:
            JITFunction.run = plain

    def clear(self) -> None:
        """Forget what launches left."""
        for found in (self.reports, self.used, self.lines):
            found.clear()

    def find(self, variant: Variant, kernel: Any) -> Compiled:
        """A variant of a kernel, compiled when it is first asked for."""
        key = str(variant)
        if key not in self.compiled:
            self.compiled[key] = compile_ptx(kernel, variant.signature, self.architecture)
        return self.compiled[key]

    def launch(self, kernel: Any, args: tuple[Any, ...], keywords: dict[str, Any], grid: Any) -> None:
        """Run a launch; raises FaultError where an access can't be carried out."""
        values = dict(zip(kernel.arg_names, args, strict=False))
        values |= {name: value for name, value in keywords.items() if name in kernel.arg_names}
        options = {name: value for name, value in keywords.items() if name not in kernel.arg_names}
        signature = find_signature(kernel, values, options)
        variant = Variant(kernel.fn.__name__, signature)
        self.used.append(variant)
        compiled = self.find(variant, kernel)
        code = compiled.code if self.edit is None else _edit_code(compiled, self.edit)
        size = grid(values) if callable(grid) else grid
        run = place_arguments(kernel.fn.__name__, compiled, values, (*size, 1, 1)[:3])
        run.stops_at_report = self.edit is not None  # then it shows what was to be seen
        with np.errstate(all="ignore"):
            try:
                run.run(code)
            finally:
                self.reports += run.reports
                ran = (instruction for number in run.visited for instruction in compiled.routine.blocks[number])
                self.lines |= {i.line for i in ran if i.parts[0] != "st"} | run.stored


def _edit_code(compiled: Compiled, edit: Edit) -> list[Code]:
    """Only blocks that an edit changes are translated anew."""
    edited, code = edit(compiled.routine), list(compiled.code)
    pairs = zip(edited.blocks, compiled.routine.blocks, strict=True)
    changed = [number for number, (new, old) in enumerate(pairs) if new != old]
    for number, function in zip(changed, translate(edited, changed), strict=True):
        code[number] = function
    return code


def find_signature(kernel: Any, values: dict[str, Any], options: dict[str, Any]) -> Signature:
    """What Triton's launcher would compile for."""
    types, constants, aligned = {}, {}, []
    for parameter in kernel.params:
        name, value = parameter.name, values[parameter.name]
        is_one = type(value) is int and value == 1 and not parameter.do_not_specialize
        if parameter.is_constexpr or value is None or is_one:
            types[name], constants[name] = "constexpr", value
            continue
        is_tensor = isinstance(value, Tensor)
        types[name] = f"*{TYPES[value.dtype]}" if is_tensor else "i32" if -(2**31) <= value < 2**31 else "i64"
        number = value.data_ptr() if is_tensor else int(value)
        if number % 16 == 0 and (is_tensor or not parameter.do_not_specialize):
            aligned.append(name)
    return Signature(types, constants, tuple(aligned), options)


def compile_ptx(kernel: Any, signature: Signature, architecture: int) -> Compiled:
    """Compile for a GPU; raises UnknownOpcodeError where its PTX can't be run."""
    names = kernel.arg_names
    source = ASTSource(
        kernel,
        signature.types,
        {(names.index(name),): value for name, value in signature.constants.items()},
        {(names.index(name),): [["tt.divisibility", 16]] for name in signature.aligned},
    )
    found = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=signature.options)
    arguments = tuple(name for name, kind in signature.types.items() if kind != "constexpr")
    routine = parse_ptx(found.asm["ptx"])
    return Compiled(found.metadata.shared, arguments, routine, translate(routine))


def place_arguments(name: str, compiled: Compiled, values: dict[str, Any], size: tuple[int, int, int]) -> Grid:
    """A launch's memory and parameters: each tensor's storage has a range of addresses to itself."""
    memories: list[Memory] = []
    bases: dict[int, int] = {}  # of a storage
    parameters = {}
    for parameter, argument in zip(compiled.routine.parameters, compiled.arguments, strict=False):
        value = values[argument]
        if not isinstance(value, Tensor):
            parameters[parameter] = int(value)
            continue
        storage = value.untyped_storage()
        pointer = storage.data_ptr() or -len(memories)
        if pointer not in bases:
            bases[pointer] = find_base(len(memories))
            is_blank = argument in BLANK or (argument == "p_words" and name in BLANK_WORDS)
            unit = min(4, value.element_size())
            memories.append(Memory(argument, bases[pointer], _view_bytes(value), unit, is_blank=is_blank))
        parameters[parameter] = bases[pointer] + int(value.storage_offset()) * value.element_size()
    for parameter in compiled.routine.parameters[len(compiled.arguments) :]:
        parameters[parameter] = 0  # Triton's own scratch memory, which no kernel here uses
    unit = count_shared_unit(compiled.routine)
    return Grid(size, compiled.routine.n_threads, memories, parameters, compiled.n_shared, unit)


def _view_bytes(tensor: Tensor) -> NDArray[np.uint8]:
    """uint8: the whole of a tensor's storage, where it lies."""
    whole = torch.empty(0, dtype=torch.uint8).set_(tensor.detach().untyped_storage())
    found: NDArray[np.uint8] = whole.numpy()
    return found
