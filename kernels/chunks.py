"""A table in chunks: its comparisons as words take more memory than it does, and need not be there all at once."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from eric_fast.bits import ROW_WORDS, WORD_BITS, count_words
from eric_fast.kernels.outcome import Outcome, Pack, Request
from eric_fast.plan import Plan

# Of words, and of what is made of the table on the way to them; a GPU needs many samples to be busy
CHUNK_BYTES = {"cpu": 2**26, "reference": 2**26, "gpu": 2**30}

Evaluate = Callable[[Plan, Tensor, int, Request], Outcome]


def evaluate_chunks(
    evaluate: Evaluate, plan: Plan, pack: Pack, n_samples: int, request: Request, sample_bytes: int, engine: str
) -> Outcome:
    """`evaluate` on the words that `pack` makes, as if they were made at once.

    Args:
        sample_bytes: what `pack` needs for a sample beside the words, about.
        engine: whose chunks; not `auto`.
    """
    unit = ROW_WORDS * WORD_BITS
    sample_bytes += -(-plan.n_inputs // 8)
    size = unit * max(1, CHUNK_BYTES[engine] // (unit * max(1, sample_bytes)))
    if n_samples <= size:
        return evaluate(plan, pack(0, n_samples), n_samples, request)
    whole: dict[str, Tensor] = {}
    for first in range(0, n_samples, size):
        last = min(first + size, n_samples)
        truths = None if request.truths is None else request.truths[:, first:last]
        outcome = evaluate(plan, pack(first, last), last - first, replace(request, truths=truths))
        for name, part in outcome._asdict().items():
            if part is not None:
                _put(whole, name, part, first, last, n_samples)
    return Outcome(**{name: whole.get(name) for name in Outcome._fields})


def _put(whole: dict[str, Tensor], name: str, part: Tensor, first: int, last: int, n_samples: int) -> None:
    """A chunk's result to its place, or added."""
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
