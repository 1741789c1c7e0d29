"""What the bits of a start allow: a gradient boosting classifier on them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.program.atoms import Quantiser
from eric_fast.progress import Progress
from eric_fast.store.activations import share_correct

N_ROUNDS = 60  # of gradient boosting


@dataclass(frozen=True)
class Bound:
    """What the bits of one layer allow: a gradient boosting classifier on them.

    Attributes:
        layer: the layer whose true bits are its features, or several; see `ChainStudy.starts`.
        n_rounds: rounds of boosting, with one tree per class.
        fidelity: share of test images on which it agrees with the model.
        accuracy: share of test images with a known label that it gives; None if no label is known.
    """

    layer: str
    n_rounds: int
    fidelity: float
    accuracy: float | None


class Truth(NamedTuple):
    """The images that chains are scored on: the network's bits, its answers and the labels, int64 `[n_images]`."""

    bits: BitMatrix
    predictions: Tensor
    labels: Tensor


def measure_bounds(
    bits: BitMatrix,
    truth: Truth,
    quantiser: Quantiser,
    starts: Mapping[str, tuple[str, ...]],
    goal: Tensor,
    progress: Progress,
) -> Iterator[Bound]:
    """Measure a start after another, by scikit-learn's gradient boosting."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # they load when they are needed
    from threadpoolctl import threadpool_limits

    for done, (start, cut) in enumerate(starts.items()):
        progress("what the bits allow", done, len(starts))
        names = [name for layer in cut for name in quantiser.names_of_layer[layer]]
        boosting = HistGradientBoostingClassifier(max_iter=N_ROUNDS, early_stopping=False, random_state=0)
        columns = bits.select_atoms(names).to_bools().numpy()
        with threadpool_limits(1, user_api="openmp"):  # more wait for each other: 11.4 s instead of 2.6 if others run
            boosting.fit(columns, goal.numpy())
        answers = torch.from_numpy(boosting.predict(truth.bits.select_atoms(names).to_bools().numpy()))
        fidelity = (answers == truth.predictions).double().mean().item()
        yield Bound(start, N_ROUNDS, fidelity, share_correct(answers, truth.labels))
    progress("what the bits allow", len(starts), len(starts))
