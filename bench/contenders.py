"""Who else answers for a model of another tool: the tool itself, and rivals here or in environments of their own."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.apart import Apart, RivalError
from bench.harness import N_CORES, Timing, time_call, time_calls

MICROSECONDS = 200_000  # rows that those are timed on which take microseconds for each
ALL_CORES = "one core's rate times the cores"


@dataclass(frozen=True, eq=False)
class Contender:
    """One that answers.

    Attributes:
        who: its name.
        run: a table -> its answers.
        most_rows: what it is timed on at most: slow ones on fewer.
        ready_s: what making it took: conversion, compiling.
        answers: its answers as they can be compared with the source's.
        clock: a table -> the timing of its answers, where it has a clock of its own.
        close: ends what it keeps open.
        own_rows: how many it answers whatever it is given; 0 where it answers those.
        cores: over how many its rate counts: more where it leaves cores idle.
        note: what is to be known of it.
    """

    who: str
    run: Callable[[Any], Any]
    most_rows: int = 10**6
    ready_s: float = 0.0
    answers: Callable[[Any], NDArray[Any]] = np.asarray
    clock: Callable[[Any], Timing] | None = None
    close: Callable[[], None] = lambda: None
    own_rows: int = 0
    cores: int = 1
    note: str = ""

    def time(self, table: Any) -> Timing:
        return self.clock(table) if self.clock else time_calls(lambda: self.run(table))


class Candidate(NamedTuple):
    """A name, how its contender is made, and packages that this needs, as they are imported."""

    who: str
    make: Callable[[str], Contender]
    packages: tuple[str, ...] = ()

    def try_to_make(self) -> Contender | str:
        """The contender, or why there is none."""
        if missing := [package for package in self.packages if find_spec(package) is None]:
            return f"not installed: {', '.join(missing)}"
        try:
            return self.make(self.who)
        except RivalError as error:
            return str(error)


def count_differences(got: NDArray[Any], expected: NDArray[Any], tolerance: float) -> int:
    """Rows that are answered otherwise, among those that both answer."""
    n_rows = min(len(got), len(expected))
    got, expected = got[:n_rows], expected[:n_rows]
    if np.issubdtype(expected.dtype, np.number):
        wrong = ~np.isclose(got, expected, atol=tolerance)
    else:
        wrong = np.asarray(got, str) != np.asarray(expected, str)
    return int(wrong.reshape(n_rows, -1).any(axis=1).sum())


def take_both_shares(second: Any) -> NDArray[Any]:
    """Shares of two classes, of those of the second alone."""
    second = np.asarray(second).reshape(-1)
    return np.stack([1 - second, second], axis=1)


def compile_treelite(model: Any, path: Path) -> Any:
    """treelite's predictor of a model, compiled by tl2cgen into a library at this path."""
    import tl2cgen

    tl2cgen.export_lib(model, toolchain="gcc", libpath=str(path), params={"parallel_comp": 16}, nthread=N_CORES)
    return tl2cgen.Predictor(str(path), nthread=N_CORES)


def offer_treelite(make_model: Callable[[], Any], answers: Callable[[Any], NDArray[Any]] | None = None) -> Candidate:
    """treelite's compiled predictor (tl2cgen); its matrix is made of the rows within the time, as ours is."""

    def make(who: str) -> Contender:
        import tl2cgen

        folder = tempfile.TemporaryDirectory()
        predictor, seconds = time_call(lambda: compile_treelite(make_model(), Path(folder.name) / "model.so"))
        take = answers or (lambda got: np.asarray(got).reshape(len(got), -1))
        run = lambda rows: predictor.predict(tl2cgen.DMatrix(rows))  # noqa: E731
        return Contender(who, run, MICROSECONDS, seconds, take, close=folder.cleanup)

    return Candidate("treelite, compiled (tl2cgen)", make, ("treelite", "tl2cgen"))


def offer_onnx(model: Any, columns: NDArray[np.float32]) -> Candidate:
    """ONNX Runtime on what skl2onnx makes of the model."""

    def convert() -> Any:
        import onnxruntime
        from skl2onnx import to_onnx

        proto = to_onnx(model, columns[:1], options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3})
        return onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])

    def make(who: str) -> Contender:
        session, seconds = time_call(convert)
        name = session.get_inputs()[0].name
        return Contender(who, lambda rows: session.run(None, {name: rows})[1], MICROSECONDS, seconds)

    return Candidate("ONNX Runtime", make, ("onnxruntime", "skl2onnx"))


def offer_hummingbird(model: Any, columns: NDArray[np.float32]) -> Candidate:
    def make(who: str) -> Contender:
        from hummingbird.ml import convert

        converted, seconds = time_call(lambda: convert(model, "torch", columns[:2]))
        return Contender(who, converted.predict_proba, 20_000, seconds)

    return Candidate("Hummingbird (torch)", make, ("hummingbird",))


def offer_apart(
    who: str,
    environment: str,
    save: Callable[[Path], object],
    file: str,
    answers: Callable[[Any], NDArray[Any]] = np.asarray,
    *,
    packages: tuple[str, ...] = (),
    **more: Any,
) -> Candidate:
    """A rival of `bench.apart`, on the model that `save` writes to a file of this name with these packages."""

    def make(who: str) -> Contender:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            save(path)
            apart = Apart(environment, path)
        return Contender(
            who, apart.answer, ready_s=apart.ready_s, answers=answers, clock=apart.time, close=apart.close, **more
        )

    return Candidate(who, make, packages)


def offer_onedal(save: Callable[[Path], object], file: str, *packages: str) -> Candidate:
    """oneDAL's trees, built by daal4py; of a forest it gives the second class's share alone."""

    def answers(got: Any) -> NDArray[Any]:
        return got if got.ndim == 2 else take_both_shares(got)

    return offer_apart("oneDAL (daal4py)", "onedal", save, file, answers, packages=packages)
