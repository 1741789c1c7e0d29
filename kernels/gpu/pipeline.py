"""`compile_quickly`: Triton without the passes whose time grows with the square of a kernel's length.

They choose layouts of tiles, by looking from each load and store at all that hangs together with it: 4,000 nodes took
140 seconds. A generated kernel has one layout, a word for each thread, so what Triton begins with is right.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import triton
from triton import knobs

from eric_fast.kernels.gpu.write_source import KERNEL_PREFIX

logger = logging.getLogger(__name__)
_lock = threading.Lock()  # the hook is one for all threads


@contextmanager
def compile_quickly() -> Iterator[None]:
    """Compile generated kernels that are launched inside without these passes; all others are compiled as ever.

    Triton asks for the hook's name at every launch, too, and finds by it what was compiled with it: so what other
    threads launch meanwhile may be compiled once more.
    """
    if not hasattr(knobs.runtime, "add_stages_inspection_hook"):
        logger.warning("Triton %s can't leave out passes: a large kernel takes minutes to compile", triton.__version__)
        yield
        return
    with _lock:
        before, knobs.runtime.add_stages_inspection_hook = knobs.runtime.add_stages_inspection_hook, _change_stages
        try:
            yield
        finally:
            knobs.runtime.add_stages_inspection_hook = before


def _change_stages(
    backend: Any = None, stages: Any = None, options: Any = None, language: Any = None, capability: Any = None
) -> tuple[str, str] | None:
    """Triton's hook: without arguments, what a compiled kernel's key holds of it; else it changes the stages."""
    if backend is None:
        return "eric_fast", "eric_fast-1"
    plain = stages.get("ttgir")
    if plain is not None and capability is not None:  # NVIDIA's
        stages["ttgir"] = lambda module, metadata: _make_ttgir(plain, module, metadata, options, capability)
    return None


def _make_ttgir(plain: Any, module: Any, metadata: Any, options: Any, capability: int) -> Any:
    """Triton's code for a GPU, where each tile has the layout that Triton gives it first."""
    if not module.get_entry_func_name().startswith(KERNEL_PREFIX):
        return plain(module, metadata)
    from triton._C.libtriton import ir, passes

    if options.maxnreg is not None:
        module.set_attr("ttg.maxnreg", ir.builder(module.context).get_int32_attr(options.maxnreg))
    manager = ir.pass_manager(module.context)
    passes.ttir.add_convert_to_ttgpuir(manager, f"cuda:{capability}", options.num_warps, 32, options.num_ctas)
    manager.run(module, "make_ttgir")
    metadata["tensordesc_meta"] = module.get_tensordesc_metadata()
    return module
