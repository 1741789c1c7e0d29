"""The tests' cases once more, by ttsem: `python -m tests.ptx.second_opinion`, where that package is installed.

ttsem runs what Triton makes of a kernel before it chooses threads (TTIR), and finds races between blocks, accesses out
of bounds and undefined values. Of threads and barriers it knows nothing; the PTX runner does. It asks for Python 3.12.
"""

import os
import sys
import time
from importlib import import_module
from importlib.metadata import version

os.environ.pop("TRITON_INTERPRET", None)
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # Triton warns where it is left open

import triton

from tests.ptx import cases
from tests.ptx.table import write_section


def main() -> int:
    sanitize = import_module("ttsem.sanitize")
    failures = []
    chosen = [*cases.list_evaluations(), *cases.list_packing()]
    n_launches = n_unchecked = 0
    for case in chosen:
        start, found = time.monotonic(), "the same"
        try:
            with sanitize.session(cuda_is_cpu=False) as session:
                case.run()
            n_launches, n_unchecked = n_launches + session.launches, n_unchecked + session.races_unchecked
        except (AssertionError, sanitize.KernelFault, sanitize.Unjudged) as error:
            found = f"{type(error).__name__}: {error}"
        print(f"{case.name}: {found}, {time.monotonic() - start:.1f} s", flush=True)
        if found != "the same":
            failures.append(f"- {case.name}: {found}")
    lines = [
        f"## ttsem {version('ttsem')}, Triton {triton.__version__}",
        "",
        "By `python -m tests.ptx.second_opinion`, which finds races between blocks, strays and undefined values.",
        f"Cases: {len(chosen)}, launches: {n_launches}, with too many accesses to look for races: {n_unchecked}; "
        f"failures: {len(failures)}.",
    ]
    write_section("\n".join([*lines, *failures]) + "\n")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
