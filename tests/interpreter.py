"""Triton's interpreter, which runs kernels where there is no GPU, without work that changes nothing."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any


def choose_interpreter() -> None:
    """Before Triton loads: without a GPU, kernels run in its interpreter."""
    import torch

    os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # of which it warns once, and which no kernel here uses
    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"


def is_interpreting() -> bool:
    """Whether kernels run in the interpreter, in this process and those that it starts."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def spare_interpreter() -> None:
    """Let it take half the time. Triton must be loaded.

    It replaces the functions of `triton.language` by its own at each call of a device function, though they stay
    replaced until the launch ends. And it looks for overflows of integers, but says nothing of them unless it debugs.
    """
    from triton.runtime import interpreter

    if not hasattr(interpreter, "_LangPatchScope"):  # another version of Triton: it takes its time
        return
    patch = interpreter._patch_lang
    patched: set[int] = set()  # globals of functions, by id, whose modules are replaced in this launch

    class Scope(interpreter._LangPatchScope):
        """Of a launch: what it restores is replaced anew by the next."""

        def restore(self) -> None:
            super().restore()
            patched.clear()

    def patch_once(function: Any) -> Any:
        if id(function.__globals__) not in patched:
            patched.add(id(function.__globals__))
            return patch(function)
        return interpreter._LangPatchScope()

    interpreter._LangPatchScope = Scope
    interpreter._patch_lang = patch_once
    builder = interpreter.interpreter_builder
    if not builder.options.debug:
        builder.options = replace(builder.options, sanitize_overflow=False)


def run_without_interpreter(*arguments: str) -> str:
    """What Python prints with these arguments, in a process of its own in which kernels are compiled."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=root, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
