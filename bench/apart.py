"""A rival in an environment of its own, `.cache/rivals/NAME`: what it needs clashes with ours, or wants another Python.

uv makes the environment where it isn't there. A process of its Python (`bench.apart_process`) loads the model from a
file, and answers or times the rows that it finds in another; requests and replies are lines of JSON.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.harness import CACHE, ROOT, Timing

FOLDER = CACHE / "rivals"


class RivalError(Exception):
    """Why a rival can't be timed."""


class Environment(NamedTuple):
    """What uv installs: a Python's version, packages (the rival itself first), and what its rows are made of."""

    python: str
    packages: tuple[str, ...]
    dtype: type[np.generic] = np.float32


ENVIRONMENTS = {
    # lleaves 1.3 needs what llvmlite 0.45 dropped
    "lleaves": Environment("3.11", ("lleaves==1.3.0", "llvmlite<0.45", "lightgbm==4.7.0"), np.float64),
    "onedal": Environment(
        "3.11", ("scikit-learn-intelex==2026.2.0", "lightgbm==4.7.0", "treelite==4.8.1", "xgboost-cpu==3.2.0")
    ),
    "torchlogix": Environment("3.12", ("torchlogix==0.2.2",)),  # on 3.11 it can't be imported
}


def describe_environments() -> dict[str, str]:
    """Each rival's version and Python, beside the versions of what is installed here."""
    pairs = ((*environment.packages[0].split("=="), environment.python) for environment in ENVIRONMENTS.values())
    return {f"{package} (apart)": f"{version} on Python {python}" for package, version, python in pairs}


def prepare_environment(name: str) -> Path:
    """The environment's Python.

    Raises:
        RivalError: uv can't make it.
    """
    folder = FOLDER / name
    python = folder / "bin" / "python"
    if python.exists():
        return python
    environment, uv = ENVIRONMENTS[name], [sys.executable, "-m", "uv"]
    for command in (
        [*uv, "venv", "--quiet", "--python", environment.python, str(folder)],
        [*uv, "pip", "install", "--quiet", "--python", str(python), *environment.packages],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            why = " ".join(done.stderr.split()) or "no message"
            raise RivalError(f"no environment for it: uv {' '.join(command[3:5])}: {why[:200]}")
    return python


class Apart:
    """A rival's process, which has loaded a model.

    Attributes:
        ready_s: what loading it took: conversion, compiling.

    Raises:
        RivalError: it can't be started, or ends before it replies.
    """

    def __init__(self, name: str, model: Path) -> None:
        python = prepare_environment(name)
        self._dtype = ENVIRONMENTS[name].dtype
        self._folder = tempfile.TemporaryDirectory()
        self._errors = Path(self._folder.name) / "errors.txt"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [python, "-m", "bench.apart_process", name, model],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.ready_s: float = self._receive()

    def answer(self, rows: NDArray[Any]) -> NDArray[Any]:
        self._ask("answer", rows)
        return np.asarray(np.load(Path(self._folder.name) / "answers.npy"))

    def time(self, rows: NDArray[Any]) -> Timing:
        """By its own clock, with the rows in its memory."""
        return Timing(*self._ask("time", rows))

    def close(self) -> None:
        self._process.communicate()  # it ends with its input
        self._folder.cleanup()

    def _ask(self, what: str, rows: NDArray[Any]) -> Any:
        np.save(Path(self._folder.name) / "rows.npy", rows.astype(self._dtype))
        assert self._process.stdin
        print(json.dumps([what, self._folder.name]), file=self._process.stdin, flush=True)
        return self._receive()

    def _receive(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()  # its last words come after
            lines = self._errors.read_text(encoding="utf-8").strip().splitlines()
            self.close()
            raise RivalError(f"it failed: {lines[-1] if lines else 'no message'}")
        return json.loads(line)
