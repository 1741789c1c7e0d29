"""`python -m tests.safety_cases [NAME ...]`: what failed once, as it was reported.

The scripts of ../shared/cases/safety, all or those whose command begins with a name, run beside a demo, each in a
process of its own, and must print what is right. The tests hold the same in small.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.command_fixtures import make_demo
from tests.fault_table import ROOT, record

FOLDER = ROOT.parent / "shared" / "cases" / "safety"
MOST_SECONDS = 300  # of one case


class Case(NamedTuple):
    """A script with its arguments; what it must print, somewhere, and what it must not; whether it reads the demo."""

    command: str
    right: str
    with_demo: bool = False
    wrong: str = "Traceback|HANG|Segmentation"


EQUAL_COUNTS = r"exit 0: (\d+)  in file: \1 "
CASES = (
    Case("force_deletes_foreign_folder.sh", r"rc 2\nc\.txt", True),
    Case("label_lost_update.sh", EQUAL_COUNTS, True),
    Case("label_mode_and_link.sh", r"lrwxrwxrwx.* l\.lp -> p\.lp\n600", True),
    Case("forking_pickler.py", r"True\nTrue True"),
    *(Case(f"pool.py {way}", r"worker (.*)\nparent afterwards \1") for way in ("fork", "spawn")),
    *(Case(f"fork_after_use.py {what}", rf"{what} .*child 0 ", True) for what in ("extract", "quant")),
    *(
        Case(f"fork_after_use.py {what}{size}", rf"{what} .*child 0 ")
        for what in ("predict", "load")
        for size in ("", " small")
    ),
    *(Case(f"onnx_n_targets.py {n}", rf"{n} ProgramError .*outputs are too many for a file") for n in (10**6, 10**9)),
)


def run_case(case: Case, folder: Path) -> None:
    """Run it where `folder/eric-demo` is. AssertionError: it printed what isn't right."""
    name, *arguments = case.command.split()
    interpreter = "bash" if name.endswith(".sh") else sys.executable
    path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        [interpreter, str(FOLDER / name), *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    said = done.stdout
    assert re.search(case.right, said), f"{case.command}: {said[-3000:]}"
    assert not re.search(case.wrong, said), f"{case.command}: {said[-3000:]}"


def main() -> None:
    names = tuple(sys.argv[1:]) or ""
    chosen = [case for case in CASES if case.command.startswith(names)]
    with tempfile.TemporaryDirectory() as made:
        if any(case.with_demo for case in chosen):
            make_demo(Path(made))
        for case in chosen:
            run_case(case, Path(made))
            record("cases", case.command, 1)
            print(f"{case.command}: right", flush=True)


if __name__ == "__main__":
    main()
