"""Evaluate many samples in chunks, so that intermediate values need memory for one chunk only."""

from collections.abc import Callable

import torch
from torch import Tensor

from eric_fast.bits import ROW_WORDS, WORD_BITS, count_words
from eric_fast.kernels.outcome import Outcome

CHUNK_BYTES = {"cpu": 2**26, "reference": 2**26, "gpu": 2**30}  # few samples leave a GPU idle
SUMS = ("counts", "confusion")  # results that are added over chunks; others are joined along samples


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
    joined = JoinedOutcome(n_samples)
    for first in range(0, n_samples, size):
        for name, part in evaluate(first, min(first + size, n_samples))._asdict().items():
            if part is not None:
                place = joined.find_place(name, part, first)
                place.copy_(place + part if name in SUMS else part)
    return joined.to_outcome()


class JoinedOutcome:
    """The results of all samples, on one device, while those of chunks come in."""

    def __init__(self, n_samples: int, device: torch.device | None = None) -> None:
        self.n_samples = n_samples
        self.device = device  # by default where the parts are
        self.results: dict[str, Tensor] = {}

    def find_place(self, name: str, part: Tensor, first: int) -> Tensor:
        """Return the view that takes this result of a chunk whose first sample is `first`; the whole of `SUMS`."""
        if name not in self.results:
            shape = list(part.shape)
            if name == "rows":
                shape[1] = count_words(self.n_samples)
            elif name not in SUMS:
                shape[0] = self.n_samples
            make = torch.zeros if name in SUMS else torch.empty
            self.results[name] = make(shape, dtype=part.dtype, device=self.device or part.device)
        whole = self.results[name]
        if name in SUMS:
            return whole
        if name == "rows":
            return whole[:, first // WORD_BITS :][:, : part.shape[1]]
        return whole[first : first + len(part)]

    def to_outcome(self) -> Outcome:
        return Outcome(**{name: self.results.get(name) for name in Outcome._fields})
