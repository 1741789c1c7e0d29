"""What the tests of tree front ends share: data, rows at the edges of all comparisons, how answers are compared."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from eric_fast.table.model import RuleModel
from tests.optional import import_optional


@cache
def load_data(name: str, holes: bool = False) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """(features, target) of one of scikit-learn's sets; `holes`: a fifth of the values missing."""
    features, target = {"digits": load_digits, "cancer": load_breast_cancer, "diabetes": load_diabetes}[name](
        return_X_y=True
    )
    if holes:
        features = features.copy()
        features[np.random.default_rng(0).random(features.shape) < 0.2] = np.nan
    return features, target


def make_categories(seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(features, target): three columns of 12 codes, two of numbers, holes everywhere."""
    rng = np.random.default_rng(seed)
    features = np.column_stack([rng.integers(0, 12, (400, 3)).astype(float), rng.normal(size=(400, 2))])
    features[rng.random(features.shape) < 0.1] = np.nan
    target = np.isin(features[:, 0], [1, 5, 7]) + 2.0 * (features[:, 1] == 3) + np.nan_to_num(features[:, 3])
    return features, target


def make_frame() -> tuple[Any, Any]:
    """(data frame, target): categories that are texts and that are numbers, with holes, and a number."""
    pandas = import_optional("pandas")
    rng = np.random.default_rng(0)
    colour = pandas.Categorical(rng.choice(["red", "green", "blue", "grey"], 400))
    size = pandas.Categorical(rng.choice([3, 1, 7, 9], 400))
    frame = pandas.DataFrame({"colour": colour, "size": size, "weight": rng.normal(size=400)})
    target = frame["colour"].isin(["red", "blue"]) + 2.0 * (frame["size"] == 7) + (frame["weight"] > 0)
    frame.loc[::7, "colour"] = None
    frame.loc[::5, "size"] = None
    frame.loc[::9, "weight"] = None
    return frame, target


def list_frames(frame: Any) -> tuple[Any, Any]:
    """The frame, and the same with its rows and its categories in another order."""
    turned = frame[::-1].copy()
    turned["colour"] = turned["colour"].cat.set_categories(["grey", "red", "green", "blue"])
    turned["size"] = turned["size"].cat.set_categories([9, 7, 1, 3])
    return frame, turned


CODES = (*range(12), 1.5, 7.999, -0.5, 11.5, 40.0)  # of `make_categories`, and what sources cut off to them
N_CODED = 3  # columns of codes


def add_edges(
    model: RuleModel, features: NDArray[Any], *, infinite: bool = True, codes: Sequence[float] = ()
) -> NDArray[np.float64]:
    """The rows, and others at each constant of the program, just below and just above it, missing, -0.0, infinite.

    Args:
        codes: values to put into the first `N_CODED` columns, too.
    """
    columns = model.program.table_quantiser.columns
    edges = {i: [np.nan, -0.0, 0.0, *((np.inf, -np.inf) if infinite else ())] for i in range(len(columns))}
    for atom in model.program.table_quantiser.atoms:
        if atom.operator == "in":
            continue
        dtype = np.dtype(columns[atom.column].kind).type
        constant = dtype(atom.constant)
        with np.errstate(over="ignore"):  # a constant may be the largest number
            edges[atom.column] += [constant, *(np.nextafter(constant, dtype(to)) for to in (-np.inf, np.inf))]
    for column in range(N_CODED if codes else 0):
        edges[column] += codes
    n_rows = max(map(len, edges.values()))
    rng = np.random.default_rng(0)
    rows = features[rng.integers(0, len(features), n_rows)].astype(float)
    for column, values in edges.items():
        rows[:, column] = rng.permutation(np.resize(np.array(values, float), n_rows))
    usual = features[rng.integers(0, len(features), n_rows)].astype(
        float
    )  # one edge a row leaves other paths as they are
    for row, column in enumerate(rng.integers(0, len(columns), n_rows)):
        usual[row, column] = rng.choice(edges[column])
    return np.concatenate([features.astype(float), rows, usual])


def check_close(got: ArrayLike, wanted: ArrayLike, tolerance: float) -> None:
    """Equal within the tolerance, relative to the largest of the wanted."""
    got, wanted = np.asarray(got, float), np.asarray(wanted, float)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * max(1.0, np.abs(wanted).max()))


def check_classes(got: ArrayLike, wanted: ArrayLike, margins: NDArray[np.float64], tolerance: float) -> None:
    """Equal, but where the two best scores (or a single score and 0) lie within the tolerance; few may."""
    differ = np.asarray(got) != np.asarray(wanted)
    if differ.any():
        best = np.sort(np.column_stack([margins, np.zeros(len(margins))]) if margins.ndim == 1 else margins, axis=1)
        assert (best[differ, -1] - best[differ, -2] < tolerance).all()
        assert differ.mean() < 0.02
