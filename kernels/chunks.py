"""Evaluate many samples in chunks, so that intermediate values need memory for one chunk only."""

from collections.abc import Callable

from torch import Tensor

from eric_fast.bits import ROW_WORDS, WORD_BITS, count_words
from eric_fast.kernels.outcome import Outcome

CHUNK_BYTES = {"cpu": 2**26, "reference": 2**26, "gpu": 2**30}  # few samples leave a GPU idle


def evaluate_chunks(evaluate: Callable[[int, int], Outcome], n_samples: int, sample_bytes: int, engine: str) -> Outcome:
    """Return `evaluate(0, n_samples)`, computed chunk by chunk.

    Args:
        evaluate: returns the results of samples `first` to `last`.
        sample_bytes: the memory that it needs for a sample, besides results.
        engine: the engine that it runs on, not `auto`: chunks are larger on a GPU.
    """
    unit = ROW_WORDS * WORD_BITS
    size = max(1, CHUNK_BYTES[engine] // (max(1, sample_bytes) * unit)) * unit
    if n_samples <= size:
        return evaluate(0, n_samples)
    whole: dict[str, Tensor] = {}
    for first in range(0, n_samples, size):
        last = min(first + size, n_samples)
        for name, part in evaluate(first, last)._asdict().items():
            if part is not None:
                _put(whole, name, part, first, last, n_samples)
    return Outcome(**{name: whole.get(name) for name in Outcome._fields})


def _put(whole: dict[str, Tensor], name: str, part: Tensor, first: int, last: int, n_samples: int) -> None:
    """Write a chunk's result to its place in `whole`; counts are added."""
    if name in ("counts", "confusion"):
        whole[name] = whole[name] + part if name in whole else part
    elif name == "rows":
        if name not in whole:
            whole[name] = part.new_empty(len(part), count_words(n_samples))
        whole[name][:, first // WORD_BITS :][:, : part.shape[1]] = part
    else:
        if name not in whole:
            whole[name] = part.new_empty(n_samples, *part.shape[1:])
        whole[name][first:last] = part
