"""The first minute: seconds until something answers, for the first time and later.

Each is a process of its own. The first run finds the code that installing compiled (`make`, or a wheel that carries
code), or none at all. Later runs find what the first left, too. Imports beside them show what a process pays before any
work of ours; tl2cgen and lleaves compile the same forest, or one like it, by their own compilers, where they are
installed. With --full, the times before this was worked on, too: of commit 070d6dd, in a work tree of its own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.harness import ROOT, describe_machine
from bench.screen import make_table
from eric_fast.show.console import stdout

N_WARM = 3
BEFORE = "070d6dd"
_FOREST = """
import json, sys, time
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
x, y = load_digits(return_X_y=True)
forest = RandomForestClassifier(100, random_state=0).fit(x, y)
"""
_TIME = """
started = time.perf_counter()
{work}
print(time.perf_counter() - started)
"""
_START = "import time\n"
_LIGHTGBM = """
import json, sys, time
import lightgbm
from sklearn.datasets import load_digits
x, y = load_digits(return_X_y=True)
booster = lightgbm.train({"objective": "multiclass", "num_class": 10, "verbose": -1}, lightgbm.Dataset(x, y), 10)
booster.save_model("model.txt")
"""
# What is timed: name -> code before the clock, code under it, packages that it needs.
CASES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "import torch": (_START, "import torch", ("torch",)),
    "import sklearn.ensemble": (_START, "import sklearn.ensemble", ("sklearn",)),
    "import eric_fast, load": (_START, "import eric_fast\neric_fast.load", ()),
    "forest: load, first predict": (
        f"import eric_fast as ef\nef.load\n{_FOREST}",
        "assert (ef.load(forest).predict(x) == forest.predict(x)).mean() > 0.99",
        (),
    ),
    "forest: treelite, tl2cgen": (
        f"import tl2cgen, treelite\n{_FOREST}",
        'tl2cgen.export_lib(treelite.sklearn.import_model(forest), toolchain="gcc", libpath="forest.so")\n'
        'tl2cgen.Predictor("forest.so").predict(tl2cgen.DMatrix(x))',
        ("treelite", "tl2cgen"),
    ),
    "boosted trees: lleaves": (
        f"import lleaves\n{_LIGHTGBM}",
        'model = lleaves.Model(model_file="model.txt")\nmodel.compile()\nmodel.predict(x)',
        ("lleaves", "lightgbm"),
    ),
    "eric-fast demo": (
        "import subprocess, sys, time\n",
        'subprocess.run([sys.executable, "-m", "eric_fast", "demo", "-o", "demo", "--force"], check=True, stdout=-3)',
        (),
    ),
}


def run_case(full: bool = False) -> dict[str, Any]:
    """Print seconds for each case; `full`: those of `BEFORE`, too, whose install step compiled nothing."""
    with tempfile.TemporaryDirectory() as folder:
        installed = Path(folder, "code")
        command = [sys.executable, "-m", "eric_fast.warm_up"]
        settings = {"NUMBA_CACHE_DIR": str(installed), "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=folder, env={**os.environ, **settings}, check=True)
        rows: list[dict[str, Any]] = [{"what": name, **_time_installed(name, ROOT, installed)} for name in CASES]
    keys = ["installed_s", "cold_s", "warm_s"]
    if full:
        with check_out(BEFORE) as root:
            for row in rows:
                if "eric" in "".join(CASES[row["what"]][:2]):
                    found = _time_installed(row["what"], root)
                    row |= {"before_cold_s": found["cold_s"], "before_warm_s": found["warm_s"]}
        keys += ["before_cold_s", "before_warm_s"]
    headings = ("first run", "first, no code", "later runs", f"first, {BEFORE}", f"later, {BEFORE}")
    screen = make_table("seconds", "", headings[: len(keys)])
    for row in rows:
        screen.add_row(row["what"], *(_format(row[key]) if key in row else "" for key in keys))
    stdout.print(screen)
    return {"machine": describe_machine("treelite", "tl2cgen", "lleaves"), "rows": rows}


@contextmanager
def check_out(commit: str) -> Iterator[Path]:
    """A commit's files in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        subprocess.run(["git", "worktree", "add", "--detach", "--quiet", tree, commit], cwd=ROOT, check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)


def _time_installed(name: str, root: Path, installed: Path | None = None) -> dict[str, float | None]:
    before, work, packages = CASES[name]
    keys = ("installed_s", "cold_s", "warm_s") if installed else ("cold_s", "warm_s")
    if not all(find_spec(package) for package in packages):
        return dict.fromkeys(keys)
    found = time_case(before + _TIME.format(work=work), root, installed)
    return {key: found[key] for key in keys}


def time_case(code: str, root: Path, installed: Path | None = None) -> dict[str, float | None]:
    """Seconds that a program prints with a checkout's code.

    Args:
        installed: a folder of compiled code, which is copied.

    Returns:
        `installed_s`: of the first run that has a copy of `installed`; `cold_s`: of the first that finds no compiled
        code; `warm_s`: the least of `N_WARM` more.
    """
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, name) for name in ("installed", "code")]
        command = [sys.executable, "-c", code]

        def run(place: Path) -> float:
            settings = {"NUMBA_CACHE_DIR": str(place), "PYTHONPATH": str(root)}
            done = subprocess.run(
                command, cwd=folder, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True, check=True
            )
            return float(done.stdout.split()[-1])

        first = None
        if installed is not None:
            shutil.copytree(installed, places[0])
            first = run(places[0])
        cold = run(places[1])
        return {"installed_s": first, "cold_s": cold, "warm_s": min(run(places[1]) for _ in range(N_WARM))}


def _format(seconds: float | None) -> str:
    return "not installed" if seconds is None else f"{seconds:.2f}"
