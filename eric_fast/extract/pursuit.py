"""Orthogonal matching pursuit on covariances, in a fixed order of operations: the same to the last bit everywhere.

Each target is approximated by a weighted sum of few inputs, chosen one after another: the input that lowers the squared
error most, then the least-squares weights of all that are chosen (Pati, Rezaiifar, Krishnaprasad, 1993). Numba compiles
the loops as they stand, without fused or reordered additions.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.jit import cached_njit

RIDGE = 1e-3  # added to a chosen input's variance, which is at most 0.25 for a bit: duplicates share their weight


class Covariances(NamedTuple):
    """What a pursuit learns from.

    Attributes:
        inputs: float64 `[n_inputs, n_inputs]`.
        targets: float64 `[n_inputs, n_targets]`: of each input with each target.
        input_means: float64 `[n_inputs]`.
        target_means: float64 `[n_targets]`.
    """

    inputs: NDArray[np.float64]
    targets: NDArray[np.float64]
    input_means: NDArray[np.float64]
    target_means: NDArray[np.float64]

    @classmethod
    def from_sums(
        cls,
        n_samples: int,
        pairs: NDArray[np.int64],
        products: NDArray[np.int64],
        target_sums: NDArray[np.int64],
    ) -> "Covariances":
        """From exact sums over bits and whole targets; each covariance is rounded once.

        Args:
            n_samples: at most 2**27.
            pairs: int64 `[n_inputs, n_inputs]`: on how many samples two inputs are true.
            products: int64 `[n_inputs, n_targets]`: the sum of a target where an input is true; targets within 0..255.
            target_sums: int64 `[n_targets]`.
        """
        sums = pairs.diagonal()
        square = float(n_samples) ** 2
        return cls(
            (n_samples * pairs - np.multiply.outer(sums, sums)) / square,
            (n_samples * products - np.multiply.outer(sums, target_sums)) / square,
            sums / n_samples,
            target_sums / n_samples,
        )


class Pursuit(NamedTuple):
    """Which inputs approximate the targets.

    Attributes:
        chosen: int64 `[n_chosen]`: inputs in the order in which they were chosen.
        weights: float64 `[n_inputs, n_targets]`: zero where an input was not chosen for a target.
        intercepts: float64 `[n_targets]`: what is added to the weighted sum.
    """

    chosen: NDArray[np.int64]
    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]


def pursue_jointly(covariances: Covariances, n_inputs: int) -> Pursuit:
    """Approximate all targets by the same inputs, `n_inputs` of them at most."""
    chosen, weights, _ = _pursue(covariances.inputs, covariances.targets, n_inputs)
    return _finish(covariances, chosen, weights)


def pursue_singly(covariances: Covariances, n_weights: int) -> Pursuit:
    """Approximate each target by inputs of its own: at each step, the pair of both that lowers the error most.

    Args:
        n_weights: of all targets together at most.
    """
    gram, products = covariances.inputs, covariances.targets
    columns = [np.ascontiguousarray(products[:, target : target + 1]) for target in range(products.shape[1])]
    gains = [_pursue(gram, column, n_weights)[2] for column in columns]
    taken = [0] * len(columns)
    for _ in range(n_weights):
        waiting = [target for target, n in enumerate(taken) if n < len(gains[target])]
        if not waiting:
            break
        taken[max(waiting, key=lambda target: gains[target][taken[target]])] += 1  # the lowest target of equals
    parts = [_pursue(gram, column, n) for column, n in zip(columns, taken, strict=True)]
    chosen = np.unique(np.concatenate([part[0] for part in parts]))
    return _finish(covariances, chosen, np.hstack([part[1] for part in parts]))


def pursue_each(covariances: Covariances, n_inputs: int) -> NDArray[np.float64]:
    """Approximate each target by inputs of its own, `n_inputs` of them at most; the weights alone.

    Returns:
        float64 `[n_inputs, n_targets]`, zero where an input was not chosen for a target.
    """
    products = covariances.targets
    weights = np.zeros_like(products)
    for target in range(products.shape[1]):
        column = np.ascontiguousarray(products[:, target : target + 1])
        weights[:, target] = _pursue(covariances.inputs, column, n_inputs)[1][:, 0]
    return weights


def _finish(covariances: Covariances, chosen: NDArray[np.int64], weights: NDArray[np.float64]) -> Pursuit:
    return Pursuit(chosen, weights, _find_intercepts(weights, covariances.input_means, covariances.target_means))


@cached_njit
def _find_intercepts(weights: Any, input_means: Any, target_means: Any) -> Any:
    """float64 `[n_targets]`: a target's mean less that of its weighted sum, added up in the order of inputs."""
    intercepts = target_means.copy()
    for t in range(weights.shape[1]):
        for i in range(weights.shape[0]):
            intercepts[t] -= weights[i, t] * input_means[i]
    return intercepts


@cached_njit
def _pursue(gram: Any, products: Any, n_steps: Any) -> Any:
    """Inputs chosen for all targets together: int64 `[n_chosen]`; weights, float64 `[n_inputs, n_targets]`; gains.

    A gain, of float64 `[n_chosen]`, is by how much an input lowers the mean squared error, summed over targets, if the
    weights before it stay.

    Args:
        gram: float64 `[n_inputs, n_inputs]`. products: float64 `[n_inputs, n_targets]`. n_steps: inputs at most.
    """
    n_inputs, n_targets = products.shape
    n_steps = min(n_steps, n_inputs)
    chosen, gains = np.empty(n_steps, np.int64), np.empty(n_steps)
    lower = np.zeros((n_steps, n_steps))  # Cholesky factor of the chosen inputs' covariances
    solved = np.zeros((n_steps, n_targets))  # lower * solved = products of the chosen inputs
    of_chosen = np.zeros((n_steps, n_targets))
    residual = products.copy()
    is_free = np.ones(n_inputs, np.bool_)
    n = 0
    while n < n_steps:
        best, most = -1, 0.0
        for i in range(n_inputs):
            if is_free[i] and gram[i, i] > 0:
                gain = 0.0
                for t in range(n_targets):
                    gain += residual[i, t] * residual[i, t]
                gain /= gram[i, i]
                if gain > most:
                    best, most = i, gain
        if best < 0:
            break
        is_free[best], chosen[n], gains[n] = False, best, most
        rest = gram[best, best] + RIDGE
        for j in range(n):
            value = gram[chosen[j], best]
            for k in range(j):
                value -= lower[n, k] * lower[j, k]
            lower[n, j] = value / lower[j, j]
            rest -= lower[n, j] * lower[n, j]
        lower[n, n] = np.sqrt(max(rest, RIDGE))
        for t in range(n_targets):
            value = products[best, t]
            for k in range(n):
                value -= lower[n, k] * solved[k, t]
            solved[n, t] = value / lower[n, n]
        n += 1
        for t in range(n_targets):
            for j in range(n - 1, -1, -1):
                value = solved[j, t]
                for k in range(j + 1, n):
                    value -= lower[k, j] * of_chosen[k, t]
                of_chosen[j, t] = value / lower[j, j]
        for i in range(n_inputs):
            for t in range(n_targets):
                residual[i, t] = products[i, t]
        for j in range(n):  # row by row of the symmetric covariances, as they lie in memory
            row = gram[chosen[j]]
            for i in range(n_inputs):
                for t in range(n_targets):
                    residual[i, t] -= row[i] * of_chosen[j, t]
    weights = np.zeros((n_inputs, n_targets))
    for j in range(n):
        weights[chosen[j]] = of_chosen[j]
    return chosen[:n], weights, gains[:n]
