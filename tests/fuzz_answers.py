"""What a damaged file answers that both read: eric_fast, and the tool that wrote the file."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.table.model import RuleModel
from tests.boosters import CODES, N_CODED, add_edges
from tests.fuzz_sources import Answers, ask_source

N_ROWS = 40
TOLERANCE = 2e-6  # of the largest number that adds up: float32's rounding in a source's sums
MOST = 1e37  # sources that add up in float32 answer NaN or infinity past its range


def compare_answers(name: str, content: bytes, model: RuleModel) -> bool:
    """Whether the source reads the file, too, and gives what can be compared. AssertionError: it answers otherwise."""
    rows = draw_rows(model, integers=name == "onnxruntime")
    wanted = ask_source(name, content, rows)
    if wanted is None:
        return False
    pairs = pair_answers(model, rows, wanted)
    for got, own in pairs:
        counted = np.abs(own) < MOST  # false for NaN
        largest = max(1.0, float(np.abs(model.program.class_arrays.vote_weights).max(initial=0)))
        np.testing.assert_allclose(got[counted], own[counted], TOLERANCE, TOLERANCE * largest)
    return bool(pairs)


def draw_rows(model: RuleModel, *, integers: bool) -> NDArray[np.float64]:
    """Rows at the edges of the model's comparisons, some missing; or small integers, which every graph takes."""
    n_columns = model.n_features_in_
    if integers:
        return np.resize([0, 0, 1, 1, 1, 3, -1, 7, 2, 2, 3, 1], (6, n_columns)).astype(float)
    codes = CODES if n_columns == N_CODED + 2 else ()
    rows = add_edges(model, np.zeros((2, n_columns)), infinite=False, codes=codes)
    return np.take(rows, np.linspace(0, len(rows) - 1, min(N_ROWS, len(rows))).astype(int), axis=0)


def pair_answers(model: RuleModel, rows: NDArray[np.float64], wanted: Answers) -> list[tuple[NDArray[Any], Any]]:
    """Ours beside the source's of the same meaning, each flat."""
    pairs = []
    classifies = model.program.decision.gives_class
    if wanted.margins is not None and hasattr(model, "decision_function"):
        pairs.append((model.decision_function(rows), wanted.margins))
    if not classifies or wanted.margins is None:
        pairs.append((model.predict(rows), wanted.predictions))
    elif hasattr(model, "predict_proba"):
        shares = model.predict_proba(rows)
        if shares.shape[1] == 2 and wanted.predictions.size == len(rows):
            shares = shares[:, 1]
        if shares.size == wanted.predictions.size:  # else the source's predict gives classes
            pairs.append((shares, wanted.predictions))
    return [(np.ravel(got), np.ravel(own)) for got, own in pairs]
