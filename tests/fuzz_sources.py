"""What sources answer for damaged files: each file in a process of its own, as a source may crash on it or never end.

`python -m tests.fuzz_sources NAME` is the server that `ask_source` starts. It loads the library, and forks for each
file.
"""

import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from signal import SIG_DFL, SIGALRM, alarm, signal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_SECONDS = 5  # of one file
CLASS_LOSSES = ("Logloss", "CrossEntropy", "Focal", "MultiClass", "MultiClassOneVsAll")
HEADER = struct.Struct("<qqq")


class Answers(NamedTuple):
    """What a source says of the rows.

    Attributes:
        margins: the raw sums; None where the source has none.
        predictions: what its `predict` gives.
    """

    margins: NDArray[Any] | None
    predictions: NDArray[Any]


def _ask_xgboost(content: bytes, rows: NDArray[np.float64]) -> Answers:
    import xgboost

    booster = xgboost.Booster({"nthread": 1, "verbosity": 0}, model_file=bytearray(content))
    kinds = booster.feature_types
    table = xgboost.DMatrix(rows, feature_names=booster.feature_names, feature_types=kinds, enable_categorical=True)
    return Answers(booster.predict(table, output_margin=True), booster.predict(table))


def _ask_lightgbm(content: bytes, rows: NDArray[np.float64]) -> Answers:
    import lightgbm

    booster = lightgbm.Booster(model_str=content.decode(), params={"num_threads": 1, "verbose": -1})
    answers = [booster.predict(rows, raw_score=raw, num_threads=1) for raw in (True, False)]
    return Answers(*answers)


def _ask_catboost(content: bytes, rows: NDArray[np.float64]) -> Answers:
    catboost: Any = import_module("catboost")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        path.write_bytes(content)
        model = catboost.CatBoost().load_model(str(path), format="json")
    loss = json.loads(content)["model_info"]["params"]["loss_function"]["type"]
    kind = "Probability" if loss in CLASS_LOSSES else "Exponent" if loss in ("Poisson", "Tweedie") else "RawFormulaVal"
    return Answers(*(model.predict(rows, prediction_type=each, thread_count=1) for each in ("RawFormulaVal", kind)))


def _ask_treelite(content: bytes, rows: NDArray[np.float64]) -> Answers:
    import treelite

    model = treelite.Model.deserialize_bytes(content)
    rows = rows.astype(model.input_type)
    given = [treelite.gtil.predict(model, rows, nthread=1, pred_margin=raw) for raw in (True, False)]
    return Answers(*(answer.reshape(len(rows), -1) for answer in given))


def _ask_onnx(content: bytes, rows: NDArray[np.float64]) -> Answers:
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    dtype = {"tensor(double)": np.float64, "tensor(float)": np.float32}.get(given.type, np.int64)
    return Answers(None, session.run(None, {given.name: rows.astype(dtype)})[0])


Ask = Callable[[bytes, NDArray[np.float64]], Answers]
SOURCES: dict[str, Ask] = {
    "xgboost": _ask_xgboost,
    "lightgbm": _ask_lightgbm,
    "catboost": _ask_catboost,
    "treelite": _ask_treelite,
    "onnxruntime": _ask_onnx,
}


def ask_source(name: str, content: bytes, rows: NDArray[np.float64]) -> Answers | None:
    """What the source answers for float64 rows `[n_rows, n_columns]`; None if it can't read the file, or crashes."""
    server = _start(name)
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(HEADER.pack(len(content), *rows.shape) + content + rows.astype("<f8").tobytes())
    server.stdin.flush()
    [size] = struct.unpack("<q", server.stdout.read(8))
    if not size:
        return None
    with np.load(io.BytesIO(server.stdout.read(size))) as stored:
        return Answers(stored.get("margins"), stored["predictions"])


@cache
def _start(name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.fuzz_sources", name]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def serve(name: str) -> None:
    """Answer requests until the input ends."""
    inputs, outputs = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)  # sources print
    import_module(name)
    while header := inputs.read(HEADER.size):
        size, n_rows, n_columns = HEADER.unpack(header)
        content = inputs.read(size)
        rows = np.frombuffer(inputs.read(8 * n_rows * n_columns), "<f8").reshape(n_rows, n_columns)
        answer = _answer_alone(SOURCES[name], content, rows)
        outputs.write(struct.pack("<q", len(answer)) + answer)
        outputs.flush()


def _answer_alone(ask: Ask, content: bytes, rows: NDArray[np.float64]) -> bytes:
    """The answer of a process of its own; empty where it fails."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal(SIGALRM, SIG_DFL)
        alarm(MOST_SECONDS)
        buffer = io.BytesIO()
        warnings.simplefilter("ignore")
        try:
            answers = ask(content, rows)
        except BaseException:  # each source has errors of its own
            os._exit(1)
        np.savez(buffer, **{key: value for key, value in answers._asdict().items() if value is not None})
        with os.fdopen(writer, "wb") as file:
            file.write(buffer.getvalue())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        answer = file.read()
    _, status = os.waitpid(child, 0)
    return b"" if status else answer


if __name__ == "__main__":
    serve(sys.argv[1])
